package faults

import (
	"errors"
	"fmt"
	"os"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/table"
)

// becomeSource makes the volume the source of a migration to a new one in its place.
func becomeSource(l *life) {
	l.step(func() error {
		if err := l.d.Rename(volumeDir, sourceDir); err != nil {
			return err
		}
		l.d.MkdirAll(volumeDir)
		return l.create()
	})
	l.files = map[string]*story{}
}

// holes leaves free blocks between the used ones.
func holes(l *life) {
	furnish(l)
	for i := range 4 {
		l.write(fmt.Sprint("piece", i), 0, l.data(500+i, 3*l.v.bs))
		l.fsync(fmt.Sprint("piece", i))
	}
	for i := 0; i < 4; i += 2 {
		l.remove(fmt.Sprint("piece", i))
		delete(l.files, fmt.Sprint("piece", i))
	}
	l.reclaim()
}

func (l *life) volume() *indextest.Volume { return indextest.Describe(l.t, l.d, volumeDir) }

func noIndex(l *life) {
	l.step(func() error { return l.d.Remove(l.volume().IndexPath) })
}

func blankMagic(l *life) {
	l.damage(func(v *indextest.Volume) (string, []byte, int64) { return v.IndexPath, make([]byte, 8), 0 })
}

func (l *life) damage(where func(v *indextest.Volume) (name string, p []byte, off int64)) {
	l.step(func() error {
		name, p, off := where(l.volume())
		f, err := l.d.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(p, off)
		return errors.Join(err, f.Close())
	})
}

func halfIndex(l *life) {
	l.step(func() error {
		f, err := l.d.OpenFile(l.volume().IndexPath, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		size, err := f.Size()
		return errors.Join(err, f.Truncate(size/2), f.Close())
	})
}

// spoilTable exchanges addresses, takes entries away and clears a part of the bitmap.
func spoilTable(l *life) {
	v := l.volume()
	v.SwapAddresses()
	v.WithIndex(func(t *table.Table, used *bitmap.Bitmap) {
		var e format.Entry
		for s := range t.Slots() {
			if !t.Empty(s) && s%3 == 0 {
				t.Get(s, &e)
				used.Clear(uint64(e.Addr))
			}
		}
	})
	v.SetFlag(format.DirtyName, true)
}

// noHeader takes the header of a file away: it comes back from nowhere, and lies in the quarantine afterwards.
func noHeader(l *life) {
	l.volume().BlankHeader("small")
	l.volume().SetFlag(format.DirtyName, true)
	delete(l.files, "small")
}
