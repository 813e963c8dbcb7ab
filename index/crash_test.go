package index_test

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/recipe"
	"tresor/index/reclaim"
)

// TestPowerCut runs a workload of everything that the engine does and cuts the power after its changes to the disk, with what was not
// synced kept, dropped or torn. After a repair, if one is needed, each file that was synced must be there to the byte, and no file may
// have a byte that nobody wrote.
func TestPowerCut(t *testing.T) {
	workloads, steps, cases := 3, 70, 100
	if long() {
		workloads, steps, cases = 40, 200, 5000
	}
	n := seed(t)
	for w := range workloads {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(n, uint64(w)))
			hash := []string{"TIGER", "SHA1", "BLAKE3", "TIGER128"}[w%4]
			r := newRig(t, format.CreateOptions{Hash: hash, BlockSize: 512, Size: 72 * 512, Overflow: 1.3, ReuseASAP: w%2 == 0}, index.Options{})
			c := &crasher{rig: r, rnd: rnd, files: map[string]*crashFile{}}
			r.close()
			r.m.Record()
			r.open()
			for range steps {
				c.step()
			}
			r.close()
			r.opts.Changing = false // for those who look at what is left
			ops := len(r.m.Ops())
			done := 0
			for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
				part := cases / 4
				if how == disktest.Torn {
					part = cases / 2
				}
				for range part {
					c.cut(rnd.IntN(ops+1), how, rnd.Uint64())
					done++
					if t.Failed() {
						return
					}
				}
			}
			t.Logf("workload %d, %s: %d changes of the disk, %d crashes, %d needed a repair", w, hash, ops, done, c.repairs)
		})
	}
}

// crasher is the workload and what is known of it.
type crasher struct {
	*rig
	rnd     *rand.Rand
	files   map[string]*crashFile // all that ever were
	made    int
	repairs int
	log     []string
}

// crashFile is written once.
type crashFile struct {
	blocks            []uint64 // 0 is a block of zeros
	syncedAt, removed int      // number of changes of the disk: when it was on disk, and when its removal began; -1 never
}

func (c *crasher) note(text string, args ...any) {
	c.log = append(c.log, fmt.Sprintf("%4d ", len(c.m.Ops()))+fmt.Sprintf(text, args...))
}

func (c *crasher) must(err error) {
	c.t.Helper()
	if err != nil {
		c.fail("%v", err)
	}
}

func (c *crasher) fail(text string, args ...any) {
	c.t.Helper()
	for _, l := range c.log {
		c.t.Log(l)
	}
	c.t.Fatalf(text, args...)
}

func (c *crasher) step() {
	op := c.rnd.IntN(100)
	switch {
	case op < 45:
		c.create()
	case op < 62:
		if name, ok := c.pick(func(f *crashFile) bool { return f.removed < 0 }); ok {
			c.note("remove %s", name)
			c.files[name].removed = len(c.m.Ops())
			c.must(c.m.Remove(c.root(name)))
		}
	case op < 72:
		if name, ok := c.pick(func(f *crashFile) bool { return f.removed < 0 && f.syncedAt < 0 }); ok {
			c.sync(name)
		}
	case op < 82:
		c.note("checkpoint")
		c.must(c.vol.Checkpoint())
	case op < 90:
		c.reclaim()
	case op < 94:
		c.note("rest")
		_, err := c.vol.Quiesce(0, func() error { return nil })
		c.must(err)
	case op < 97:
		c.opts.Changing = c.rnd.IntN(2) == 0
		c.note("close and open, changing: %v", c.opts.Changing)
		c.close()
		c.open()
	default:
		c.note("kill and repair")
		c.kill()
		c.repair()
	}
}

