package recipe_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/recipe"
)

// tree makes the same tree on any disk: regular files, one of them odd, and the
// special directory.
func tree(t *testing.T, fsys disk.FS, root string) []string {
	t.Helper()
	for _, dir := range []string{"", "/a", "/a/b", "/a/.ddumbfs", "/.ddumbfs", "/empty", "/z"} {
		must(t, fsys.Mkdir(root+dir, 0o700))
	}
	files := []string{"a/.ddumbfs/kept", "a/b/deep", "a/x", "file", "odd \xff\n", "z/last"}
	for _, name := range append([]string{".ddumbfs/stats"}, files...) {
		f, err := fsys.OpenFile(root+"/"+name, os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		must(t, disk.WriteFull(f, []byte(name), 0))
		must(t, f.Close())
	}
	return files
}

// walk returns the paths in order, and checks that each can be opened.
func walk(t *testing.T, fsys disk.FS, root string) []string {
	t.Helper()
	var list []string
	must(t, recipe.Walk(t.Context(), fsys, root, func(e recipe.WalkEntry) error {
		list = append(list, e.Path)
		f, err := e.Open()
		if err != nil {
			return err
		}
		defer f.Close()
		p := make([]byte, e.Info.Size())
		must(t, disk.ReadFull(f, p, 0))
		if string(p) != e.Path {
			t.Errorf("content of %q: have %q", e.Path, p)
		}
		return nil
	}, nil))
	return list
}

func TestWalk(t *testing.T) {
	m := disktest.New()
	m.CheckLeaks(t)
	want := tree(t, m, "/root")
	must(t, m.Symlink("/root/a/link"))
	must(t, m.AddDevice("/root/a/device", 4096))
	must(t, m.Link("/root/a/x", "/root/a/y"))
	must(t, m.Link("/root/a/x", "/root/z/x"))
	if have := walk(t, m, "/root"); !slices.Equal(have, want) {
		t.Errorf("walk in memory: have %q, want %q", have, want)
	}
	root := filepath.Join(t.TempDir(), "root")
	want = tree(t, disk.OS(), root)
	must(t, os.Symlink(root, root+"/a/loop"))
	must(t, os.Symlink(root+"/file", root+"/a/link"))
	must(t, unix.Mkfifo(root+"/a/fifo", 0o600))
	must(t, os.Link(root+"/a/x", root+"/a/y"))
	must(t, os.Link(root+"/a/x", root+"/z/x"))
	if have := walk(t, disk.OS(), root); !slices.Equal(have, want) {
		t.Errorf("walk on disk: have %q, want %q", have, want)
	}
	must(t, os.Symlink(root, root+"-link"))
	if have := walk(t, disk.OS(), root+"-link"); !slices.Equal(have, want) {
		t.Errorf("walk of a linked root: have %q, want %q", have, want)
	}
}

// TestWalkDeepAndWide: deeper than PATH_MAX, and many files in one directory.
func TestWalkDeepAndWide(t *testing.T) {
	fsys, root := disk.OS(), filepath.Join(t.TempDir(), "root")
	must(t, fsys.Mkdir(root, 0o700))
	var dirs []string
	for dir := root; len(dir) < 6000; {
		dir += "/" + strings.Repeat("d", 200)
		must(t, fsys.Mkdir(dir, 0o700))
		dirs = append(dirs, dir)
	}
	deepest := dirs[len(dirs)-1]
	for i := range 3000 {
		f, err := fsys.OpenFile(fmt.Sprintf("%s/%04d", deepest, i), os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		must(t, f.Close())
	}
	n := 0
	must(t, recipe.Walk(t.Context(), fsys, root, func(e recipe.WalkEntry) error {
		if want := fmt.Sprintf("/%04d", n); !strings.HasSuffix(e.Path, want) || len(e.Path) < 5000 {
			t.Fatalf("file %d: have a path of %d bytes ending in %q", n, len(e.Path), e.Path[len(e.Path)-5:])
		}
		f, err := e.Open()
		if err != nil {
			return err
		}
		n++
		return errors.Join(fsys.Remove(root+"/"+e.Path), f.Close())
	}, nil))
	if n != 3000 {
		t.Errorf("files seen: have %d, want 3000", n)
	}
	slices.Reverse(dirs)
	for _, dir := range dirs {
		must(t, fsys.Remove(dir)) // os.RemoveAll would manage as well; this shows that nothing is left
	}
}

// TestWalkFaults fails every disk call of a walk in turn: each must come out,
// once, and without dirErr end the walk.
func TestWalkFaults(t *testing.T) {
	start := disktest.New()
	want := tree(t, start, "/root")
	none := func(recipe.WalkEntry) error { return nil }
	for n := 0; ; n++ {
		m := start.Clone()
		m.Inject(disktest.Fault{N: n, Err: unix.EIO})
		err := recipe.Walk(t.Context(), m, "/root", none, nil)
		if m.Fired() == 0 {
			must(t, err)
			if n < len(want) {
				t.Errorf("a walk of %d files made only %d calls", len(want), n)
			}
			return
		}
		if !errors.Is(err, unix.EIO) {
			t.Errorf("fault at call %d: have %v, want EIO", n, err)
		}
		m = start.Clone()
		m.Inject(disktest.Fault{N: n, Err: unix.EIO})
		var told []string
		err = recipe.Walk(t.Context(), m, "/root", none, func(path string, err error) error {
			told = append(told, path)
			return nil
		})
		if n == 0 && !errors.Is(err, unix.EIO) {
			t.Errorf("unreadable root: have %v, want EIO whatever dirErr says", err)
		}
		if n > 0 && (err != nil || len(told) != 1) {
			t.Errorf("fault at call %d: have %v, told of %q", n, err, told)
		}
	}
}

// TestWalkVanished: names that are removed while the walk is under way.
func TestWalkVanished(t *testing.T) {
	m := disktest.New()
	tree(t, m, "/root")
	var seen, gone []string
	err := recipe.Walk(t.Context(), m, "/root", func(e recipe.WalkEntry) error {
		seen = append(seen, e.Path)
		if e.Path == "a/x" { // the listing of the root is being used
			must(t, m.Remove("/root/file"))
			must(t, m.Remove("/root/z/last"))
			must(t, m.Remove("/root/z"))
		}
		return nil
	}, func(path string, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, path)
			return nil
		}
		return err
	})
	if err != nil || !slices.Equal(gone, []string{"file", "z"}) || seen[len(seen)-1] != "odd \xff\n" {
		t.Errorf("walk of a changing tree: have %v, gone %q, seen %q", err, gone, seen)
	}
}

