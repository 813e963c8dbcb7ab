package fsck

import (
	"context"
	"errors"
	"io"

	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/progress"
)

// search looks for the content that would be lost in all blocks that nobody has vouched for: those that are in no file, and those in the
// index only. It is not done at a mount, which must not take hours. Content that was lost before is looked for only where the index
// cannot know better: it was made anew, or damaged.
func (r *repairer) search(ctx context.Context) error {
	again := r.fresh || r.unsound
	if r.o.KeepDirty || r.o.Mode == RebuildAll || r.res.Suspects == 0 && !r.unknown.Load() && !(again && r.lostBefore.Load()) {
		return nil
	}
	missing, err := r.missing(ctx, again)
	if err != nil || !missing {
		return err
	}
	rest, err := r.stored()
	if err != nil {
		return err
	}
	rest.Each(0, func(i uint64) bool {
		if r.suspect.Get(i) || r.inFiles.Get(i) {
			rest.Clear(i)
		}
		return true
	})
	if r.res.Searched = rest.Count(); r.res.Searched == 0 {
		return nil
	}
	r.v.logf("content is missing: looking for it in %s", format.Count(r.res.Searched, "other block"))
	r.drop(func(a format.Address) bool { return !rest.Get(uint64(a)) })
	rest.Each(0, func(i uint64) bool {
		r.suspect.Set(i)
		return true
	})
	return r.enter(ctx, "search blocks", rest)
}

// errEnough ends a walk whose question is answered.
var errEnough = errors.New("enough")

// missing tells whether a file has an entry whose block is not known; again counts those that were lost before.
func (r *repairer) missing(ctx context.Context, again bool) (bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g, t := r.v.Geometry, r.idx.Table()
	err := r.eachSound(ctx, "look for missing blocks", func(raw []byte) {
		for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
			a := g.Addr(raw)
			hash := raw[g.AddrSize:g.EntrySize]
			if isZero(g, hash) || a == format.AddressLost && !again || g.InRange(a) && !r.suspect.Get(uint64(a)) {
				continue
			}
			var h blockhash.Hash
			copy(h[:], hash)
			if _, _, ok := t.Lookup(&h); !ok {
				cancel(errEnough)
				return
			}
		}
	})
	if errors.Is(context.Cause(ctx), errEnough) {
		return true, nil
	}
	return false, err
}

// stored is the set of blocks that the block file holds to the last byte, without those in its holes.
func (r *repairer) stored() (*bitmap.Atomic, error) {
	g, f := r.v.Geometry, r.blocks.Disk()
	set := bitmap.NewAtomic(g.BlockCount)
	end := g.Offset(format.Address(min(r.whole, g.BlockCount)))
	for off := g.Offset(format.FirstDataAddress); off < end; {
		data, err := f.NextData(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		hole, err := f.NextHole(data)
		if errors.Is(err, io.EOF) {
			hole, err = end, nil
		}
		if err != nil {
			return nil, err
		}
		hole = max(hole, data+1)
		last := uint64(min(hole, end)-1) >> g.BlockShift
		for i := uint64(data) >> g.BlockShift; i <= last && data < end; i++ {
			set.Set(i)
		}
		off = hole
	}
	return set, nil
}

// enter hashes the blocks of set and enters them under the hash that their content has.
func (r *repairer) enter(ctx context.Context, stage string, set *bitmap.Atomic) error {
	m := progress.New(r.v.Progress, stage, progress.Bytes, set.Count()<<r.v.Geometry.BlockShift)
	err := r.v.hashBlocks(ctx, r.blocks, set, m, func(list []hashed) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range list {
			r.enterLocked(&list[i])
		}
	})
	r.res.Unreadable = r.unreadable.Count()
	return errors.Join(err, r.full)
}
