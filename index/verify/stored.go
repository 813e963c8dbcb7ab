package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// Stored compares every block of the file, as it lies on the disk, with the hash that its entry has. The report is valid with an error too, as
// far as the verification came.
func Stored(ctx context.Context, t Target, o Options) (*Report, error) {
	return verify(ctx, t, nil, o)
}

// Against compares an outside file with the hashes in the entries of the stored one, and the sizes. A last block that is not whole
// is compared as data where the hashes differ: in old volumes what lies behind the end of a file is undefined.
func Against(ctx context.Context, t Target, outside disk.File, o Options) (*Report, error) {
	return verify(ctx, t, outside, o)
}

func verify(ctx context.Context, t Target, outside disk.File, o Options) (*Report, error) {
	j, err := newJob(ctx, t, outside, o)
	if err != nil {
		return j.rep, fmt.Errorf("verify %s: %w", t.File, err)
	}
	err = j.run(o)
	j.rep.Read = j.read.Load()
	j.rep.sorted()
	if err = errors.Join(err, j.close()); err != nil {
		return j.rep, fmt.Errorf("verify %s: %w", t.File, err)
	}
	return j.rep, nil
}

func (j *job) run(o Options) error {
	h, err := j.header()
	if err != nil {
		return err
	}
	j.rep.Size = h.Size
	count := j.g.Entries(h.Size)
	if j.outside != nil {
		size, err := j.outside.Size()
		if err != nil {
			return err
		}
		out := uint64(size)
		j.rep.OutsideSize = &out
		count = j.g.Entries(min(h.Size, out))
		j.sizes(h.Size, out)
	}
	if have := h.Entries; have < count {
		j.add(Finding{Kind: Missing, Offset: have << j.g.BlockShift, Length: h.Size - have<<j.g.BlockShift})
		count = have
	}
	j.meter = progress.New(o.Progress, "verify", progress.Bytes, count<<j.g.BlockShift)
	j.rep.IndexChecked = j.outside != nil && j.t.Known != nil
	if err := j.entries(count); err != nil {
		return err
	}
	return j.settle(h, count)
}

// entries looks at entries until it has seen count of them, or where they end now.
func (j *job) entries(count uint64) error {
	entries := make([]format.Entry, min(count, window))
	for j.rep.Entries < count {
		first := j.rep.Entries
		n, err := j.rec.ReadEntries(first, entries[:min(count-first, window)])
		if err != nil || n == 0 {
			return err
		}
		j.rep.Entries += uint64(n)
		if j.outside != nil {
			err = errors.Join(j.compare(first, entries[:n]), j.second(j.judgeOutside))
		} else {
			err = errors.Join(j.prove(first, entries[:n]), j.second(j.judgeStored))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle takes a last look: what was looked at has to be the whole file still. count is how many entries there were, or were to be compared.
func (j *job) settle(h recipe.Header, count uint64) error {
	if err := errors.Join(j.refresh(), j.same()); err != nil {
		return err
	}
	now, err := j.header()
	if err != nil {
		return err
	}
	seen := j.rep.Entries
	switch was, is := j.g.Entries(h.Size), j.g.Entries(now.Size); {
	case now.Size != h.Size:
		j.rep.Changing += max(1, count-seen, max(was, is)-min(was, is))
	case now.Entries < count: // a null entry at the second look was none
		from := min(seen, now.Entries) << j.g.BlockShift
		j.add(Finding{Kind: Missing, Offset: from, Length: min(h.Size, count<<j.g.BlockShift) - from})
	default:
		j.rep.Changing += count - seen
	}
	if j.outside == nil {
		return nil
	}
	size, err := j.outside.Size()
	if err == nil && uint64(size) != *j.rep.OutsideSize {
		j.rep.Changing++
	}
	return err
}

// header reads the header; one that asks for more entries than there are is read again: a file that grows gets its size first.
func (j *job) header() (h recipe.Header, err error) {
	for range rounds {
		h, err = j.rec.ReadHeader()
		if err != nil || h.Entries >= j.g.Entries(h.Size) {
			break
		}
		if err := j.refresh(); err != nil {
			return h, err
		}
	}
	return h, err
}

// item is an entry with its place.
type item struct {
	format.Entry
	i uint64
}

// prove reads the blocks of these entries in the order of their addresses. What does not fit needs a second look.
func (j *job) prove(first uint64, entries []format.Entry) error {
	var list []item
	for k := range entries {
		e := &entries[k]
		switch h, seen := j.seen[e.Addr]; {
		case j.g.IsZeroBlock(e):
			j.rep.Zero++
			j.meter.Add(uint64(j.g.BlockSize))
		case !j.g.InRange(e.Addr):
			j.suspect(first + uint64(k))
		case seen && h == e.Hash:
			j.meter.Add(uint64(j.g.BlockSize))
		default:
			list = append(list, item{*e, first + uint64(k)})
		}
	}
	slices.SortFunc(list, func(a, b item) int {
		if a.Addr != b.Addr {
			return int(int64(a.Addr) - int64(b.Addr))
		}
		return int(int64(a.i) - int64(b.i))
	})
	runs := j.runs(list)
	err := j.spread(len(runs), func(i int, buf []byte) error {
		j.proveRun(runs[i], buf)
		return nil
	})
	for _, it := range list {
		if len(j.seen) >= maxSeen {
			break
		}
		j.seen[it.Addr] = it.Hash
	}
	for _, i := range j.doubt { // not seen after all
		if k := i - first; k < uint64(len(entries)) {
			delete(j.seen, entries[k].Addr)
		}
	}
	return err
}

// runs cuts the sorted list into runs of blocks that are neighbours, of at most a chunk each.
func (j *job) runs(list []item) (runs [][]item) {
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].Addr-list[to-1].Addr <= 1 && list[to].Addr-list[from].Addr < format.Address(j.chunk) {
			to++
		}
		runs = append(runs, list[from:to])
		from = to
	}
	return runs
}

// proveRun reads a run with one call and compares every block of it.
func (j *job) proveRun(run []item, buf []byte) {
	bs := j.g.BlockSize
	first := run[0].Addr
	n := int(run[len(run)-1].Addr-first) + 1
	whole := j.src.Read(first, buf[:n*bs]) == nil
	j.read.Add(uint64(n * bs))
	for k := 0; k < len(run); {
		a := run[k].Addr
		block := buf[int(a-first)*bs : int(a-first+1)*bs]
		good := whole || j.src.Read(a, block) == nil
		sum := j.g.ZeroHash
		if good {
			sum = j.g.Kind.Sum(block)
		}
		for ; k < len(run) && run[k].Addr == a; k++ {
			if !good || run[k].Hash != sum {
				j.suspect(run[k].i)
			}
			j.meter.Add(uint64(bs))
		}
	}
}

// judgeStored says what is wrong with an entry, "" if nothing.
func (j *job) judgeStored(_ uint64, e *format.Entry, buf []byte) (Kind, string, error) {
	switch {
	case j.g.IsZeroBlock(e):
		return "", "", nil
	case e.Addr == format.AddressLost:
		return Lost, "", nil
	case !j.g.InRange(e.Addr):
		return Impossible, "", nil
	}
	block := buf[:j.g.BlockSize]
	if err := j.src.Read(e.Addr, block); err != nil {
		if gone := j.src.Present(); gone != nil {
			return "", "", errors.Join(gone, err)
		}
		return Unreadable, err.Error(), nil
	}
	if j.g.Kind.Sum(block) != e.Hash {
		return Mismatch, "", nil
	}
	return "", "", nil
}
