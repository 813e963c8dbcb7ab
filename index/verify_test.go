package index_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/table"
)

// assertLost fails the test unless reading the entries ends at the one with this number with an error of class ErrIO.
func (r *rig) assertLost(entries []format.Entry, at int) {
	r.t.Helper()
	p, err := r.read(entries)
	if !errors.Is(err, format.ErrIO) || len(p) != at*r.blockSize() {
		r.t.Errorf("read of %d entries of which number %d is bad: have %d bytes, %v, want %d and ErrIO", len(entries), at, len(p), err, at*r.blockSize())
	}
}

// unclosed says that the volume is left with damage, so that no check is to pass at the end.
func (r *rig) unclosed() { r.t.Cleanup(r.kill) }

// TestForeignAddress has a damaged entry of a file that names the sound block of somebody else: whatever was proved about that
// block, it is not what the file had.
func TestForeignAddress(t *testing.T) {
	for _, proved := range []bool{false, true} {
		for _, verify := range []index.Verify{index.VerifyFirst, index.VerifyAlways} {
			r := newRig(t, smallVolume(), index.Options{Verify: verify})
			r.unclosed()
			other := r.mustPut("other", 1, 2)
			if proved {
				r.assertRead(other, 1, 2)
			}
			gone := r.vol.Geometry().Kind.Sum(block(r.blockSize(), 77))
			bad := []format.Entry{other[1], {Addr: other[0].Addr, Hash: gone}, other[1]}
			r.assertLost(bad, 1)
			for _, off := range []int{0, 1, 4000} {
				p := make([]byte, 50)
				if n, _, err := r.vol.NewReader().Read(slices.Clone(bad[1:2]), off, p); n != 0 || !errors.Is(err, format.ErrIO) {
					t.Errorf("read part at %d: have %d bytes, %v, want ErrIO", off, n, err)
				}
			}
			// The block is sound, and stays in the index.
			r.assertRead(other, 1, 2)
			if again := r.mustPut("", 1); again[0] != other[0] {
				t.Errorf("the sound block left the index: have %v, want %v", again[0], other[0])
			}
			// Where the content is somewhere else it is served from there, and the entry corrected.
			moved := []format.Entry{{Addr: other[0].Addr, Hash: other[1].Hash}}
			p := make([]byte, r.blockSize())
			n, healed, err := r.vol.NewReader().Read(moved, 0, p)
			if err != nil || n != len(p) || healed != 1 || moved[0] != other[1] || string(p) != string(r.blocks(2)) {
				t.Errorf("read of content that is elsewhere: have %d bytes, healed %d to %v, %v, want it from %v", n, healed, moved[0], err, other[1])
			}
		}
	}
}

// TestBadBlock damages a stored block: it is an error, leaves the index at once, and heals when the content is written again, also
// after a restart.
func TestBadBlock(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t, smallVolume(), index.Options{})
		old := r.mustPut("f", 1, 2, 3)
		r.close()
		r.damage(old[1].Addr)
		r.open()
		r.assertLost(old, 1)
		if s := r.vol.Stats(); s.BadBlocks != 1 || s.ReadErrors == 0 || len(r.warns) != 1 {
			t.Errorf("have %d bad blocks, %d read errors, warnings %q, want 1, some, one", s.BadBlocks, s.ReadErrors, r.warns)
		}
		r.assertRead(old[2:], 3)
		if restart {
			r.close()
			r.open()
			r.assertLost(old, 1)
		}
		fresh := r.mustPut("g", 2)
		if fresh[0].Addr == old[1].Addr || fresh[0].Hash != old[1].Hash {
			t.Errorf("the content of the bad block written again: have %v, want another address than %v", fresh[0], old[1])
		}
		r.assertRead(old, 1, 2, 3)
		if s := r.vol.Stats(); s.Healed != 1 {
			t.Errorf("have %d blocks healed, want 1", s.Healed)
		}
		r.kill()
		if res := r.repair(); res.Damaged() != 0 {
			t.Errorf("repair after the content was written again: %v", res.Reports)
		}
		r.assertRead(r.entries("f"), 1, 2, 3)
	}
}

// TestBadCopyOfLostBlock has a file whose block is gone, and the only other copy of the content has decayed as well: that one leaves the
// index too, so that nothing new is linked to it.
func TestBadCopyOfLostBlock(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.unclosed()
	copy := r.mustPut("f", 1)
	r.damage(copy[0].Addr)
	lost := []format.Entry{{Addr: format.AddressLost, Hash: copy[0].Hash}}
	r.assertLost(lost, 0)
	fresh := r.mustPut("g", 1)
	if fresh[0].Addr == copy[0].Addr {
		t.Errorf("new data was linked to block %d, which a read had found bad", fresh[0].Addr)
	}
	r.assertRead(fresh, 1)
	r.assertRead(lost, 1)
}

