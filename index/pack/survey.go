package pack

import (
	"context"
	"fmt"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
	"tresor/index/table"
)

// survey opens the volume and makes sure that the pack can rely on it: closed cleanly, each used block but the reserved ones in the index
// exactly once, all files readable and in accord with the index. It changes nothing.
func (j *job) survey(ctx context.Context) error {
	p := j.p
	if err := index.CheckUnfinished(p.FS, p.Dir); err != nil {
		return err
	}
	if dirty, err := p.Dirty(); err != nil || dirty {
		return refuse(err, "the volume was not closed cleanly, or the index is not its own")
	}
	if err := index.CheckRoot(p.FS, p.Root); err != nil {
		return err
	}
	if err := j.openBlocks(); err != nil {
		return err
	}
	want, err := indexfile.Recorded(p.FS, p.Dir)
	if err != nil {
		return err
	}
	if j.idx, err = indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: j.o.DryRun, Content: want != ""}); err != nil {
		return err
	}
	if want != "" && want != j.idx.Content(nil) {
		return refuse(nil, "%v", &indexfile.StaleIndexError{Index: p.IndexPath})
	}
	if err := j.checkIndex(j.idx.Bitmap()); err != nil {
		return err
	}
	j.moves = newMoves(j.idx.Bitmap().Clone())
	return j.surveyFiles(ctx)
}

// refuse is the error of a volume that has to be repaired before it is packed.
func refuse(err error, text string, args ...any) error {
	if err != nil {
		return err
	}
	return format.Mark(format.ErrCorrupt, fmt.Errorf("nothing was changed: %s (repair it first)", fmt.Sprintf(text, args...)))
}

// checkIndex makes sure that the table is sound and has just the blocks of used.
func (j *job) checkIndex(used *bitmap.Bitmap) error {
	t, g := j.idx.Table(), j.p.Geometry
	var fault *table.Finding
	t.CheckRange(0, t.Slots(), func(f table.Finding) {
		if fault == nil {
			fault = &f
		}
	})
	if fault != nil {
		return refuse(nil, "slot %d of the index: %v", fault.Slot, fault.Fault)
	}
	seen := bitmap.New(g.BlockCount)
	seen.Set(uint64(format.AddressZero))
	seen.Set(uint64(format.AddressLost))
	for s := range t.Slots() {
		if a := t.Addr(s); a != format.AddressZero && (!g.InRange(a) || !used.Get(uint64(a)) || !seen.Set(uint64(a))) {
			return refuse(nil, "slot %d of the index: block %d is free, or in the index twice", s, a)
		}
	}
	if !seen.Equal(used) {
		return refuse(nil, "%d of the %d blocks in use are not in the index", used.Count()-seen.Count(), used.Count())
	}
	return nil
}

// surveyFiles reads all files, the set-aside ones too.
func (j *job) surveyFiles(ctx context.Context) error {
	m := progress.New(j.o.Progress, "survey files", progress.Files, 0)
	return j.eachFile(ctx, func(ctx context.Context, f *stored) error {
		err := f.scan(ctx, func(first uint64, raw []byte) error { return j.surveyEntries(f, first, raw) })
		m.Add(1)
		return err
	})
}

// surveyEntries holds the entries of a file against the index: an entry whose hash the index knows has the address of the index, any other
// is lost or a block of zeros. Of a file that was set aside, entries with other hashes mean nothing.
func (j *job) surveyEntries(f *stored, first uint64, raw []byte) error {
	g := j.p.Geometry
	for i := 0; i+g.EntrySize <= len(raw); i += g.EntrySize {
		p := raw[i : i+g.EntrySize]
		a := g.Addr(p)
		have, known := j.indexed(p)
		if f.aside || known && have == a || !known && !g.InRange(a) && uint64(a) < g.BlockCount {
			continue
		}
		return refuse(nil, "%s, entry %d: block %d is not what the index says", f.path(), first+uint64(i/g.EntrySize), a)
	}
	return nil
}

// indexed is where the index has the hash of a raw entry. The hash of zeros is in no index.
func (j *job) indexed(p []byte) (format.Address, bool) {
	var h blockhash.Hash
	copy(h[:], p[j.p.Geometry.AddrSize:])
	if h.IsNull() {
		return 0, false
	}
	a, _, ok := j.idx.Table().Lookup(&h)
	return a, ok
}
