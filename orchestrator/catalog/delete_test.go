package catalog_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/catalog"
)

// hostile fills a backup with what a deletion must not follow, and returns a directory outside that must stay.
func hostile(t *testing.T, dir, name string) (outside string) {
	t.Helper()
	outside = t.TempDir()
	tree(t, outside, "keep/me")
	tree(t, dir, name+"/STATUS.ok", name+"/deep/er/and/deeper/file", name+"/empty/")
	for from, to := range map[string]string{"out": outside, "deep/out": "../../..", "deep/self": ".", "dangling": "nowhere", "sibling": "../other-20260101000000"} {
		if err := os.Symlink(to, filepath.Join(dir, name, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, name, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	return outside
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	const name = "dc-20260101000000"
	outside := hostile(t, dir, name)
	tree(t, dir, "other-20260101000000/STATUS.ok", "dc-2-20260101000000/STATUS.ok", "dc-20260101000001/STATUS.ok")
	f := catalog.Open(dir)
	if err := f.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range list(t, f).Backups {
		names = append(names, b.Name)
	}
	if want := []string{"dc-2-20260101000000", "dc-20260101000001", "other-20260101000000"}; !slices.Equal(names, want) {
		t.Errorf("left: %q, want %q", names, want)
	}
	for _, path := range []string{outside + "/keep/me", dir + "/other-20260101000000/STATUS.ok"} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if err := f.Delete(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second time: %v", err)
	}
}

// dying is a context that ends when it was asked n times: a deletion stops there, as if the process had been killed.
type dying struct {
	context.Context
	left int
}

var errKilled = errors.New("killed")

func (d *dying) Err() error {
	if d.left--; d.left < 0 {
		return errKilled
	}
	return nil
}

// TestDeleteInterrupted stops the deletion before each entry in turn: the backup is there as a whole or it is no backup any more, and the next run ends
// the work.
func TestDeleteInterrupted(t *testing.T) {
	const name = "dc-20260101000000"
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		hostile(t, dir, name)
		before := count(t, filepath.Join(dir, name))
		f := catalog.Open(dir)
		err := f.Delete(&dying{t.Context(), steps}, name)
		if err == nil {
			if steps < 10 {
				t.Errorf("done after %d steps: the deletion does not look at its context", steps)
			}
			return
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		l := list(t, f)
		switch {
		case len(l.Backups) == 1 && len(l.Leftovers) == 0:
			if n := count(t, filepath.Join(dir, name)); n != before {
				t.Fatalf("stopped at step %d: the backup has %d entries of %d", steps, n, before)
			}
			continue
		case len(l.Backups) != 0 || len(l.Leftovers) != 1 || len(l.Foreign) != 0:
			t.Fatalf("stopped at step %d: have %+v", steps, l)
		}
		if steps%2 == 0 { // a new backup of that name meanwhile
			tree(t, dir, name+"/STATUS.ok")
			if err := f.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		} else if done, err := f.Finish(t.Context()); err != nil || !slices.Equal(done, []string{name}) {
			t.Fatalf("finish: %q, %v", done, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Fatalf("stopped at step %d: left %v, %v", steps, entries, err)
		}
	}
}

// latePin is a lock under which somebody has just pinned a backup.
type latePin struct {
	pin  func()
	held bool
}

func (l *latePin) Lock() {
	l.held = true
	if l.pin != nil {
		l.pin()
	}
}

func (l *latePin) Unlock() { l.held = false }

// unlocked is a context that finds out whether the lock is held while files are removed.
type unlocked struct {
	context.Context
	l     *latePin
	asked int
	t     *testing.T
}

func (u *unlocked) Err() error {
	if u.asked++; u.l.held {
		u.t.Error("the lock is held while files are removed")
	}
	return nil
}

// TestPinAtTheLastMoment: whoever was told that a backup is kept keeps it, also when its deletion has begun to look at it.
func TestPinAtTheLastMoment(t *testing.T) {
	const name = "dc-20260101000000"
	dir := t.TempDir()
	plain := catalog.Open(dir)
	tree(t, dir, name+"/STATUS.ok", name+"/deep/file")
	lock := &latePin{}
	lock.pin = func() {
		if err := plain.Pin(name, true); err != nil {
			t.Error(err)
		}
	}
	f := plain.Guarded(lock)
	if err := f.Delete(t.Context(), name); !errors.Is(err, catalog.ErrPinned) || lock.held {
		t.Errorf("delete: %v, lock held %v; want that it is pinned", err, lock.held)
	}
	if l := list(t, f); len(l.Backups) != 1 || !l.Backups[0].Pinned || len(l.Leftovers) != 0 {
		t.Fatalf("have %+v", l)
	}
	lock.pin = nil
	if err := plain.Pin(name, false); err != nil {
		t.Fatal(err)
	}
	ctx := &unlocked{t.Context(), lock, 0, t}
	if err := f.Delete(ctx, name); err != nil || ctx.asked < 4 {
		t.Errorf("delete: %v, asked %d times", err, ctx.asked)
	}
	if l := list(t, f); len(l.Backups) != 0 || len(l.Leftovers) != 0 {
		t.Errorf("left: %+v", l)
	}
}

func count(t *testing.T, dir string) (n int) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { n++; return err }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDeleteMount: what is mounted inside of a backup is somebody else's.
func TestDeleteMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir := t.TempDir()
	const name = "dc-20260101000000"
	tree(t, dir, name+"/STATUS.ok", name+"/mnt/")
	point := filepath.Join(dir, name, "mnt")
	if err := unix.Mount("tmpfs", point, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		for _, p := range []string{point, filepath.Join(dir, ".deleting-"+name, "mnt")} {
			_ = unix.Unmount(p, unix.MNT_DETACH)
		}
	})
	tree(t, point, "precious")
	f := catalog.Open(dir)
	if err := f.Delete(t.Context(), name); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("have %v, want that something is mounted there", err)
	}
	moved := filepath.Join(dir, ".deleting-"+name, "mnt")
	if _, err := os.Stat(filepath.Join(moved, "precious")); err != nil {
		t.Error(err)
	}
	if err := unix.Unmount(moved, 0); err != nil {
		t.Fatal(err)
	}
	if done, err := f.Finish(t.Context()); err != nil || len(done) != 1 {
		t.Errorf("finish: %q, %v", done, err)
	}
}

// TestDeleteBind: a bind mount has the device of what it shows, which may be another part of the same disk.
func TestDeleteBind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir := t.TempDir()
	const name = "dc-20260101000000"
	tree(t, dir, name+"/STATUS.ok", name+"/mnt/", "elsewhere/precious")
	point := filepath.Join(dir, name, "mnt")
	if err := unix.Mount(filepath.Join(dir, "elsewhere"), point, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("bind mount: %v", err)
	}
	t.Cleanup(func() {
		for _, p := range []string{point, filepath.Join(dir, ".deleting-"+name, "mnt")} {
			_ = unix.Unmount(p, unix.MNT_DETACH)
		}
	})
	if err := catalog.Open(dir).Delete(t.Context(), name); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("have %v, want that something is mounted there", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "elsewhere/precious")); err != nil {
		t.Error(err)
	}
}
