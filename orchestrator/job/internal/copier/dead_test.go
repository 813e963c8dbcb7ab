package copier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unserved mounts a file system that nobody serves: it does not answer, and after hangUp it has no connection.
func unserved(t *testing.T, dir string) (hangUp func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no FUSE: %v", err)
	}
	closed := false
	hangUp = func() {
		if !closed {
			closed = true
			unix.Close(fd)
		}
	}
	if err := unix.Mount("tresor-test", dir, "fuse", unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		hangUp()
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		hangUp() // whoever still waits gets an error
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return hangUp
}

// TestDeadMountIsLeftOut: a mount of ours that is dead, or does not answer, is not copied, and keeps nobody from copying the rest.
func TestDeadMountIsLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		hangs bool
		skip  string // below the source
		parts int    // of the lists: what is left out, and what is missing
	}{
		"no connection":         {false, "mnt/dead", 0},
		"no answer":             {true, "mnt/dead", 0},
		"by a link":             {false, "link", 0},
		"by a link, no answer":  {true, "link", 0},
		"below the mount point": {false, "mnt/dead/deep/er", 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.opts.patience = time.Second // enough for what answers
			r.write("kept", "x")
			r.write("else/dead/file", "of the same name elsewhere")
			if err := os.Symlink("mnt/dead", filepath.Join(r.src, "link")); err != nil {
				t.Fatal(err)
			}
			hangUp := unserved(t, filepath.Join(r.src, "mnt/dead"))
			if !c.hangs {
				hangUp()
			}
			r.opts.Skip = []string{filepath.Join(r.src, c.skip)}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			result, err := r.try(ctx)
			if err != nil {
				t.Fatal(err)
			}
			told := append(result.Skipped, result.Partial...)
			if len(result.Sums) != 2 || len(result.Partial) != c.parts || len(told) != 1 || !strings.Contains(told[0], "data/in/mnt/dead") {
				t.Errorf("%d files, skipped %q, partial %q", len(result.Sums), result.Skipped, result.Partial)
			}
		})
	}
}

// TestDeadTarget: without the target nothing is copied, and nobody waits for it.
func TestDeadTarget(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		r := newRig(t)
		r.opts.patience = time.Second // enough for what answers
		r.write("kept", "x")
		if hangUp := unserved(t, r.store.Root()); !hangs {
			hangUp()
		}
		begin := time.Now()
		_, err := r.try(t.Context())
		if err == nil || !strings.Contains(err.Error(), r.store.Root()) || time.Since(begin) > 20*time.Second {
			t.Errorf("hangs: %t: %v after %v", hangs, err, time.Since(begin))
		}
		if dead := errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED); dead == hangs {
			t.Errorf("hangs: %t: %v", hangs, err)
		}
	}
}
