package index_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
)

// blind makes every underlying file unreadable.
func (r *rig) blind() {
	r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "recipe.(*File).readAt"}, Repeat: true, Err: unix.EIO})
}

// TestUnseenInHoles: the blocks of a file that the repair cannot read stay its own, wherever they lie.
func TestUnseenInHoles(t *testing.T) {
	o := smallVolume()
	o.ReuseASAP = true
	r := newRig(t, o, index.Options{})
	r.mustPut("f", 1, 2, 3, 4)
	r.mustPut("top", 20, 21)
	r.must(r.m.Remove(r.root("f")))
	r.mustReclaim()
	hidden := r.mustPut("hidden", 30, 31, 32)
	t.Log("hidden", hidden[0].Addr, hidden[2].Addr)
	r.must(r.vol.Sync())
	r.must(r.m.SyncFS(r.root("")))
	r.kill()
	r.blind()
	res := r.repair()
	t.Logf("incomplete %v", res.Incomplete)
	r.m.Heal()
	for _, e := range r.mustPut("new", 40, 41, 42) {
		for _, h := range hidden {
			if e.Addr == h.Addr {
				t.Errorf("block %d of the unseen file was given away", e.Addr)
			}
		}
	}
	r.kill()
	res = r.repair()
	t.Logf("second repair: damaged %d %v", res.Damaged(), res.Reports)
	r.assertRead(r.entries("hidden"), 30, 31, 32)
}

// TestStaleIndexUnseenFile: what an old index says of a block of a file that cannot be read is not believed.
func TestStaleIndexUnseenFile(t *testing.T) {
	o := smallVolume()
	o.ReuseASAP = true
	r := newRig(t, o, index.Options{})
	r.mustPut("f", 1, 2)
	r.close()
	old := r.content(indexName)
	r.open()
	r.must(r.m.Remove(r.root("f")))
	r.mustReclaim()
	g := r.mustPut("g", 3, 4)
	r.close()
	r.replace(indexName, old)
	r.assertStale("old")
	r.blind()
	res := r.repair()
	t.Logf("incomplete %v", res.Incomplete)
	r.m.Heal()
	again := r.mustPut("again", 1, 2)
	t.Log("g", g[0].Addr, "again", again[0].Addr)
	r.assertRead(again, 1, 2)
	// The next repair sees the file, and has its blocks back.
	r.kill()
	r.repair()
	r.assertRead(r.entries("g"), 3, 4)
}