// TestAdopt reads a block that the index has lost: proved by its content it is entered again.
func TestAdopt(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	old := r.mustPut("f", 1, 2)
	r.close()
	indextest.Describe(t, r.m, volumeDir).WithIndex(func(tab *table.Table, _ *bitmap.Bitmap) {
		if _, _, ok := tab.Delete(&old[0].Hash); !ok {
			t.Fatal("the block is not in the index")
		}
	})
	r.unrecorded()
	r.open()
	r.assertRead(old, 1, 2)
	if again := r.mustPut("", 1, 2); again[0] != old[0] || again[1] != old[1] {
		t.Errorf("have entries %v, want %v: the block was stored twice", again, old)
	}
	if s := r.vol.Stats(); s.Written != 0 {
		t.Errorf("have %d blocks written, want 0", s.Written)
	}
}

// TestReadOnlyChangesNothing reads bad, lost and unknown blocks of a volume opened for reading only.
func TestReadOnlyChangesNothing(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.unclosed()
	old := r.mustPut("f", 1, 2)
	r.close()
	r.damage(old[0].Addr)
	before := r.m.Clone()
	p, err := index.Acquire(index.Location{FS: r.m, Parent: volumeDir}, index.Read)
	if err != nil {
		t.Fatal(err)
	}
	if r.vol, err = index.Open(p, index.Options{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	r.assertLost(old, 0)
	r.assertRead(old[1:], 2)
	if err := r.vol.Close(); err != nil {
		t.Error(err)
	}
	want := indextest.Describe(t, before, volumeDir).Image()
	for name, have := range indextest.Describe(t, r.m, volumeDir).Image() {
		if have != want[name] {
			t.Errorf("%s was changed by a volume opened for reading", name)
		}
	}
	r.open()
}

// TestLostBlock reads address 1: an error, or zeros where that is asked for, or the content where it is stored again.
func TestLostBlock(t *testing.T) {
	for _, zeros := range []bool{false, true} {
		r := newRig(t, smallVolume(), index.Options{LostZeros: zeros})
		r.unclosed()
		lost := []format.Entry{{Addr: format.AddressLost, Hash: r.vol.Geometry().Kind.Sum(block(r.blockSize(), 5))}}
		if !zeros {
			r.assertLost(lost, 0)
		} else if p, err := r.read(lost); err != nil || strings.Trim(string(p), "\x00") != "" || len(p) == 0 {
			t.Errorf("lost block as zeros: have %d bytes, %v", len(p), err)
		}
		r.mustPut("f", 5)
		r.assertRead(lost, 5)
		// Without a hash there is nothing to find.
		r.assertLost([]format.Entry{{Addr: format.AddressLost}}, 0)
	}
}

// TestAddressOutOfRange reads entries that no volume can have.
func TestAddressOutOfRange(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.unclosed()
	good := r.mustPut("f", 1)
	for _, a := range []format.Address{64, 65, 255} {
		r.assertLost([]format.Entry{good[0], {Addr: a, Hash: r.vol.Geometry().Kind.Sum(block(r.blockSize(), 9))}}, 1)
		r.assertRead([]format.Entry{{Addr: a, Hash: good[0].Hash}}, 1)
	}
}

// TestUnreadable lets the disk refuse a block: an error for that block alone, not for its neighbours, and nothing new is linked to it.
// Once the disk delivers it again it is as good as before.
func TestUnreadable(t *testing.T) {
	for name, fault := range map[string]disktest.Fault{
		"EIO": {Err: unix.EIO}, "short": {Partial: 100},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smallVolume(), index.Options{})
			r.unclosed()
			old := r.mustPut("f", 1, 2, 3)
			fault.Call = disktest.Call{Kind: disktest.Read, Site: "blockfile.(*File).readAt"}
			// The read of the run fails, then that of its first block, then all go well.
			r.m.Inject(fault)
			fault.N = 1
			r.m.Inject(fault)
			fault.N = 0
			r.assertLost(old, 0)
			r.m.Heal()
			r.assertRead(old[1:], 2, 3)
			fresh := r.mustPut("g", 1)
			if fresh[0].Addr == old[0].Addr {
				t.Errorf("new data was linked to block %d, which could not be read", fresh[0].Addr)
			}
			r.assertRead(fresh, 1)
			r.assertRead(old, 1, 2, 3)
			// Only the run fails, its blocks one by one do not.
			r.m.Inject(fault)
			r.assertRead([]format.Entry{old[1], old[2]}, 2, 3)
			r.m.Heal()
		})
	}
}

// TestVerifyFirst holds when blocks are hashed: once after opening, or always, or never.
func TestVerifyFirst(t *testing.T) {
	for _, test := range []struct {
		verify index.Verify
		want   [3]uint64 // hashed by the first, the second read, and after opening again
	}{
		{index.VerifyFirst, [3]uint64{2, 0, 2}},
		{index.VerifyAlways, [3]uint64{2, 2, 2}},
		{index.VerifyOff, [3]uint64{}},
	} {
		r := newRig(t, smallVolume(), index.Options{Verify: test.verify})
		old := r.mustPut("f", 1, 2)
		for i, want := range test.want {
			if i == 2 {
				r.close()
				r.open()
			}
			r.vol.ResetStats()
			r.assertRead(old, 1, 2)
			if s := r.vol.Stats(); s.Verified != want {
				t.Errorf("verify %d, read %d: have %d blocks hashed, want %d", test.verify, i, s.Verified, want)
			}
		}
	}
}