func TestWalkStops(t *testing.T) {
	m := disktest.New()
	tree(t, m, "/root")
	errStop, calls := errors.New("stop"), 0
	stop := func(recipe.WalkEntry) error { calls++; return errStop }
	if err := recipe.Walk(t.Context(), m, "/root", stop, nil); !errors.Is(err, errStop) || calls != 1 {
		t.Errorf("error of the callback: have %v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	err := recipe.Walk(ctx, m, "/root", func(recipe.WalkEntry) error { calls++; cancel(); return nil }, nil)
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("cancelled: have %v after %d calls", err, calls)
	}
	gone := func(string, error) error { return nil }
	if err := recipe.Walk(t.Context(), m, "/no", stop, gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing root: have %v, want fs.ErrNotExist", err)
	}
}

// TestOpenDoesNotFollow: a file that became a symlink after the listing.
func TestOpenDoesNotFollow(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	tree(t, disk.OS(), root)
	err := recipe.Walk(t.Context(), disk.OS(), root, func(e recipe.WalkEntry) error {
		must(t, os.Remove(root+"/"+e.Path))
		must(t, os.Symlink("/etc/passwd", root+"/"+e.Path))
		if f, err := e.Open(); !errors.Is(err, unix.ELOOP) {
			t.Errorf("open of %q, now a symlink: have %v, %v, want ELOOP", e.Path, f, err)
		}
		return nil
	}, nil)
	must(t, err)
}
