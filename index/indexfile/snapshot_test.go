package indexfile_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/bitmap"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/table"
)

type tableFinding = table.Finding

// volume is a disk with an empty parent directory.
func volume() *disktest.FS {
	m := disktest.New()
	m.MkdirAll("/v")
	return m
}

func set(n uint64, bits ...uint64) *bitmap.Bitmap {
	b := bitmap.New(n)
	for _, i := range bits {
		b.Set(i)
	}
	return b
}

func nothing() error { return nil }

func TestSnapshotRoundTrip(t *testing.T) {
	for _, n := range []uint64{2, 31, 32, 33, 4096, 4097, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m := volume()
			// Bits past the last block may be set on disk; a snapshot has none.
			raw := make([]byte, (n+7)/8)
			for i := range raw {
				raw[i] = 0xFF
			}
			b, err := bitmap.FromBytes(n, raw)
			if err != nil {
				t.Fatal(err)
			}
			b.Clear(1)
			if err := indexfile.WriteSnapshot(m, "/v", b, nothing); err != nil {
				t.Fatal(err)
			}
			data := content(t, m, "/v/ddfsusedblocks")
			if want := int((n + 31) / 32 * 4); len(data) != want {
				t.Errorf("length: have %d bytes, want %d", len(data), want)
			}
			for i := n; i < uint64(len(data))*8; i++ {
				if data[i/8]&(0x80>>(i%8)) != 0 {
					t.Errorf("bit %d past the last block is set", i)
				}
			}
			have, err := indexfile.LoadSnapshot(m, "/v/ddfsusedblocks", n)
			if err != nil || have == nil || !have.Equal(b) {
				t.Errorf("read back: have %v (%v), want what was written", have, err)
			}
			m.CheckLeaks(t)
		})
	}
}

func TestSnapshotAbsentOrShort(t *testing.T) {
	m := volume()
	if b, err := indexfile.LoadSnapshot(m, "/v/ddfsusedblocks", 100); b != nil || err != nil {
		t.Errorf("absent: have %v, %v, want nil, nil", b, err)
	}
	fill(t, m, "/v/ddfsusedblocks", make([]byte, 12))
	if b, err := indexfile.LoadSnapshot(m, "/v/ddfsusedblocks", 97); b != nil || err != nil {
		t.Errorf("short: have %v, %v, want nil, nil", b, err)
	}
	if b, err := indexfile.LoadSnapshot(m, "/v/ddfsusedblocks", 96); b == nil || err != nil {
		t.Errorf("long enough: have %v, %v, want a bitmap", b, err)
	}
}

// TestSnapshotOrder holds that the barrier runs after the new snapshot is on disk under another name, and before it has its own;
// and that a failed barrier leaves the old one, still proven.
func TestSnapshotOrder(t *testing.T) {
	m := volume()
	if err := indexfile.WriteSnapshot(m, "/v", set(64, 0, 1, 5), nothing); err != nil {
		t.Fatal(err)
	}
	m.Record()
	called := false
	err := indexfile.WriteSnapshot(m, "/v", set(64, 0, 1, 6), func() error {
		called = true
		kept := m.Crash(len(m.Ops()), disktest.Drop, 0)
		if b, err := indexfile.LoadSnapshot(kept, "/v/ddfsusedblocks", 64); err != nil || !b.Get(5) {
			t.Errorf("the new snapshot is in place before the barrier (%v)", err)
		}
		ops := m.Ops()
		if last := ops[len(ops)-1]; last.Kind != disktest.Sync {
			t.Errorf("last change before the barrier: have %v, want a sync of the new snapshot", last)
		}
		return nil
	})
	if err != nil || !called {
		t.Fatalf("write: %v, barrier called: %v", err, called)
	}
	no := errors.New("disk gone")
	if err := indexfile.WriteSnapshot(m, "/v", set(64, 0, 1, 7), func() error { return no }); !errors.Is(err, no) {
		t.Errorf("failed barrier: have %v, want %v", err, no)
	}
	if b, err := indexfile.LoadSnapshot(m, "/v/ddfsusedblocks", 64); err != nil || !b.Get(6) || b.Get(7) {
		t.Errorf("after a failed barrier the old snapshot is gone (%v)", err)
	}
	assertProven(t, m, true)
	if list, err := m.ReadDir("/v"); err != nil || len(list) != 2 {
		t.Errorf("files left: have %v (%v), want the snapshot and its proof", list, err)
	}
}

func assertProven(t testing.TB, m *disktest.FS, want bool) {
	t.Helper()
	if have, err := indexfile.Proven(m, "/v"); have != want || err != nil {
		t.Errorf("snapshot proven: have %v (%v), want %v", have, err, want)
	}
}

// TestSnapshotAfterCrash cuts the power at every change of a renewal: the snapshot is the old or the new one, whole, and proven.
func TestSnapshotAfterCrash(t *testing.T) {
	m := volume()
	old, renewed := set(5000, 0, 1, 100), set(5000, 0, 1, 200, 4999)
	if err := indexfile.WriteSnapshot(m, "/v", old, nothing); err != nil {
		t.Fatal(err)
	}
	m.Record()
	if err := indexfile.WriteSnapshot(m, "/v", renewed, nothing); err != nil {
		t.Fatal(err)
	}
	for k := range len(m.Ops()) + 1 {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			img := m.Crash(k, how, uint64(k))
			b, err := indexfile.LoadSnapshot(img, "/v/ddfsusedblocks", 5000)
			if err != nil || b == nil || !b.Equal(old) && !b.Equal(renewed) {
				t.Fatalf("crash at change %d, %v: the snapshot is neither the old nor the new one (%v)", k, how, err)
			}
			assertProven(t, img, true)
			if err := indexfile.WriteSnapshot(img, "/v", renewed, nothing); err != nil {
				t.Errorf("crash at change %d, %v: the next renewal: %v", k, how, err)
			}
		}
	}
}

