package index_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
)

// TestVerifyLinks has blocks decay, or become unreadable, unseen. Whoever writes the same data again with VerifyLinks gets blocks that are good, and
// the older file is healed by them; without it the new file is as bad as the old one.
func TestVerifyLinks(t *testing.T) {
	for _, verify := range []bool{true, false} {
		for _, how := range []string{"decayed", "unreadable"} {
			t.Run(map[bool]string{true: "verified", false: "not verified"}[verify]+"/"+how, func(t *testing.T) {
				r := newRig(t, smallVolume(), index.Options{VerifyLinks: verify})
				r.unclosed()
				old := r.mustPut("old", 1, 2, 3)
				r.close()
				if how == "decayed" {
					r.damage(old[1].Addr)
				}
				r.open()
				if how == "unreadable" {
					r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "blockfile.(*File).readAt"}, N: 1, Err: unix.EIO})
				}
				fresh := r.mustPut("new", 1, 2, 3, 2)
				if !verify {
					if fresh[1] != old[1] {
						t.Error("a block was not linked: this test shows nothing")
					}
					return
				}
				r.m.Heal()
				if fresh[1].Addr == old[1].Addr || fresh[3] != fresh[1] || fresh[0] != old[0] || fresh[2] != old[2] {
					t.Errorf("have %v beside %v, want block 2 stored again, once, and the others linked", fresh, old)
				}
				r.assertRead(fresh, 1, 2, 3, 2)
				r.assertRead(old, 1, 2, 3)
				if s := r.vol.Stats(); s.Written != 1 || s.BadBlocks != 1 {
					t.Errorf("have %d blocks written, %d found bad, want 1 and 1", s.Written, s.BadBlocks)
				}
			})
		}
	}
}

// TestVerifyLinksReadsOnce: a block is read for the first link after the mount only.
func TestVerifyLinksReadsOnce(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{VerifyLinks: true})
	r.mustPut("a", 1, 2)
	r.close()
	r.open()
	for _, name := range []string{"b", "c", "d"} {
		r.mustPut(name, 1, 2)
	}
	if s := r.vol.Stats(); s.Read != 2 || s.Verified != 2 || s.Written != 0 {
		t.Errorf("have %d blocks read, %d verified, %d written, want 2, 2, 0", s.Read, s.Verified, s.Written)
	}
}
