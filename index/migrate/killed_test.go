package migrate_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/migrate"
)

// apart makes a volume on a disk in memory with its block file in a directory of its own.
func apart(t *testing.T, m *disktest.FS, dir, blocks string, count uint64) *indextest.Volume {
	t.Helper()
	v := indextest.New(t, indextest.Options{FS: m, Dir: dir, Blocks: count})
	m.MkdirAll(blocks)
	if err := m.Rename(v.BlocksPath, blocks+"/b"); err != nil {
		t.Fatal(err)
	}
	configure(t, v, func(c *format.Config) { c.BlockFilename = blocks + "/b" })
	return v.Reload()
}

// TestKilledThenPowerCut kills a migration and cuts the power in the run that goes on: what the first one had not synced is there for the second
// one to see, and gone for the third.
func TestKilledThenPowerCut(t *testing.T) {
	m := disktest.New()
	files := map[string][]byte{"a": random(1, 10*block), "dir/b": random(2, 3*block-100), "odd": random(3, 5*block+7)}
	src, dst := apart(t, m, "/s", "/sb", 200), apart(t, m, "/d", "/db", 300)
	src.Store(files)
	dst.Sync()
	if err := m.SyncFS("/"); err != nil {
		t.Fatal(err)
	}
	o := migrate.Options{Move: true}
	probe := disktest.NewMortal(m.Clone(), -1)
	if _, err := run(probe, "/s", "/d", o); err != nil {
		t.Fatal(err)
	}
	steps, long := probe.Steps(), os.Getenv("TRESOR_LONG") != ""
	cases, moved := 0, inodeOf(m, "/sb/b")
	for n := 1; n < len(steps); n++ {
		cuts := 2
		switch last := steps[n-1]; {
		case long:
			cuts = 1000
		case last.Kind == disktest.Rename && (strings.Contains(last.Name, format.MigrateName) || last.Name == "/db/b"):
			cuts = 20 // what the next sync is about
		case n%13 != 0:
			continue
		}
		d := m.Clone()
		d.Record()
		if _, err := run(disktest.NewMortal(d, n), "/s", "/d", o); !errors.Is(err, disktest.ErrKilled) {
			t.Fatalf("kill before change %d of %d: have %v", n, len(steps), err)
		}
		k := len(d.Ops())
		if _, err := run(d, "/s", "/d", o); err != nil {
			t.Fatalf("kill before change %d of %d: run again: %v", n, len(steps), err)
		}
		ops := len(d.Ops())
		for l := k + n%2; l <= ops; l += max((ops-k)/cuts, 1) {
			for _, how := range []disktest.Unsynced{disktest.Drop, disktest.Torn} {
				what := fmt.Sprintf("kill before change %d of %d, power cut before %d of %d, %v", n, len(steps), l-k, ops-k, how)
				img := d.Crash(l, how, uint64(l))
				if (inodeOf(img, "/sb/b") == moved) == (inodeOf(img, "/db/b") == moved) {
					continue // a rename that came to one of two directories: no disk with a journal does that
				}
				_, lstat := img.Lstat("/d/" + format.MigrateName)
				finished := lstat != nil && index.CheckUnfinished(img, "/d") == nil
				if _, err := run(img, "/s", "/d", o); err != nil && !(finished && strings.Contains(err.Error(), "not a new, empty volume")) {
					t.Fatalf("%s: run again: %v", what, err)
				}
				assertMoved(t, what, img, files)
				if cases++; t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

// inodeOf is 0 for a file that is not there.
func inodeOf(m disk.FS, name string) uint64 {
	info, err := m.Lstat(name)
	if err != nil {
		return 0
	}
	return info.Sys().(*unixStat).Ino
}

func assertMoved(t *testing.T, what string, m disk.FS, files map[string][]byte) {
	t.Helper()
	v := indextest.Describe(t, m, "/d")
	for path, want := range files {
		if have, err := v.ReadFile(path); err != nil || string(have) != string(want) {
			t.Errorf("%s: %s: have %d bytes, want %d: %v", what, path, len(have), len(want), err)
		}
	}
	indextest.AssertStatus(t, m, "/d", fsck.OK)
}

// TestFailedSync lets each sync of file contents fail once, runs the migration again and cuts the power at its end: what the failed sync could not
// write is in the memory of the machine only, and no later sync brings it to the disk.
func TestFailedSync(t *testing.T) {
	m := disktest.New()
	files := map[string][]byte{"a": random(1, 10*block), "dir/b": random(2, 3*block-100)}
	src, dst := apart(t, m, "/s", "/sb", 200), apart(t, m, "/d", "/db", 300)
	src.Store(files)
	dst.Sync()
	for _, kind := range []disktest.Kind{disktest.SyncFS, disktest.Sync} {
		for n := 0; ; n++ {
			d := m.Clone()
			d.Record()
			d.Inject(disktest.Fault{Call: disktest.Call{Kind: kind}, N: n})
			_, err := run(d, "/s", "/d", migrate.Options{Move: true})
			if d.Fired() == 0 {
				break
			}
			d.Heal()
			if err == nil {
				t.Fatalf("%s %d fails: no error", kind, n)
			}
			if _, err := run(d, "/s", "/d", migrate.Options{Move: true}); err != nil {
				t.Fatalf("%s %d failed: run again: %v", kind, n, err)
			}
			assertMoved(t, fmt.Sprintf("%s %d failed, power cut at the end", kind, n), d.Crash(len(d.Ops()), disktest.Drop, 0), files)
		}
	}
}