func TestProofOfForeignSnapshots(t *testing.T) {
	m := volume()
	assertProven(t, m, false)
	fill(t, m, "/v/ddfsusedblocks", make([]byte, 8))
	assertProven(t, m, false)
	if err := indexfile.WriteSnapshot(m, "/v", set(64, 0, 1), nothing); err != nil {
		t.Fatal(err)
	}
	assertProven(t, m, true)
	fill(t, m, "/v/ddfsusedblocks", []byte{0xFF})
	assertProven(t, m, false)
	if err := m.Remove("/v/ddfsusedblocks"); err != nil {
		t.Fatal(err)
	}
	assertProven(t, m, false)
}

func TestMarks(t *testing.T) {
	m := volume()
	assertMark := func(want indexfile.Mark) {
		t.Helper()
		if have, err := indexfile.ReadMark(m, "/v"); have != want || err != nil {
			t.Errorf("mark: have %q (%v), want %q", have, err, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	assertMark(indexfile.MarkForeign)
	fill(t, m, "/v/"+format.DirtyName, nil)
	assertMark(indexfile.MarkForeign)
	must(indexfile.WriteMark(m, "/v", indexfile.MarkRepair))
	assertMark(indexfile.MarkRepair)
	fill(t, m, "/v/ddfsusedblocks", make([]byte, 8)) // the original was here
	assertMark(indexfile.MarkForeign)
	must(indexfile.WriteMark(m, "/v", indexfile.MarkRepair))
	must(indexfile.WriteSnapshot(m, "/v", set(64, 0, 1), nothing)) // the repair itself
	assertMark(indexfile.MarkRepair)

	syncs := 0
	barrier := func() error { syncs++; return nil }
	must(indexfile.BeginSession(m, "/v", set(64, 0, 1), barrier))
	assertMark(indexfile.MarkSession)
	if syncs != 0 {
		t.Errorf("session on a proven snapshot: have %d barriers, want 0", syncs)
	}
	fill(t, m, "/v/ddfsusedblocks", []byte{0xF0})
	must(indexfile.BeginSession(m, "/v", set(64, 0, 1), barrier))
	if syncs != 1 {
		t.Errorf("session on a foreign snapshot: have %d barriers, want 1", syncs)
	}
	assertProven(t, m, true)
	if _, err := os.Stat("/v"); err == nil {
		t.Error("the test wrote to the real disk")
	}
}

// TestSnapshotOnFullDisk: the old snapshot makes room for the new one; where that is not enough there is none, never an old one
// whose bits are no longer true, and the barrier has been passed in any case.
func TestSnapshotOnFullDisk(t *testing.T) {
	old, next := set(4096, 0, 1, 2, 3), set(4096, 0, 1, 3, 9)
	for name, c := range map[string]struct {
		fault  disktest.Fault
		want   *bitmap.Bitmap
		proven bool
	}{
		"the first try":   {disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Err: unix.ENOSPC}, next, true},
		"the proof twice": {disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, N: 1, Repeat: true, Err: unix.ENOSPC}, next, false},
		"everything":      {disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Repeat: true, Err: unix.ENOSPC}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := volume()
			if err := indexfile.WriteSnapshot(m, "/v", old, nothing); err != nil {
				t.Fatal(err)
			}
			m.Inject(c.fault)
			passed := 0
			if err := indexfile.WriteSnapshot(m, "/v", next, func() error { passed++; return nil }); err != nil {
				t.Fatal(err)
			}
			m.Heal()
			if passed == 0 {
				t.Error("the barrier was not passed")
			}
			have, err := indexfile.LoadSnapshot(m, "/v/"+format.SnapshotName, 4096)
			if err != nil || (have == nil) != (c.want == nil) || have != nil && !have.Equal(c.want) {
				t.Errorf("snapshot: want %v, have %v, %v", c.want, have, err)
			}
			if proven, err := indexfile.Proven(m, "/v"); err != nil || proven != c.proven {
				t.Errorf("proven: want %v, have %v, %v", c.proven, proven, err)
			}
		})
	}
}

// TestHugeSnapshot: a file of any size under the snapshot's name costs neither its size in memory nor the time to read it.
func TestHugeSnapshot(t *testing.T) {
	m := volume()
	if err := indexfile.WriteSnapshot(m, "/v", set(4096, 0, 1), nothing); err != nil {
		t.Fatal(err)
	}
	f, err := m.OpenFile("/v/"+format.SnapshotName, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil {
		t.Fatal(err)
	}
	if proven, err := indexfile.Proven(m, "/v"); err != nil || proven {
		t.Errorf("proven: want false, have %v, %v", proven, err)
	}
	if b, err := indexfile.LoadSnapshot(m, "/v/"+format.SnapshotName, 4096); err != nil || !b.Get(1) || b.Count() != 2 {
		t.Errorf("load: have %v, %v", b, err)
	}
	if err := indexfile.WriteSnapshot(m, "/v", set(4096, 0, 1, 2), nothing); err != nil {
		t.Errorf("renew: %v", err)
	}
}
