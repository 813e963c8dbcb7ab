package fsck_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// TestMend: a hash that decayed beside the right address, or an entry that a power cut tore, is set right from its own block; one that is
// wrong in more than that is not believed.
func TestMend(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(e []format.Entry, g *format.Geometry)
		whole  bool
	}{
		{"a bit of a hash", func(e []format.Entry, _ *format.Geometry) { e[5].Hash[7] ^= 0x10 }, true},
		{"two bytes of a hash", func(e []format.Entry, _ *format.Geometry) { e[5].Hash[0] ^= 0xff; e[5].Hash[19] ^= 1 }, true},
		{"three bytes of a hash", func(e []format.Entry, _ *format.Geometry) { e[5].Hash[0]++; e[5].Hash[1]++; e[5].Hash[2]++ }, false},
		{"the hash of nothing", func(e []format.Entry, _ *format.Geometry) { clear(e[5].Hash[:]) }, false},
		{"a torn entry", tear, true},
		{"half an entry at no sector's end", func(e []format.Entry, g *format.Geometry) { clear(e[5].Hash[g.HashSize/2 : g.HashSize]) }, false},
	} {
		for _, mode := range []fsck.Mode{fsck.Normal, fsck.Trusting, fsck.Rebuild, fsck.RebuildAll} {
			t.Run(c.name+", "+mode.String(), func(t *testing.T) {
				v := indextest.New(t, indextest.Options{Hash: "SHA1", Blocks: 200})
				content := make([]byte, 64*4096-100)
				rnd := rand.NewChaCha8([32]byte{1})
				rnd.Read(content)
				v.Store(map[string][]byte{"f": content})
				size, e := v.Recipe("f")
				c.damage(e, v.Geometry)
				v.WriteRecipe("f", size, e)
				v.Repair(fsck.RepairOptions{Mode: mode})
				have, err := v.ReadFile("f")
				if whole := err == nil && bytes.Equal(have, content); whole != c.whole || err == nil && !whole {
					t.Errorf("file whole: %v (%v), want %v", whole, err, c.whole)
				}
				indextest.AssertStatus(t, v.FS, v.Dir, map[bool]fsck.Status{true: fsck.OK, false: fsck.Lost}[c.whole])
				before := v.Image()
				v.Repair(fsck.RepairOptions{Mode: mode})
				assertSame(t, "second repair", v.Image(), before)
			})
		}
	}
}

// tear replaces what lies behind a sector's end in the entry that reaches furthest over one.
func tear(e []format.Entry, g *format.Geometry) {
	for i := range e {
		at := g.EntryOffset(uint64(i))
		if n := int((at/512+1)*512-at) - g.AddrSize; n >= 8 && n <= g.HashSize-4 {
			for j := n; j < g.HashSize; j++ {
				e[i].Hash[j] = byte(31 * j)
			}
			return
		}
	}
	panic("no entry lies across the end of a sector")
}

// TestMendUnreadable: a block that the disk does not deliver when a hash is to be mended by it costs nothing; another day it is.
func TestMendUnreadable(t *testing.T) {
	content := random(84, 12*4096)
	for n := 0; ; n++ {
		m := disktest.New()
		v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Hash: "SHA1", Blocks: 200})
		v.Store(map[string][]byte{"f": content})
		size, e := v.Recipe("f")
		e[5].Hash[7] ^= 0x10
		v.WriteRecipe("f", size, e)
		m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "blockfile.(*File).readAt"}, N: n, Err: unix.EIO})
		res := v.Repair(fsck.RepairOptions{})
		fired := m.Fired()
		m.Heal()
		if have, err := v.ReadFile("f"); err != nil || !bytes.Equal(have, content) {
			if res.Unreadable == 0 || res.Damaged() != 1 {
				t.Errorf("fault at read %d: have %d unreadable blocks and %d damaged files, want 1 and 1", n, res.Unreadable, res.Damaged())
			}
			v.Repair(fsck.RepairOptions{})
		}
		assertFile(t, v, "f", content)
		indextest.AssertStatus(t, m, "/v", fsck.OK)
		if fired == 0 {
			if n < 2 {
				t.Errorf("the repair made only %d reads", n)
			}
			return
		}
	}
}
