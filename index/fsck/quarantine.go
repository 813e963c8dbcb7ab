package fsck

import (
	"context"
	"errors"
	"math/bits"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/recipe"
)

// A magic that differs in no more than this from the right one may be one that decayed.
const (
	maxMagicBytes = 2
	maxMagicBits  = 4
)

// quarantine sees to the files with unusable headers, one after the other in the order of the walk, every name of them: a file of which
// only the magic has decayed is restored, any other is moved aside. What the entries of those name stays in use, as does what earlier
// repairs have moved. A file that the disk does not deliver stays where it is.
func (r *repairer) quarantine(ctx context.Context) error {
	err := recipe.WalkQuarantine(ctx, r.v.FS, r.v.Dir, func(e recipe.WalkEntry) error {
		if err := r.scanFile(ctx, e, r.hold); err != nil && ctx.Err() == nil {
			r.missed(format.QuarantineName+"/"+e.Path, err)
		}
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil {
		r.missed(format.QuarantineName, err)
	}
	if !r.badHeaders.Load() || ctx.Err() != nil {
		return ctx.Err()
	}
	r.v.logf("looking at the files with unusable headers")
	return recipe.WalkNames(ctx, r.v.FS, r.v.Root, func(e recipe.WalkEntry) error {
		if r.wasMissed(e.Path) {
			return ctx.Err()
		}
		if err := r.seeTo(ctx, e); err != nil && ctx.Err() == nil {
			r.missed(e.Path, err)
			_ = r.scanFile(ctx, e, r.hold) // as in settle
		}
		return ctx.Err()
	}, func(path string, err error) error {
		r.missed(path, err)
		return nil
	})
}

// seeTo restores a file or moves it to the quarantine if its header is unusable.
func (r *repairer) seeTo(ctx context.Context, e recipe.WalkEntry) error {
	in, err := e.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	file := recipe.New(in, r.v.Geometry)
	_, corrupt := file.ReadHeader()
	if !errors.Is(corrupt, format.ErrCorrupt) {
		return corrupt // nil: a sound file
	}
	h, err := readHead(in)
	if err != nil {
		return err
	}
	if blank, err := r.blank(ctx, in, h); err != nil || blank {
		if err == nil {
			err = r.empty(e, h)
		}
		return err
	}
	size, ok, err := r.restorable(ctx, file, h)
	if err != nil {
		return err
	}
	if ok {
		return r.restore(ctx, e, file, recipe.Header{Size: size, Length: h.length, Entries: r.v.Geometry.Entries(size)})
	}
	if err := r.scanFile(ctx, e, r.hold); err != nil {
		return err
	}
	place, err := r.v.stow(e, r.o.DryRun)
	if err != nil {
		return err
	}
	if !r.o.DryRun {
		r.v.logf("%s has no usable header and was moved to %s", e.Path, r.v.path(place))
	}
	r.res.Quarantined++
	r.reports.add(FileReport{Path: e.Path, Letters: badHeader, Place: place, Err: corrupt})
	return nil
}

// restorable tells whether all that is wrong with a file are some bits of its magic: length and size fit each other, and all blocks
// that it names are known.
func (r *repairer) restorable(ctx context.Context, file *recipe.File, h head) (size uint64, ok bool, err error) {
	g := r.v.Geometry
	if len(h.raw) < format.FileHeaderSize || !nearlyMagic(h.raw[:format.MagicSize]) {
		return 0, false, nil
	}
	fixed := append([]byte(format.MagicFile), h.raw[format.MagicSize:]...)
	if size, err = format.GetFileHeader(fixed); err != nil {
		return 0, false, nil //nolint:nilerr // an impossible size
	}
	if want, err := g.FileLength(size); err != nil || want != h.length {
		return 0, false, nil //nolint:nilerr // no file can be that long
	}
	known := true
	err = file.Scan(ctx, 0, func(_ uint64, raw []byte) error {
		for ; len(raw) >= g.EntrySize && known; raw = raw[g.EntrySize:] {
			hash := raw[g.AddrSize:g.EntrySize]
			if isZero(g, hash) {
				known = g.Addr(raw) == format.AddressZero
				continue
			}
			var sum blockhash.Hash
			copy(sum[:], hash)
			_, _, known = r.idx.Table().Lookup(&sum)
		}
		return nil
	})
	return size, known && err == nil, err
}

// nearlyMagic tells whether a magic is close enough to that of a file to be one that decayed.
func nearlyMagic(magic []byte) bool {
	differ, flipped := 0, 0
	for i, b := range magic {
		if x := b ^ format.MagicFile[i]; x != 0 {
			differ++
			flipped += bits.OnesCount8(x)
		}
	}
	return differ <= maxMagicBytes || flipped <= maxMagicBits
}

// restore writes the header of a restorable file, and repairs its entries.
func (r *repairer) restore(ctx context.Context, e recipe.WalkEntry, file *recipe.File, h recipe.Header) error {
	f := fileRepair{r: r, e: e, header: h, restored: true}
	f.report.Letters.fixed()
	err := f.writeHeader(h.Size)
	if err == nil {
		err = f.settle(ctx, file)
	} else {
		err = errors.Join(err, f.finish())
	}
	if err != nil {
		return err
	}
	f.report.Path = e.Path
	r.reports.add(f.report)
	return nil
}

// hold keeps what the entries of a file in the quarantine name in use: the block that the index has for the hash, or one that the disk
// did not deliver this time.
func (r *repairer) hold(raw []byte) {
	g, t := r.v.Geometry, r.idx.Table()
	for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
		hash := raw[g.AddrSize:g.EntrySize]
		if isZero(g, hash) {
			continue
		}
		var h blockhash.Hash
		copy(h[:], hash)
		a := g.Addr(raw)
		if have, _, ok := t.Lookup(&h); ok {
			r.inUse.Set(uint64(have))
		} else if g.InRange(a) && r.unreadable.Get(uint64(a)) {
			r.inUse.Set(uint64(a))
		}
	}
}
