package indexfile_test

import (
	"bytes"
	"os"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/table"
)

// TestNewAndPlace holds that an index put together in memory is on the disk what one that was made there is, over whatever lay there: a
// regular file with junk, a device with junk, nothing.
func TestNewAndPlace(t *testing.T) {
	c := config(t, 3000)
	junk := bytes.Repeat([]byte{0xA5}, int(c.IndexSize)+5000)
	for what, prepare := range map[string]func(m *disktest.FS) error{
		"nothing": func(*disktest.FS) error { return nil },
		"junk":    func(m *disktest.FS) error { return disk.WriteFileAtomic(m, "/x", junk, 0o600) },
		"device": func(m *disktest.FS) error {
			if err := m.AddDevice("/x", int64(len(junk))); err != nil {
				return err
			}
			f, err := m.OpenFile("/x", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			return disk.WriteFull(f, junk, 0)
		},
	} {
		t.Run(what, func(t *testing.T) {
			m := disktest.New()
			m.CheckLeaks(t)
			if err := prepare(m); err != nil {
				t.Fatal(err)
			}
			x, err := indexfile.New(m, c)
			if err != nil {
				t.Fatal(err)
			}
			e := format.Entry{Addr: 77}
			e.Hash[0] = 0x80
			first, last, err := x.Table().Insert(&e)
			if err != nil {
				t.Fatal(err)
			}
			x.MarkSlots(first, last)
			x.Bitmap().Set(77)
			if err := x.Place("/x"); err != nil {
				t.Fatal(err)
			}
			if _, err := indexfile.Open(m, "/x", c, indexfile.Options{ReadOnly: true}); err == nil {
				t.Error("a reader takes it for an index before Seal")
			}
			if err := x.Place("/y"); err == nil {
				t.Error("placed twice")
			}
			if err := x.Seal(); err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			y, err := indexfile.Open(m, "/x", c, indexfile.Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer y.Close()
			entries := 0
			y.Table().Check(func(f table.Finding) { t.Errorf("layout: %+v", f) })
			for s := range y.Table().Slots() {
				if !y.Table().Empty(s) {
					entries++
				}
			}
			a, _, ok := y.Table().Lookup(&e.Hash)
			if !ok || a != 77 || entries != 1 || y.Bitmap().Count() != 3 || !y.Bitmap().Get(77) {
				t.Errorf("have address %d (%v), %d entries, %d blocks; want 77, 1, 3", a, ok, entries, y.Bitmap().Count())
			}
		})
	}
}
