package fsck

import (
	"context"
	"math"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// settle sets the entries, lengths and sizes of all files to what is now known, and collects the addresses then in use.
func (r *repairer) settle(ctx context.Context) error {
	if err := r.v.mark(); err != nil {
		return err
	}
	r.v.logf("repairing the files")
	m := progress.New(r.v.Progress, "repair files", progress.Files, 0)
	err := r.v.eachFile(ctx, func(ctx context.Context, _ int, e recipe.WalkEntry) error {
		f := fileRepair{r: r, e: e}
		err := f.run(ctx)
		if err != nil && ctx.Err() == nil {
			r.missed(e.Path, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.res.Files++
		if err == nil && f.report.Letters != (Letters{}) && !r.unseen[e.Path] {
			f.report.Path = e.Path
			r.res.Reports = append(r.res.Reports, f.report)
		}
		m.Add(1)
		return ctx.Err()
	}, r.missed)
	if err != nil {
		return err
	}
	r.res.Incomplete = r.incomplete.Load()
	slices.SortFunc(r.res.Reports, compareReports)
	// The files come before the index: an index that lacks what the files had is the worse of the two mixtures. That holds for
	// removals too that nobody has synced: blocks are freed by them, and must not get new content while the file can come back.
	return r.v.FS.SyncFS(r.v.Root)
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
}

// run repairs the file. After an error it is what it was, or in parts what it should be; it counts as unseen.
func (f *fileRepair) run(ctx context.Context) (err error) {
	f.r.mu.Lock()
	unseen := f.r.unseen[f.e.Path]
	f.r.mu.Unlock()
	if unseen {
		return nil
	}
	in, err := f.e.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	defer func() {
		if e := f.finish(); err == nil {
			err = e
		}
	}()
	file := recipe.New(in, f.r.v.Geometry)
	if f.header, err = file.ReadHeader(); err != nil {
		return err
	}
	f.needed = f.r.v.Geometry.Entries(f.header.Size)
	if err := file.Scan(ctx, 0, f.entries); err != nil {
		return err
	}
	return f.sizes()
}

// entries repairs raw entries, the first of which has number first, and writes runs of changed ones.
func (f *fileRepair) entries(first uint64, raw []byte) error {
	g := f.r.v.Geometry
	size := g.EntrySize
	from := -1 // start of the run of changed entries, in bytes
	for at := 0; at+size <= len(raw); at += size {
		p := raw[at : at+size]
		changed := f.entry(p)
		if first+uint64(at/size) >= f.needed && !(g.Addr(p) == format.AddressZero && isZero(g, p[g.AddrSize:])) {
			f.surplus = true
		}
		switch {
		case changed && from < 0:
			from = at
		case !changed && from >= 0:
			if err := f.write(first+uint64(from/size), raw[from:at]); err != nil {
				return err
			}
			from = -1
		}
	}
	if from < 0 {
		return nil
	}
	return f.write(first+uint64(from/size), raw[from:len(raw)/size*size])
}

// entry sets one entry to what it should be and tells whether that changed it.
func (f *fileRepair) entry(p []byte) (changed bool) {
	r, g := f.r, f.r.v.Geometry
	a := g.Addr(p)
	hash := p[g.AddrSize:]
	if isZero(g, hash) {
		if a == format.AddressZero {
			return false
		}
		// Zeros where the hash of zeros stands. Beside a block and without a hash there is no telling what was meant.
		f.report.Letters.corrupt(a != format.AddressLost && blockhash.IsZero(hash))
		return f.set(p, format.AddressZero)
	}
	data := g.InRange(a)
	if data && !r.suspect.Get(uint64(a)) {
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
		if err := f.open(); err != nil {
			return err
		}
		if err := f.out.Truncate(g.EntryOffset(keep)); err != nil {
			return err
		}
		f.report.Letters.length()
	}
	if keep == f.needed {
		return nil
	}
	if keep > math.MaxInt64>>g.BlockShift {
		f.report.Letters.sizeWrong()
		return nil
	}
	if err := f.open(); err != nil {
		return err
	}
	f.report.Letters.size()
	return recipe.New(f.out, g).WriteHeader(keep << g.BlockShift)
}

// open opens the file for writing.
func (f *fileRepair) open() (err error) {
	if f.out == nil {
		f.out, err = f.r.v.FS.OpenFile(f.r.v.Root+"/"+f.e.Path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	}
	return err
}

func (f *fileRepair) write(first uint64, raw []byte) error {
	if err := f.open(); err != nil {
		return err
	}
	f.report.Letters.length()
	return disk.WriteFull(f.out, raw, f.r.v.Geometry.EntryOffset(first))
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
