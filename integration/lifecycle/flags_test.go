package lifecycle_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// patience is how long something may take that is due after a second.
const patience = 20 * time.Second

func random(id uint64, n int) []byte {
	r := rand.New(rand.NewPCG(5, id))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// volume makes a volume that comes to rest after a second without new blocks.
func volume(t *testing.T) string {
	t.Helper()
	parent := mounttest.New(t, mounttest.VolumeOptions{})
	edit(t, parent, "auto_sync: 120", "auto_sync: 1")
	return parent
}

// edit replaces a line of the configuration.
func edit(t *testing.T, parent, old, line string) {
	t.Helper()
	name := filepath.Join(parent, format.ConfigName)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old+"\n") {
		t.Fatalf("configuration: have %q, want a line %q", text, old)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), old+"\n", line+"\n", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, parent, name string) bool {
	t.Helper()
	_, err := os.Lstat(filepath.Join(parent, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

// flags compares the two marks with what they should be.
func flags(t *testing.T, when, parent string, mounted, quiet bool) {
	t.Helper()
	if have := has(t, parent, format.DirtyName); have != mounted {
		t.Errorf("%s: %s: have %v, want %v", when, format.DirtyName, have, mounted)
	}
	if have := has(t, parent, format.CleanName); have != quiet {
		t.Errorf("%s: %s: have %v, want %v", when, format.CleanName, have, quiet)
	}
}

func quiet(t *testing.T, when, parent string) {
	t.Helper()
	if !mounttest.Until(patience, func() bool { return has(t, parent, format.CleanName) }) {
		t.Fatalf("%s: have no %s after %v", when, format.CleanName, patience)
	}
}

// stirred does what takes the volume out of its rest, and looks whether it is. Where that took longer than the second after which it comes to rest again, on a
// busy disk, nothing can be told: once more.
func stirred(t *testing.T, when, parent string, do func(round uint64)) {
	t.Helper()
	for round := range uint64(20) {
		begin := time.Now()
		do(round)
		if !has(t, parent, format.CleanName) || time.Since(begin) < time.Second {
			break
		}
	}
	flags(t, when, parent, true, false)
}

func put(t *testing.T, m *mounttest.Mount, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(m.Path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	m.Syncfs()
}

func is(t *testing.T, m *mounttest.Mount, when, name string, want []byte) {
	t.Helper()
	if have, err := os.ReadFile(m.Path(name)); err != nil || !bytes.Equal(have, want) {
		t.Errorf("%s: %s: have %d bytes, %v; want what was written", when, name, len(have), err)
	}
}

func TestFlags(t *testing.T) {
	parent := volume(t)
	flags(t, "new", parent, false, false)
	m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
	flags(t, "mounted", parent, true, true)
	last := uint64(0)
	stirred(t, "after new blocks", parent, func(round uint64) {
		last = round
		put(t, m, "a", random(100+round, 300_000))
	})
	quiet(t, "after a quiet second", parent)
	is(t, m, "at rest", "a", random(100+last, 300_000))
	if _, err := os.ReadDir(m.Point); err != nil {
		t.Error(err)
	}
	flags(t, "after reading", parent, true, true)
	stirred(t, "after more new blocks", parent, func(round uint64) { put(t, m, "b", random(200+round, 300_000)) })
	quiet(t, "after another quiet second", parent)
	stirred(t, "after a reclaim", parent, func(round uint64) {
		if round > 0 { // the first one has freed everything
			put(t, m, "b", random(300+round, 300_000))
			quiet(t, "before another reclaim", parent)
		}
		if err := os.Remove(m.Path("b")); err != nil {
			t.Fatal(err)
		}
		m.Reclaim()
	})
	quiet(t, "a second after the reclaim", parent)
	m.Unmount()
	if has(t, parent, format.DirtyName) {
		t.Errorf("unmounted: have %s", format.DirtyName)
	}
	snapshotIsBitmap(t, parent)
}

// snapshotIsBitmap: after a clean unmount the snapshot is the used-block bitmap of the index, rounded up to 4 bytes.
func snapshotIsBitmap(t *testing.T, parent string) {
	t.Helper()
	v := indextest.Describe(t, disk.OS(), parent)
	snapshot, err := os.ReadFile(filepath.Join(parent, format.SnapshotName))
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(v.IndexPath)
	if err != nil {
		t.Fatal(err)
	}
	c := v.Config
	if want := (c.FreeblockSize + 3) / 4 * 4; int64(len(snapshot)) != want {
		t.Errorf("snapshot: have %d bytes, want %d", len(snapshot), want)
	}
	if !bytes.Equal(snapshot[:c.FreeblockSize], index[c.FreeblockOffset:][:c.FreeblockSize]) {
		t.Error("snapshot: differs from the bitmap in the index")
	}
}

// The snapshot is renewed while the volume is mounted, and what it calls used is in the block file.
func TestSnapshotWhileMounted(t *testing.T) {
	parent := mounttest.New(t, mounttest.VolumeOptions{})
	m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true, List: "checkpoint=2M"})
	v := indextest.Describe(t, disk.OS(), parent)
	used := func() uint64 {
		data, err := os.ReadFile(filepath.Join(parent, format.SnapshotName))
		if err != nil {
			return 0
		}
		b, err := bitmap.FromBytes(v.Geometry.BlockCount, data)
		if err != nil {
			t.Fatal(err)
		}
		return b.Count()
	}
	put(t, m, "a", random(1, 8<<20))
	const low = 2 + 16 // the two reserved ones and one checkpoint's worth
	if !mounttest.Until(patience, func() bool { return used() >= low }) {
		t.Errorf("snapshot after 64 new blocks: have %d used, want at least %d", used(), low)
	}
	m.Kill()
	m = mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
	if log := m.Log(); !strings.Contains(log, "repaired") {
		t.Errorf("log after a kill: have %q, want a repair", log)
	}
	is(t, m, "after a kill", "a", random(1, 8<<20))
}

// A volume that is killed while it is at rest needs no repair; one that is not does.
func TestKilled(t *testing.T) {
	for _, rest := range []bool{true, false} {
		parent := mounttest.New(t, mounttest.VolumeOptions{}) // does not come to rest in two minutes
		if rest {
			parent = volume(t)
		}
		m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
		put(t, m, "a", random(1, 1_000_000))
		if rest {
			quiet(t, "before the kill", parent)
		}
		m.Kill()
		flags(t, "killed", parent, true, rest)
		m = mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
		if repaired := strings.Contains(m.Log(), "repaired"); repaired == rest {
			t.Errorf("mount after a kill (at rest %v): have a repair: %v; log %s", rest, repaired, m.Log())
		}
		is(t, m, "after the kill", "a", random(1, 1_000_000))
		put(t, m, "b", random(2, 1_000_000))
		m.Unmount()
		flags(t, "after a clean unmount", parent, false, has(t, parent, format.CleanName))
		snapshotIsBitmap(t, parent)
	}
}
