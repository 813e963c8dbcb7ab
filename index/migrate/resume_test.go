package migrate_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/migrate"
)

// elsewhere is a destination on another file system.
func elsewhere(t testing.TB) *indextest.Volume {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "migrate")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return indextest.New(t, indextest.Options{Blocks: 300, FS: disk.OS(), Dir: dir + "/v"})
}

// changes counts the changes of the disk in a whole migration.
func changes(t testing.TB, o migrate.Options, dst func(testing.TB) *indextest.Volume) int64 {
	t.Helper()
	src, _ := source(t)
	m := newMortal(math.MaxInt64)
	if _, err := run(m, src.Dir, dst(t).Dir, o); err != nil {
		t.Fatal(err)
	}
	return math.MaxInt64 - m.left.Load()
}

// TestSourceChangedMeanwhile kills a migration at each point and changes the source, if it lets one: the next run carries what is there now, or
// refuses and changes nothing.
func TestSourceChangedMeanwhile(t *testing.T) {
	for name, to := range map[string]func(testing.TB) *indextest.Volume{"renamed": destination, "copied": elsewhere} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			total, changed, closed := changes(t, migrate.Options{Move: true}, to), 0, 0
			step := int64(19)
			if os.Getenv("TRESOR_LONG") != "" {
				step = 1
			}
			for n := int64(1); n < total; n += step {
				if total-n < 16 {
					step = 1 // the block file and the marks come last
				}
				src, files := source(t)
				dst := to(t)
				if _, err := run(newMortal(n), src.Dir, dst.Dir, migrate.Options{Move: true}); !errors.Is(err, errKilled) {
					t.Fatalf("change %d: have %v, want a kill", n, err)
				}
				unfinished := (*index.UnfinishedError)(nil)
				if err := index.CheckUnfinished(disk.OS(), src.Dir); errors.As(err, &unfinished) {
					closed++
					if unfinished.File == format.MigrateName && unfinished.Command != "ddumbfs migrate -m "+src.Dir+" "+dst.Dir {
						t.Errorf("change %d: have %q", n, unfinished.Command)
					}
				} else if exists(src.BlocksPath) && (n < total-4 || exists(dst.Path(format.RebuildName))) { // after that it is open, and done
					changed++
					files["new"] = random(77, 4*block)
					src.Reload().Store(map[string][]byte{"new": files["new"]})
					src = src.Reload()
				}
				if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); err != nil {
					t.Fatalf("again after change %d: %v", n, err)
				}
				assertCarried(t, src, dst, files)
				indextest.AssertStatus(t, disk.OS(), dst.Dir, fsck.OK)
				if err := index.CheckUnfinished(disk.OS(), src.Dir); err != nil {
					t.Errorf("change %d: the source stays closed: %v", n, err)
				}
				if t.Failed() {
					t.Fatalf("after change %d of %d", n, total)
				}
			}
			t.Logf("%d changes, source changed %d times, closed %d times", total, changed, closed)
			if changed == 0 || closed == 0 {
				t.Error("the test sees too little")
			}
		})
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// TestSourceChangedByForce changes a source behind the marks, in the phase in which only the blocks are missing.
func TestSourceChangedByForce(t *testing.T) {
	for name, to := range map[string]func(testing.TB) *indextest.Volume{"renamed": destination, "copied": elsewhere} {
		t.Run(name, func(t *testing.T) {
			src, files, dst := killedBefore(t, to, `phase: "done"`)
			for _, mark := range []string{format.MigrateName, format.RebuildName} {
				if err := os.Remove(src.Path(mark)); err != nil {
					t.Fatal(err)
				}
			}
			moved := false
			if _, err := os.Lstat(src.BlocksPath); err != nil {
				moved = true
				if err := os.Rename(dst.BlocksPath, src.BlocksPath); err != nil { // for the change only
					t.Fatal(err)
				}
			}
			files["new"] = random(77, 4*block)
			src.Reload().Store(map[string][]byte{"new": files["new"]})
			src = src.Reload()
			if moved {
				if err := os.Rename(src.BlocksPath, dst.BlocksPath); err != nil {
					t.Fatal(err)
				}
				if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); err == nil || !strings.Contains(err.Error(), "the block file of") {
					t.Fatalf("changed without a block file: have %v, want a refusal", err)
				}
				if err := os.Rename(dst.BlocksPath, src.BlocksPath); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); err != nil {
				t.Fatal(err)
			}
			assertCarried(t, src, dst, files)
			indextest.AssertStatus(t, disk.OS(), dst.Dir, fsck.OK)
		})
	}
}

// killedBefore is a migration with Move that was killed at the last change before the state of the destination has a text.
func killedBefore(t *testing.T, to func(testing.TB) *indextest.Volume, text string) (src *indextest.Volume, files map[string][]byte, dst *indextest.Volume) {
	t.Helper()
	for n := changes(t, migrate.Options{Move: true}, to) - 1; n > 0; n-- {
		src, files = source(t)
		dst = to(t)
		if _, err := run(newMortal(n), src.Dir, dst.Dir, migrate.Options{Move: true}); !errors.Is(err, errKilled) {
			t.Fatalf("have %v, want a kill", err)
		}
		have, err := os.ReadFile(dst.Path(format.MigrateName))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(have), text) {
			return src, files, dst
		}
	}
	t.Fatalf("no state with %q", text)
	return nil, nil, nil
}

