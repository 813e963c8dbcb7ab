package fsck

import (
	"context"
	"errors"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// settle sets the entries, lengths and sizes of all files to what is now known, deals with those whose headers are unusable, and
// collects the addresses then in use.
func (r *repairer) settle(ctx context.Context) error {
	if err := r.start(); err != nil {
		return err
	}
	if r.o.DryRun {
		return r.settleFiles(ctx)
	}
	// The files come before the index: an index that lacks what the files had is the worse of the two mixtures. That holds for
	// removals too that nobody has synced: blocks are freed by them, and must not get new content while the file can come back.
	return disk.SyncAfter(r.v.FS, r.v.Root, func() error { return r.settleFiles(ctx) })
}

// settleFiles is settle without what makes it durable.
func (r *repairer) settleFiles(ctx context.Context) error {
	r.v.logf("repairing the files")
	m := progress.New(r.v.Progress, "repair files", progress.Files, r.files)
	err := r.v.eachFile(ctx, func(ctx context.Context, _ int, e recipe.WalkEntry) error {
		f := fileRepair{r: r, e: e}
		err := f.run(ctx)
		if err != nil && ctx.Err() == nil {
			r.missed(e.Path, err)
			// What was found for it must wait for the next repair. If it cannot be read either, there is no more to be known of it.
			_ = r.scanFile(ctx, e, r.hold)
		}
		r.fixed(&f, err)
		m.Add(1)
		return ctx.Err()
	}, r.missed)
	if err != nil {
		return err
	}
	if err := r.quarantine(ctx); err != nil {
		return err
	}
	r.res.Incomplete, r.res.Unreadable = r.incomplete.Load(), r.unreadable.Count()
	return nil
}

// fixed counts a file that was seen to, and reports it if that is worth a line.
func (r *repairer) fixed(f *fileRepair, err error) {
	r.mu.Lock()
	r.res.Files++
	missed := r.unseen[f.e.Path]
	r.mu.Unlock()
	if err == nil && f.report.Letters != (Letters{}) && !missed {
		f.report.Path = f.e.Path
		r.reports.add(f.report)
	}
}

// fileRepair is the repair of one file.
type fileRepair struct {
	r      *repairer
	e      recipe.WalkEntry
	out    disk.File // for writing, nil before the first change
	report FileReport

	header  recipe.Header
	needed  uint64 // entries that the size in the header asks for
	surplus bool   // an entry past those is something else than zeros

	restored bool   // its header was unusable: the survey did not hold its entries against the index
	block    []byte // scratch of mend
}

// run repairs the file, unless its header is unusable: the quarantine sees to those. After an error it is what it was, or in parts what
// it should be; it counts as unseen.
func (f *fileRepair) run(ctx context.Context) (err error) {
	if f.r.wasMissed(f.e.Path) {
		return nil
	}
	in, err := f.e.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	file := recipe.New(in, f.r.v.Geometry)
	if f.header, err = file.ReadHeader(); errors.Is(err, format.ErrCorrupt) {
		if _, err = readHead(in); err == nil {
			f.r.badHeaders.Store(true)
		}
		return err
	}
	if err != nil {
		return err
	}
	return f.settle(ctx, file)
}

// settle repairs a file whose header is known.
func (f *fileRepair) settle(ctx context.Context, file *recipe.File) (err error) {
	defer func() {
		if e := f.finish(); err == nil {
			err = e
		}
	}()
	f.needed = f.r.v.Geometry.Entries(f.header.Size)
	if err := file.Scan(ctx, 0, f.entries); err != nil {
		return err
	}
	if err := f.sizes(); err != nil {
		return err
	}
	return f.afresh()
}

// entries repairs raw entries, the first of which has number first, and writes runs of changed ones.
func (f *fileRepair) entries(first uint64, raw []byte) error {
	g := f.r.v.Geometry
	return recipe.Changed(raw, g.EntrySize, func(i int, p []byte) bool {
		n := first + uint64(i)
		changed := f.entry(n, p)
		if n >= f.needed && !(g.Addr(p) == format.AddressZero && isZero(g, p[g.AddrSize:])) {
			f.surplus = true
		}
		return changed
	}, func(i int, raw []byte) error { return f.write(first+uint64(i), raw) })
}

// entry sets entry number n to what it should be and tells whether that changed it.
func (f *fileRepair) entry(n uint64, p []byte) (changed bool) {
	r, g := f.r, f.r.v.Geometry
	a := g.Addr(p)
	hash := p[g.AddrSize:]
	if isZero(g, hash) {
		if a == format.AddressZero {
			return false
		}
		if a == format.AddressLost || !blockhash.IsZero(hash) {
			return f.set(p, format.AddressZero) // zeros where the hash of zeros stands
		}
		// Beside a block and without a hash there is no telling what was meant: no zeros, but a block that nobody has.
		f.report.Letters.corrupt(true)
		for i := range hash {
			hash[i] = 0xff
		}
		return f.set(p, format.AddressLost)
	}
	data := g.InRange(a)
	if data && !r.suspect.Get(uint64(a)) && !f.restored {
		r.inUse.Set(uint64(a)) // the survey found index and file in accord
		return false
	}
	var h blockhash.Hash
	copy(h[:], hash)
	have, _, ok := r.idx.Table().Lookup(&h)
	switch {
	case ok:
		r.inUse.Set(uint64(have))
		return f.set(p, have)
	case f.mend(n, p):
		return true
	case data && r.unreadable.Get(uint64(a)):
		// The disk may deliver it another day.
		r.inUse.Set(uint64(a))
		f.report.Letters.corrupt(true)
		return false
	}
	f.report.Letters.corrupt(true)
	return f.set(p, format.AddressLost)
}

// set changes the address of a raw entry.
func (f *fileRepair) set(p []byte, a format.Address) (changed bool) {
	g := f.r.v.Geometry
	if g.Addr(p) == a {
		return false
	}
	var e format.Entry
	g.GetEntry(p, &e)
	e.Addr = a
	g.PutEntry(p, &e)
	return true
}

// sizes makes length and size fit the entries (format page, section 9, step 5).
func (f *fileRepair) sizes() error {
	g := f.r.v.Geometry
	have := f.header.Entries
	if f.header.Length == 0 || f.header.Extra == 0 && have == f.needed {
		return nil
	}
	keep := have
	if have > f.needed && !f.surplus {
		keep = f.needed // zeros past the end: the size is right
	}
	if f.header.Extra != 0 || keep != have {
		f.report.Letters.length()
		if err := f.change(func(out disk.File) error { return out.Truncate(g.EntryOffset(keep)) }); err != nil {
			return err
		}
	}
	if keep == f.needed {
		return nil
	}
	if keep > math.MaxInt64>>g.BlockShift {
		f.report.Letters.sizeWrong()
		return nil
	}
	f.report.Letters.size()
	return f.writeHeader(keep << g.BlockShift)
}

// change opens the file for writing, if it is not yet, and has it changed. In a dry run it does nothing.
func (f *fileRepair) change(do func(out disk.File) error) (err error) {
	if f.r.o.DryRun {
		return nil
	}
	if f.out == nil {
		f.out, err = f.r.v.FS.OpenFile(f.r.v.Root+"/"+f.e.Path, os.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			f.out = nil
			return err
		}
	}
	return do(f.out)
}

func (f *fileRepair) write(first uint64, raw []byte) error {
	f.report.Letters.length()
	return f.change(func(out disk.File) error { return disk.WriteFull(out, raw, f.r.v.Geometry.EntryOffset(first)) })
}

func (f *fileRepair) writeHeader(size uint64) error {
	return f.change(func(out disk.File) error { return recipe.New(out, f.r.v.Geometry).WriteHeader(size) })
}

// finish closes the file and gives it its time of modification back: backups of the stored tree go by it.
func (f *fileRepair) finish() error {
	if f.out == nil {
		return nil
	}
	// Disks in memory keep no times, so this is not part of disk.File.
	if timed, ok := f.out.(interface{ SetModified(time.Time) error }); ok {
		if err := timed.SetModified(f.e.Info.ModTime()); err != nil {
			f.r.v.logf("%s: the time of modification could not be kept: %v", f.e.Path, err)
		}
	}
	return f.out.Close()
}
