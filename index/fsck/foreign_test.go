package fsck_test

import (
	"bytes"
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"testing"

	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/integration/goldenvol"
)

// TestRepairLeavesForeignIndex: an index path that leads to somebody else's data, a renumbered device say, is refused and not
// overwritten; a blank or once sound one is made anew.
func TestRepairLeavesForeignIndex(t *testing.T) {
	for name, c := range map[string]struct {
		content []byte
		made    bool
	}{
		"foreign":          {bytes.Repeat([]byte("payroll "), 100000), false},
		"zeros, then data": {append(make([]byte, 1080), bytes.Repeat([]byte("\x53\xef"), 100000)...), false},
		"blank":            {make([]byte, 300000), true},
		"cut index":        {append([]byte(format.MagicIndex), make([]byte, 1000)...), true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := goldenvol.Unpack(t, "tiger-4k")
			elsewhere := filepath.Join(t.TempDir(), "index")
			if err := os.WriteFile(elsewhere, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			v := open(t, dir)
			v.IndexPath, v.Unclean = elsewhere, true
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
