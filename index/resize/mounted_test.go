package resize_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/resize"
)

// TestOtherFileSystem: what is mounted in the tree is none of the volume's, whatever a journal says: a directory, or a single file over a stored one.
func TestOtherFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	outside, err := os.MkdirTemp("/dev/shm", "resize")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(outside) })
	for _, c := range []struct{ what, from, path, want string }{
		{"directory", outside, "ddfsroot/dir", "is not a directory of the volume any more"},
		{"file", filepath.Join(outside, "b"), "ddfsroot/dir/b", "another file lies there"},
	} {
		t.Run(c.what, func(t *testing.T) {
			x := newTarget(t)
			victim := filepath.Join(outside, "b")
			x.must(os.WriteFile(victim, []byte(precious), 0o640))
			if err := unix.Mount(c.from, x.v.Path(c.path), "", unix.MS_BIND, ""); err != nil {
				t.Skip(err)
			}
			t.Cleanup(func() { unix.Unmount(x.v.Path(c.path), 0) })
			p, err := index.Acquire(index.Location{Parent: x.v.Dir}, index.Write)
			x.must(err)
			defer p.Close()
			f := x.forge("files")
			f.Pieces = []resize.ForgedPiece{x.piece("ddfsroot/dir/b")}
			f.Pieces[0].Ino = sysIno(lstat(t, disk.OS(), victim))
			x.must(f.Write(p))
			if res, err := resize.Run(t.Context(), p, resize.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %+v, %v, want %q", res, err, c.want)
			}
			if have, err := os.ReadFile(victim); string(have) != precious {
				t.Errorf("the stranger's file: have %q, %v", have, err)
			}
		})
	}
}
