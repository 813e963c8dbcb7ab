package fsck_test

import (
	"bytes"
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/integration/goldenvol"
)

// TestRepairLeavesForeignIndex: an index path that leads to somebody else's data, a renumbered device say, is refused and not
// overwritten; a blank or once sound one is made anew.
func TestRepairLeavesForeignIndex(t *testing.T) {
	last := func(size int) []byte { return append(make([]byte, size-1), 'x') }
	whole := int(open(t, goldenvol.Unpack(t, "tiger-4k")).Config.IndexSize)
	for name, c := range map[string]struct {
		content []byte
		begun   bool // a repair was interrupted
		made    bool
	}{
		"foreign":                    {bytes.Repeat([]byte("payroll "), 100000), false, false},
		"zeros, then data":           {append(make([]byte, 1080), bytes.Repeat([]byte("\x53\xef"), 100000)...), false, false},
		"many zeros, then data":      {last(200000), false, false},
		"larger, data at the end":    {last(50 << 20), false, false},
		"larger, all zeros":          {make([]byte, 50<<20), false, true},
		"too many zeros":             {make([]byte, 65<<20), false, false},
		"of the size, interrupted":   {last(whole), true, true},
		"of the size":                {last(whole), false, false},
		"larger, interrupted":        {last(whole + 1), true, false},
		"of the size, no zeros":      {bytes.Repeat([]byte("x"), whole), true, false},
		"blank":                      {make([]byte, 200000), false, true},
		"blank, of the size exactly": {make([]byte, whole), false, true},
		"empty":                      {nil, false, true},
		"cut index":                  {append([]byte(format.MagicIndex), make([]byte, 1000)...), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := goldenvol.Unpack(t, "tiger-4k")
			elsewhere := filepath.Join(t.TempDir(), "index")
			if err := os.WriteFile(elsewhere, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			v := open(t, dir)
			v.IndexPath, v.Unclean = elsewhere, true
			if c.begun {
				if err := indexfile.BeginRepair(v.FS, dir); err != nil {
					t.Fatal(err)
				}
			}
			res, err := fsck.Repair(context.Background(), v, fsck.RepairOptions{})
			if c.made {
				if err != nil || !res.IndexMade {
					t.Fatalf("want a new index, have %+v, %v", res, err)
				}
				return
			}
			if !errors.Is(err, fsck.ErrForeign) {
				t.Errorf("want ErrForeign, have %v", err)
			}
			if have, err := os.ReadFile(elsewhere); err != nil || !bytes.Equal(have, c.content) {
				t.Errorf("the foreign file was changed, %v", err)
			}
		})
	}
}

// TestRepairTakesHoles: a file that is one hole is blank, however large it is; one with a byte somewhere in it is not.
func TestRepairTakesHoles(t *testing.T) {
	for _, text := range []string{"", "x"} {
		dir := goldenvol.Unpack(t, "tiger-4k")
		elsewhere := filepath.Join(t.TempDir(), "index")
		f, err := os.Create(elsewhere)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte(text), 5<<30)
		if err := errors.Join(err, f.Truncate(6<<30), f.Close()); err != nil {
			t.Fatal(err)
		}
		v := open(t, dir)
		v.IndexPath, v.Unclean = elsewhere, true
		if _, err := fsck.Repair(context.Background(), v, fsck.RepairOptions{}); errors.Is(err, fsck.ErrForeign) != (text != "") {
			t.Errorf("%q in a hole: have %v", text, err)
		}
	}
}

// TestRepairGoesOnOnDevice kills a repair that makes an index on a device at each point: the next one goes on, whatever stands there by then.
func TestRepairGoesOnOnDevice(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
	data := random(120, 30*4096)
	v.Store(map[string][]byte{"a": data})
	if err := errors.Join(m.Remove(v.IndexPath), m.AddDevice("/device", v.Config.IndexSize+1<<20)); err != nil {
		t.Fatal(err)
	}
	c := *v.Config
	c.IndexFilename = "/device"
	if err := errors.Join(disk.WriteFileAtomic(m, "/v/ddfs.cfg", c.Marshal(), 0o600), m.SyncFS("/")); err != nil {
		t.Fatal(err)
	}
	v.SetFlag(format.DirtyName, true)
	probe := disktest.NewMortal(m.Clone(), -1)
	if _, err := fsck.Repair(context.Background(), indextest.Describe(t, probe, "/v").Volume, fsck.RepairOptions{}); err != nil {
		t.Fatal(err)
	}
	for n := range probe.Steps() {
		img := m.Clone()
		if _, err := fsck.Repair(context.Background(), indextest.Describe(t, disktest.NewMortal(img, n), "/v").Volume, fsck.RepairOptions{}); !errors.Is(err, disktest.ErrKilled) {
			t.Fatalf("kill before change %d of %d: have %v", n, len(probe.Steps()), err)
		}
		after := indextest.Describe(t, img, "/v")
		if _, err := fsck.Repair(context.Background(), after.Volume, fsck.RepairOptions{}); err != nil {
			t.Fatalf("kill before change %d of %d: repair again: %v", n, len(probe.Steps()), err)
		}
		assertFile(t, after, "a", data)
		indextest.AssertStatus(t, img, "/v", fsck.OK)
	}
}

// TestRepairWithoutTree: a volume whose tree of files is not there (its disk is not attached yet) is not taken for an empty one.
func TestRepairWithoutTree(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	root := filepath.Join(dir, format.RootName)
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "ddfsidx"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsck.Repair(context.Background(), open(t, dir), fsck.RepairOptions{}); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("want ErrNotExist, have %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "ddfsidx")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the index was changed, %v", err)
	}
	if _, err := os.Lstat(root); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("the tree was created: %v", err)
	}
}
