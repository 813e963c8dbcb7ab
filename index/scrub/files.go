package scrub

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"

	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// maxContents bounds the hashes of blocks in doubt that are kept while files are looked through.
const maxContents = 100_000

// looker finds what has lost its content because of bad blocks. An entry has lost it when neither its own block nor the one that the
// index has for its hash holds it.
type looker struct {
	*run
	ctx    context.Context
	wanted *bitmap.Bitmap                     // blocks in doubt or bad
	hashes map[blockhash.Hash]*found          // of bad blocks that are listed
	have   map[format.Address]*blockhash.Hash // what blocks in doubt hold, nil: unreadable
	files  *progress.Meter

	paths   int    // bytes of the paths that were listed
	skipped uint64 // files that could not be looked at
	first   error  // why
}

// lookFiles walks over all files once, if there is anything to look for. Afterwards blocks that were in doubt are bad or not, and those
// that were found bad by earlier runs and that no file misses any more are forgotten.
func (r *run) lookFiles(ctx context.Context) error {
	l := &looker{run: r, ctx: ctx, wanted: r.doubt.Clone(), hashes: map[blockhash.Hash]*found{}, have: map[format.Address]*blockhash.Hash{}}
	l.wanted.Or(r.bad)
	for a, f := range r.found {
		l.wanted.Set(uint64(a))
		var h blockhash.Hash
		if raw, err := hex.DecodeString(f.Hash); err == nil {
			copy(h[:], raw)
			l.hashes[h] = f
		}
	}
	if l.wanted.Count() == 0 {
		return nil
	}
	if err := l.walk(); err != nil {
		return err
	}
	if l.first != nil {
		return fmt.Errorf("%d files or directories could not be looked at for lost blocks, the first of them: %w", l.skipped, l.first)
	}
	for a, f := range r.found {
		if !f.fresh && !f.referenced {
			delete(r.found, a)
		}
	}
	return nil
}

func (l *looker) walk() error {
	p := l.v.Parent()
	l.files = progress.New(l.o.Progress, "look for affected files", progress.Files, 0)
	err := recipe.Walk(l.ctx, p.FS, p.Root, func(e recipe.WalkEntry) error { return l.file(e, false) }, l.skip)
	if err != nil {
		return err
	}
	return recipe.WalkQuarantine(l.ctx, p.FS, p.Dir, func(e recipe.WalkEntry) error { return l.file(e, true) })
}

// skip goes on behind what cannot be looked at. What is gone since it was listed has lost nothing.
func (l *looker) skip(path string, err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	l.skipped++
	if l.first == nil {
		l.first = fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// errStop is an error that ends the walk, not only the look at one file.
type errStop struct{ error }

func (e errStop) Unwrap() error { return e.error }

func (l *looker) file(w recipe.WalkEntry, quarantine bool) error {
	l.files.Add(1)
	f, err := w.Open()
	if err != nil {
		return l.skip(w.Path, err)
	}
	defer f.Close()
	before := l.rep.MoreDamage + uint64(len(l.rep.Files))
	err = l.scan(f, w.Path, quarantine)
	if l.rep.MoreDamage+uint64(len(l.rep.Files)) > before {
		l.rep.AffectedFiles++
	}
	var stop errStop
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stop):
		return stop.error
	case l.ctx.Err() != nil:
		return err
	}
	return l.skip(w.Path, err)
}

func (l *looker) scan(d disk.File, path string, quarantine bool) error {
	f := recipe.New(d, l.g)
	var e format.Entry
	return f.Scan(l.ctx, 0, func(first uint64, raw []byte) error {
		for off := 0; off < len(raw); off += l.g.EntrySize {
			a := l.g.Addr(raw[off:])
			if a == format.AddressZero || a != format.AddressLost && !quarantine && !l.wanted.Get(uint64(a)) {
				continue
			}
			l.g.GetEntry(raw[off:], &e)
			if (quarantine || a == format.AddressLost) && l.hashes[e.Hash] == nil {
				continue
			}
			served, err := l.served(&e, quarantine)
			if err == nil && !served {
				served, err = l.again(&e, quarantine)
			}
			if err != nil {
				return errStop{err}
			}
			i := first + uint64(off/l.g.EntrySize)
			if !served && l.stillThere(f, i, &e) {
				l.lost(path, quarantine, i, &e)
			}
		}
		return nil
	})
}

// stillThere looks at the entry again: a writer may have been in the middle of replacing it.
func (l *looker) stillThere(f *recipe.File, i uint64, e *format.Entry) bool {
	var again [1]format.Entry
	n, err := f.ReadEntries(i, again[:])
	return err != nil || n == 1 && again[0] == *e
}

// served tells whether the content of an entry can be had.
func (l *looker) served(e *format.Entry, quarantine bool) (bool, error) {
	other, known := l.v.Known(&e.Hash)
	if known && !l.wanted.Get(uint64(other)) {
		return true, nil
	}
	if !quarantine && l.g.InRange(e.Addr) {
		if ok, err := l.holds(e.Addr, &e.Hash); ok || err != nil {
			return ok, err
		}
	}
	if known {
		return l.holds(other, &e.Hash)
	}
	return false, nil
}

// again asks once more, without what was kept: a block that was read before may have been freed since, and hold what a new file has stored
// there. One that could not be read is tried again only where the index has the hash, as it has that of all that was stored lately.
func (l *looker) again(e *format.Entry, quarantine bool) (bool, error) {
	other, known := l.v.Known(&e.Hash)
	if known {
		delete(l.have, other)
	}
	if have, seen := l.have[e.Addr]; known || seen && have != nil {
		delete(l.have, e.Addr)
	}
	return l.served(e, quarantine)
}

// holds reads a block, unless it was read before.
func (l *looker) holds(a format.Address, h *blockhash.Hash) (bool, error) {
	have, seen := l.have[a]
	if !seen {
		bad, failed := l.read(a, l.pool.one)
		if failed != nil {
			return false, failed
		}
		if bad == nil {
			sum := l.g.Kind.Sum(l.pool.one)
			have = &sum
		}
		if len(l.have) < maxContents {
			l.have[a] = have
		}
	}
	return have != nil && *have == *h, nil
}

// lost notes a place in a file. A block that was only in doubt is bad from now on.
func (l *looker) lost(path string, quarantine bool, i uint64, e *format.Entry) {
	f := l.hashes[e.Hash]
	if !quarantine && l.g.InRange(e.Addr) && (f == nil || f.Address != uint64(e.Addr)) {
		if f = l.found[e.Addr]; f == nil && !l.bad.Get(uint64(e.Addr)) {
			have, seen := l.have[e.Addr]
			f = l.note(e, seen && have == nil)
		}
	}
	if f != nil {
		f.referenced = true
	}
	if l.paths += len(path); len(l.rep.Files) >= maxFiles || l.paths > maxPaths {
		l.rep.MoreDamage++
		return
	}
	l.rep.Files = append(l.rep.Files, Damage{Path: path, Quarantine: quarantine, Offset: i << l.g.BlockShift, Address: uint64(e.Addr)})
}
