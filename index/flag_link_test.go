package index_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tresor/index"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/mkfs"
)

// TestFlagsFollowNoLink: a volume whose marks are links makes nobody create or empty files outside of it.
func TestFlagsFollowNoLink(t *testing.T) {
	for _, name := range []string{format.DirtyName, format.CleanName, format.RebuildName} {
		for _, use := range []string{"open", "repair"} {
			t.Run(name+" "+use, func(t *testing.T) {
				dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
				if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: smallVolume()}); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
				if err != nil {
					t.Fatal(err)
				}
				if use == "open" {
					v, err := index.Open(p, index.Options{})
					if err == nil {
						err = errors.Join(v.Touch(), v.Close())
					}
					t.Log(err)
				} else {
					v := fsck.Of(p)
					err := v.LoadState()
					if err == nil {
						_, err = fsck.Repair(context.Background(), v, fsck.RepairOptions{Mode: fsck.Rebuild})
					}
					t.Log(err)
					if err := p.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := os.Lstat(outside); err == nil {
					t.Error("a file was made outside of the volume")
				}
			})
		}
	}
}

// TestReportFollowsNoLink: the list of damaged files is not written where a link in place of the special directory leads.
func TestReportFollowsNoLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: smallVolume()}); err != nil {
		t.Fatal(err)
	}
	special := filepath.Join(dir, format.RootName, format.SpecialName)
	for _, err := range []error{os.RemoveAll(special), os.Symlink(outside, special),
		os.WriteFile(filepath.Join(outside, format.CorruptedName), []byte("mine"), 0o600),
		os.WriteFile(filepath.Join(dir, format.RootName, "bad"), []byte("DDUMBFSX........"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	v := fsck.Of(p)
	if err = v.LoadState(); err == nil {
		_, err = fsck.Repair(context.Background(), v, fsck.RepairOptions{})
	}
	if err == nil {
		t.Error("have no error, want one about the link")
	}
	if list, _ := os.ReadDir(outside); len(list) != 1 {
		t.Errorf("have %v outside, want the one file that was there", list)
	}
	if text, err := os.ReadFile(filepath.Join(outside, format.CorruptedName)); err != nil || string(text) != "mine" {
		t.Errorf("the file outside is %q (%v)", text, err)
	}
}
