package migrate_test

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/migrate"
)

type unixStat = syscall.Stat_t

// errKilled is what every call answers once the process is dead.
var errKilled = errors.New("killed")

// mortal is the operating system's disk for a process that dies before its n-th change: from then on every call fails.
type mortal struct {
	disk.FS
	disk.Objects
	left *atomic.Int64
}

func newMortal(n int64) *mortal {
	m := &mortal{FS: disk.OS(), left: new(atomic.Int64)}
	m.Objects = m.FS.(disk.Objects)
	m.left.Store(n)
	return m
}

func (m *mortal) die() error {
	if m.left.Add(-1) < 0 {
		return errKilled
	}
	return nil
}

func (m *mortal) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	if flag&os.O_CREATE != 0 {
		if err := m.die(); err != nil {
			return nil, err
		}
	}
	f, err := m.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &mortalFile{f, m}, nil
}

func (m *mortal) Rename(a, b string) error {
	if err := m.die(); err != nil {
		return err
	}
	return m.FS.Rename(a, b)
}

func (m *mortal) Remove(name string) error {
	if err := m.die(); err != nil {
		return err
	}
	return m.FS.Remove(name)
}

func (m *mortal) Mkdir(name string, perm iofs.FileMode) error {
	if err := m.die(); err != nil {
		return err
	}
	return m.FS.Mkdir(name, perm)
}

func (m *mortal) Link(a, b string) error {
	if err := m.die(); err != nil {
		return err
	}
	return m.Objects.Link(a, b)
}

func (m *mortal) SetAttributes(name string, a *disk.Attributes) error {
	if err := m.die(); err != nil {
		return err
	}
	return m.Objects.SetAttributes(name, a)
}

type mortalFile struct {
	disk.File
	m *mortal
}

func (f *mortalFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.m.die(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *mortalFile) Truncate(size int64) error {
	if err := f.m.die(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// TestKilled kills a migration before each change of the disk in turn and runs it again: the end is the same.
func TestKilled(t *testing.T) {
	for _, move := range []bool{false, true} {
		t.Run(fmt.Sprint("move ", move), func(t *testing.T) {
			t.Parallel()
			step := int64(5)
			if os.Getenv("TRESOR_LONG") != "" {
				step = 1
			}
			cases := 0
			for n := int64(1); ; n += step {
				src, files := source(t)
				dst := destination(t)
				_, err := run(newMortal(n), src.Dir, dst.Dir, migrate.Options{Move: move})
				if err == nil {
					break
				}
				if !errors.Is(err, errKilled) {
					t.Fatalf("change %d: have %v, want a kill", n, err)
				}
				cases++
				assertRefused(t, n, dst)
				if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: move}); err != nil {
					t.Fatalf("again after change %d: %v", n, err)
				}
				if !move {
					if err := os.Rename(src.BlocksPath, dst.BlocksPath); err != nil {
						t.Fatal(err)
					}
				}
				assertCarried(t, src, dst, files)
				indextest.AssertStatus(t, disk.OS(), dst.Dir, fsck.OK)
				if t.Failed() {
					t.Fatalf("after change %d", n)
				}
			}
			t.Logf("killed %d times", cases)
		})
	}
}

// assertRefused holds that other tools leave a migration alone as long as it is not done.
func assertRefused(t testing.TB, n int64, dst *indextest.Volume) {
	t.Helper()
	_, err := os.Lstat(dst.Path(format.MigrateName))
	begun := err == nil
	unfinished := (*index.UnfinishedError)(nil)
	err = index.CheckUnfinished(disk.OS(), dst.Dir)
	if errors.As(err, &unfinished) != begun || begun && !strings.Contains(unfinished.Command, "ddumbfs migrate") {
		t.Errorf("change %d: begun is %v, other tools say: %v", n, begun, err)
	}
}

// TestRefuses lists what cannot be migrated, with the words that say why; nothing is changed.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(src, dst *indextest.Volume) *indextest.Volume
		want  string
		class error
	}{
		{"unclean", func(src, dst *indextest.Volume) *indextest.Volume { src.SetFlag(format.DirtyName, true); return dst }, "ddumbfs fsck -n", index.ErrUnclean},
		{"not empty", func(_, dst *indextest.Volume) *indextest.Volume {
			dst.Store(map[string][]byte{"there": random(9, block)})
			return dst
		}, "not a new, empty volume", nil},
		{"too small", func(_, _ *indextest.Volume) *indextest.Volume { return indextest.New(t, indextest.Options{Blocks: 12}) }, "fsck -n -k", format.ErrNoSpace},
		{"other hash", func(_, _ *indextest.Volume) *indextest.Volume {
			return indextest.New(t, indextest.Options{Blocks: 300, Hash: "SHA1"})
		}, "hash and block size differ", format.ErrUnsupported},
		{"short block file", func(src, dst *indextest.Volume) *indextest.Volume { src.CutBlocks(9); return dst }, "is in use", format.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, _ := source(t)
			dst := c.spoil(src, destination(t))
			before := fmt.Sprint(src.Image(), dst.Image())
			_, err := run(nil, src.Dir, dst.Dir, migrate.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || c.class != nil && !errors.Is(err, c.class) {
				t.Errorf("have %v, want %q of class %v", err, c.want, c.class)
			}
			if fmt.Sprint(src.Image(), dst.Image()) != before {
				t.Error("something was changed")
			}
		})
	}
}

// TestForce leaves out what cannot be read, and says so.
func TestForce(t *testing.T) {
	src, files := source(t)
	dst := destination(t)
	broken := &unreadable{FS: disk.OS(), Objects: disk.OS().(disk.Objects), name: src.Root + "/odd"}
	if _, err := run(broken, src.Dir, dst.Dir, migrate.Options{}); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "-f") {
		t.Fatalf("have %v, want EIO and a word about -f", err)
	}
	r, err := run(broken, src.Dir, dst.Dir, migrate.Options{Force: true, Move: true})
	if err != nil || len(r.Unreadable) != 1 || r.Unreadable[0].Path != "ddfsroot/odd" {
		t.Fatalf("have %+v, %v, want ddfsroot/odd left out", r, err)
	}
	v := dst.Reload()
	for path, want := range files {
		have, err := v.ReadFile(path)
		if path == "odd" {
			if !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("odd: have %v, want none", err)
			}
		} else if err != nil || string(have) != string(want) {
			t.Errorf("%s: have %d bytes, want %d: %v", path, len(have), len(want), err)
		}
	}
}

// unreadable is a disk with one file that cannot be opened.
type unreadable struct {
	disk.FS
	disk.Objects
	name string
}

func (u *unreadable) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	if name == u.name {
		return nil, &disk.Error{Op: "open", Name: name, Off: -1, Err: syscall.EIO}
	}
	return u.FS.OpenFile(name, flag, perm)
}