func (c *crasher) pick(ok func(*crashFile) bool) (string, bool) {
	var list []string
	for name, f := range c.files {
		if ok(f) {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return "", false
	}
	slices.Sort(list)
	return list[c.rnd.IntN(len(list))], true
}

func (c *crasher) create() {
	f := &crashFile{syncedAt: -1, removed: -1}
	for range 1 + c.rnd.IntN(6) {
		f.blocks = append(f.blocks, c.rnd.Uint64N(150)) // few enough for duplicates
	}
	out, err := c.put(f.blocks...)
	if errors.Is(err, format.ErrNoSpace) {
		for range 3 {
			if name, ok := c.pick(func(f *crashFile) bool { return f.removed < 0 }); ok {
				c.files[name].removed = len(c.m.Ops())
				c.must(c.m.Remove(c.root(name)))
			}
		}
		c.reclaim()
		return
	}
	c.must(err)
	name := fmt.Sprintf("f%d", c.made)
	c.made++
	c.files[name] = f
	c.note("create %s: %v at %v", name, f.blocks, addresses(out))
	c.must(c.tryWriteFile(name, uint64(len(out)*c.blockSize()), out))
	if c.rnd.IntN(3) > 0 {
		c.sync(name)
	}
}

func addresses(list []format.Entry) (a []format.Address) {
	for _, e := range list {
		a = append(a, e.Addr)
	}
	return a
}

func (c *crasher) sync(name string) {
	c.must(c.syncFile(name))
	c.files[name].syncedAt = len(c.m.Ops())
	c.note("%s is synced", name)
}

func (c *crasher) reclaim() {
	c.note("reclaim")
	rep, err := reclaim.Run(context.Background(), c.vol, reclaim.Options{})
	c.must(err)
	c.note("%d blocks freed", rep.NotInUse)
}

// cut looks at the disk as a power cut after k changes leaves it.
func (c *crasher) cut(k int, how disktest.Unsynced, fate uint64) {
	c.t.Helper()
	where := fmt.Sprintf("power cut after %d changes, the unsynced rest %v (%d)", k, how, fate)
	img := c.over(c.m.Crash(k, how, fate))
	p := img.acquire()
	dirty, err := p.Dirty()
	c.must(errors.Join(err, p.Close()))
	if dirty {
		c.repairs++
		img.repair()
	} else {
		// What is marked clean is clean, without a repair. Files that were not synced may be damaged by the power cut.
		img.open()
		c.must(img.vol.Abandon())
		img.vol = nil
		if sum, found := img.check(); how == disktest.Keep && sum.Status() > 2 {
			c.fail("%s: marked clean, but status %d: %q", where, sum.Status(), found)
		}
		img.open()
	}
	c.inspect(img, where, k)
	c.reuse(img, where)
	img.close()
	if how == disktest.Keep || dirty {
		if sum, found := img.check(); sum.Status() != fsck.OK && sum.Status() != fsck.Lost {
			c.fail("%s: after the repair: status %d: %q", where, sum.Status(), found)
		}
	}
	before := imageOf(img)
	indextest.Describe(c.t, img.m, volumeDir).Repair(fsck.RepairOptions{})
	if after := imageOf(img); dirty && !maps.Equal(before, after) {
		var list []string
		for name := range after {
			if before[name] != after[name] {
				list = append(list, fmt.Sprintf("%s (%d bytes, before %d)", name, len(after[name]), len(before[name])))
			}
		}
		c.fail("%s: a second repair changed %q of %d files", where, list, len(before))
	}
	c.inspectClosed(img, where, k)
}

func imageOf(r *rig) map[string]string {
	all := indextest.Describe(r.t, r.m, volumeDir).Image()
	delete(all, ".ddfssnapshot") // proves the snapshot by its time as well
	return all
}

// inspect compares every file with what it was.
func (c *crasher) inspect(img *rig, where string, k int) {
	c.t.Helper()
	for name, f := range c.files {
		in, err := img.m.OpenFile(img.root(name), os.O_RDONLY, 0)
		synced := f.syncedAt >= 0 && f.syncedAt <= k
		if errors.Is(err, iofs.ErrNotExist) {
			if synced && (f.removed < 0 || f.removed >= k) {
				c.fail("%s: %s was synced at %d and is gone", where, name, f.syncedAt)
			}
			continue
		}
		c.must(err)
		rec := recipe.New(in, img.geo)
		h, err := rec.ReadHeader()
		list := make([]format.Entry, h.Entries)
		if err == nil {
			_, err = rec.ReadEntries(0, list)
		}
		c.must(in.Close())
		if synced && (err != nil || h.Size != uint64(len(f.blocks)*img.blockSize()) || len(list) != len(f.blocks)) {
			c.fail("%s: %s was synced at %d: have size %d, %d entries, %v, want %d", where, name, f.syncedAt, h.Size, len(list), err, len(f.blocks))
		}
		for i := range list {
			p, err := img.read(list[i : i+1])
			switch {
			case err != nil && synced:
				c.fail("%s: %s was synced at %d: block %d: %v", where, name, f.syncedAt, i, err)
			case err != nil:
			case i < len(f.blocks) && string(p) == string(img.blocks(f.blocks[i])):
			case !synced && string(p) == string(make([]byte, len(p))):
			default:
				c.fail("%s: %s (synced at %d): block %d has wrong content", where, name, f.syncedAt, i)
			}
		}
	}
}

// reuse stores new blocks in the repaired volume, over whatever it takes for free.
func (c *crasher) reuse(img *rig, where string) {
	c.t.Helper()
	for i := range uint64(200) {
		out, err := img.put(1000 + i)
		if errors.Is(err, format.ErrNoSpace) {
			return
		}
		c.must(err)
		c.must(img.tryWriteFile(fmt.Sprintf("new%d", i), uint64(img.blockSize()), out))
	}
	c.fail("%s: a volume of 72 blocks took 200", where)
}

// inspectClosed opens the closed volume once more, for files to be what they were under all that was written since.
func (c *crasher) inspectClosed(img *rig, where string, k int) {
	c.t.Helper()
	img.open()
	c.inspect(img, where+", after all else was overwritten", k)
	img.kill()
}

// TestPowerCutAfterRepair removes a synced file, kills the process before the removal is on the disk, and lets the repaired volume give the
// blocks new content: the file must not come back with that.
func TestPowerCutAfterRepair(t *testing.T) {
	for _, rest := range []bool{false, true} {
		r := newRig(t, smallVolume(), index.Options{})
		c := &crasher{rig: r, rnd: rand.New(rand.NewPCG(1, 1)), files: map[string]*crashFile{"f": {blocks: []uint64{1, 2, 3}, syncedAt: 0, removed: -1}}}
		r.mustPut("f", 1, 2, 3)
		r.must(r.syncFile("f"))
		r.must(r.m.SyncFS(volumeDir))
		if rest {
			_, err := r.vol.Quiesce(0, nothing)
			r.must(err)
		}
		r.m.Record()
		c.files["f"].removed = 0
		r.must(r.m.Remove(r.root("f")))
		r.kill()
		r.repair()
		for i := range uint64(4) {
			r.mustPut(fmt.Sprintf("first%d", i), 5000+i)
		}
		for k := 0; k <= len(r.m.Ops()); k += 2 {
			for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
				c.cut(k, how, uint64(k))
			}
		}
		r.kill()
	}
}