// TestUsedAfterUnmark: a kill between the two last removals leaves a destination that the original mounts. What is stored there stays.
func TestUsedAfterUnmark(t *testing.T) {
	for _, move := range []bool{false, true} {
		t.Run(fmt.Sprint("move ", move), func(t *testing.T) {
			o := migrate.Options{Move: move}
			total := changes(t, o, destination)
			src, files := source(t)
			dst := destination(t)
			if _, err := run(newMortal(total-1), src.Dir, dst.Dir, o); !errors.Is(err, errKilled) {
				t.Fatalf("have %v, want a kill", err)
			}
			if _, err := os.Lstat(dst.Path(format.RebuildName)); err == nil {
				t.Fatal("the last change but one did not remove .rebuildfsck")
			}
			if !move {
				if err := os.Rename(src.BlocksPath, dst.BlocksPath); err != nil {
					t.Fatal(err)
				}
			}
			files["later"] = random(55, 3*block)
			dst.Reload().Store(map[string][]byte{"later": files["later"]})
			r, err := run(nil, src.Dir, dst.Dir, o)
			if err != nil || (r.Way == migrate.Renamed) != move {
				t.Fatalf("have %+v, %v", r, err)
			}
			if err := index.CheckUnfinished(disk.OS(), dst.Dir); err != nil {
				t.Error(err)
			}
			v := dst.Reload()
			for path, want := range files {
				if have, err := v.ReadFile(path); err != nil || string(have) != string(want) {
					t.Errorf("%s: have %d bytes, want %d: %v", path, len(have), len(want), err)
				}
			}
		})
	}
}

// TestUsedBeforeMark: a state that has no claim yet does not make anybody clear a destination that was used since.
func TestUsedBeforeMark(t *testing.T) {
	src, files := source(t)
	dst := destination(t)
	for n := int64(0); ; n++ {
		if _, err := run(newMortal(n), src.Dir, dst.Dir, migrate.Options{}); !errors.Is(err, errKilled) {
			t.Fatalf("have %v, want a kill", err)
		}
		if _, err := os.Lstat(dst.Path(format.MigrateName)); err == nil {
			break
		}
	}
	if _, err := os.Lstat(dst.Path(format.RebuildName)); err == nil {
		t.Fatal("the claim came first")
	}
	dst.Store(map[string][]byte{"there": random(9, block)})
	before := fmt.Sprint(dst.Image())
	if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{}); err == nil || !strings.Contains(err.Error(), "not a new, empty volume") {
		t.Errorf("have %v, want a refusal", err)
	}
	if fmt.Sprint(dst.Image()) != before {
		t.Error("the destination was changed")
	}
	fresh := destination(t)
	if err := os.Rename(dst.Path(format.MigrateName), fresh.Path(format.MigrateName)); err != nil {
		t.Fatal(err)
	}
	if _, err := run(nil, src.Dir, fresh.Dir, migrate.Options{Move: true}); err != nil {
		t.Fatal(err)
	}
	assertCarried(t, src, fresh, files)
}

// TestOtherBlockFile: a block file that is long enough and not the one that was to be moved is not taken for it.
func TestOtherBlockFile(t *testing.T) {
	src, files, dst := killedBefore(t, destination, `phase: "done"`)
	kept := dst.BlocksPath + ".kept"
	if err := os.Rename(dst.BlocksPath, kept); err != nil {
		t.Fatal(err)
	}
	other := make([]byte, 200*block)
	copy(other, format.MagicBlocks)
	if err := os.WriteFile(dst.BlocksPath, other, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); err == nil {
		t.Fatalf("have %+v, want a refusal", r)
	}
	if err := os.Rename(kept, dst.BlocksPath); err != nil {
		t.Fatal(err)
	}
	if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); err != nil {
		t.Fatal(err)
	}
	assertCarried(t, src, dst, files)
}

// TestCopyOfDecayed: a block that has not the content of its hash is no good copy, unless asked for.
func TestCopyOfDecayed(t *testing.T) {
	src, _ := source(t)
	dst := elsewhere(t)
	f, err := os.OpenFile(src.BlocksPath, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("decayed"), 5*block+9); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true}); !errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), "block 5") {
		t.Fatalf("have %v, want block 5 of class ErrCorrupt", err)
	}
	if err := index.CheckUnfinished(disk.OS(), src.Dir); err != nil {
		t.Errorf("the source stays closed after an error that is no kill: %v", err)
	}
	r, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true, Force: true})
	if err != nil || len(r.Unreadable) != 1 || r.Unreadable[0].Path != "block 5" || r.Way != migrate.Copied {
		t.Fatalf("have %+v, %v, want block 5 named", r, err)
	}
}
