package openfile_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
)

// TestOverwriteTorn fails the writing of entries over older ones after a part of them has arrived, in the middle of an entry: the older ones
// come back, or the volume is left to a repair.
func TestOverwriteTorn(t *testing.T) {
	const bs = 4096
	entries := disktest.Call{Kind: disktest.Write, Site: "recipe.(*File).WriteEntries"}
	once := disktest.Fault{Call: entries, Err: unix.EIO, Partial: 40}
	always := disktest.Fault{Call: entries, Err: unix.ENOSPC, Partial: 40, Repeat: true}
	punch := disktest.Fault{Call: disktest.Call{Kind: disktest.Punch}, Err: unix.EIO, Repeat: true}
	tests := []struct {
		name   string
		size   int // of the file, after its data
		off, n int
		faults []disktest.Fault
		repair bool
	}{
		{"over data", 10 * bs, bs, 5 * bs, []disktest.Fault{once}, false},
		{"over data and beyond the end", 10 * bs, 7 * bs, 9 * bs, []disktest.Fault{once}, false},
		{"into a hole of a full disk", 40 * bs, 20 * bs, 5 * bs, []disktest.Fault{always}, false},
		{"over data and a hole", 40 * bs, 8 * bs, 5 * bs, []disktest.Fault{once}, false},
		{"over data, not to be put back", 10 * bs, bs, 5 * bs, []disktest.Fault{always}, true},
		{"into a hole, not to be put back", 40 * bs, 20 * bs, 5 * bs, []disktest.Fault{always, punch}, true},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			r := newMemory(t, tiny(), 2)
			h := r.file("f")
			want := append(pattern(1, 10*bs), make([]byte, c.size-10*bs)...)
			r.write(h, want[:10*bs], 0)
			if err := errors.Join(h.File().Truncate(int64(c.size)), h.Sync(false)); err != nil {
				t.Fatal(err)
			}
			for _, f := range c.faults {
				r.disk.Inject(f)
			}
			_, err := h.WriteAt(pattern(2, c.n), int64(c.off))
			if err := errors.Join(err, h.Flush()); !errors.Is(err, c.faults[0].Err) {
				t.Errorf("write: have %v, want %v", err, c.faults[0].Err)
			}
			if r.disk.Fired() < len(c.faults) {
				t.Errorf("have %d faults, want at least %d", r.disk.Fired(), len(c.faults))
			}
			r.disk.Heal()
			if !c.repair {
				r.assertContent(h, want)
				if err := h.Close(); err != nil {
					t.Error(err)
				}
				r.close()
				if s, found := r.status(); s != 0 {
					t.Errorf("check: status %d, %q", s, found)
				}
				return
			}
			if err := errors.Join(h.Close(), r.m.Close()); err != nil {
				t.Error(err)
			}
			err = r.vol.Close()
			r.vol = nil
			p := r.acquire()
			if dirty, derr := p.Dirty(); !dirty || derr != nil {
				t.Errorf("after the close (%v): have dirty %v, %v, want an unclean volume", err, dirty, derr)
			}
			p.Close()
		})
	}
}
