package openfile

import (
	"errors"
	"slices"

	"tresor/index/disk"
	"tresor/index/format"
)

// overwritten keeps the entries that a write of entries replaces: if only a part of the new ones arrives, half an entry may stand in the
// middle of the file, and it would be believed. It is scratch of the committer.
type overwritten struct {
	first uint64
	old   []format.Entry
	err   error // why they are not known
}

// keep reads what a run of n entries from first on replaces in a file of size bytes. Entries behind its end are not kept, so an append
// reads nothing.
func (o *overwritten) keep(f *File, first uint64, n int, size int64) {
	o.first, o.old, o.err = first, o.old[:0], nil
	have := f.geo.Entries(uint64(size))
	if first >= have {
		return
	}
	n = int(min(uint64(n), have-first))
	o.old = slices.Grow(o.old, n)[:n]
	got, err := f.recipe.ReadEntries(first, o.old)
	if err == nil && got < n {
		err = &format.CorruptError{File: f.disk.Name(), Offset: f.geo.EntryOffset(first + uint64(got)), What: "number of entries"}
	}
	o.old, o.err = o.old[:got], err
}

// putBack gives the file back what was kept. Null entries become a hole, which needs no room on a full disk. If that fails the next
// mount has to repair the volume. The caller is between Enter and Leave since before the entries were kept.
func (o *overwritten) putBack(f *File) error {
	f.m.vol.Mark(o.old) // a reclaim may have seen the new ones in their place
	errs := []error{o.err}
	for i := 0; i < len(o.old); {
		null := isNull(&o.old[i])
		j := i + 1
		for j < len(o.old) && isNull(&o.old[j]) == null {
			j++
		}
		errs = append(errs, f.putRun(o.first+uint64(i), o.old[i:j], null))
		i = j
	}
	err := errors.Join(errs...)
	f.m.vol.Halfway(err)
	return err
}

func (f *File) putRun(first uint64, run []format.Entry, null bool) error {
	if null {
		err := f.disk.Punch(f.geo.EntryOffset(first), int64(len(run))*int64(f.geo.EntrySize))
		if !errors.Is(err, disk.ErrUnsupported) {
			return err
		}
	}
	return f.recipe.WriteEntries(first, run)
}

// isNull tells whether an entry is stored as zeros only.
func isNull(e *format.Entry) bool { return e.Addr == format.AddressZero && e.Hash.IsNull() }
