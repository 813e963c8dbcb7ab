package engine_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// What was done before a Sync is on the disk: the power is cut right after it, that is, the disk is looked at as it is then.
func TestPowerCutAfterSync(t *testing.T) {
	r := newRig(t, mounttest.Loop(t, 256<<20), orchestrator.MakeOptions{BlockSize: 4096})
	s := r.mount(orchestrator.MountOptions{})
	at := func(name string) string { return filepath.Join(r.point, name) }
	if err := errors.Join(os.Mkdir(at("dir"), 0o700), s.Sync(t.Context())); err != nil {
		t.Fatal(err)
	}
	data := pattern(1, 300000)
	empty(t, s, "dir/put", int64(len(data)))
	if _, err := storetest.PutFile(t.Context(), s, "dir/put", source(t, data), 0, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	if err := errors.Join(os.Mkdir(at("dir/empty"), 0o750), os.Symlink("no/where", at("dir/link")), os.WriteFile(at("dir/written"), data[:5000], 0o600),
		os.Chmod(at("dir/put"), 0o604), unix.Setxattr(at("dir/put"), "user.colour", []byte("red"), 0), os.Rename(at("dir"), at("renamed")),
		os.Chtimes(at("renamed/put"), when, when)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := r.cut(t)
	root := filepath.Join(dir, "volume", "ddfsroot", "renamed")
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "empty"), &st); err != nil || st.Mode&0o777 != 0o750 {
		t.Errorf("an empty directory: %o, %v", st.Mode, err)
	}
	if to, err := os.Readlink(filepath.Join(root, "link")); err != nil || to != "no/where" {
		t.Errorf("a symlink: %q, %v", to, err)
	}
	colour := make([]byte, 10)
	n, xerr := unix.Getxattr(filepath.Join(root, "put"), "user.colour", colour)
	if err := unix.Stat(filepath.Join(root, "put"), &st); err != nil || st.Mode&0o777 != 0o604 || xerr != nil || string(colour[:n]) != "red" || st.Mtim.Sec != when.Unix() {
		t.Errorf("attributes: mode %o, %v, colour %q, %v, time %v", st.Mode, err, colour[:max(n, 0)], xerr, st.Mtim)
	}
	for name, want := range map[string]int64{"put": 74, "written": 2} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Size() < 16+want*20 {
			t.Errorf("entries of %s: %v, %v, want %d of them", name, info, err, want)
		}
	}
}

// cut mounts a copy of the disk as it is now.
func (r *rig) cut(t *testing.T) string {
	t.Helper()
	image := filepath.Join(filepath.Dir(filepath.Dir(r.parent)), "disk.img")
	base := mounttest.Dir(t)
	from, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(base, "copy.img"))
	if err == nil {
		_, err = io.Copy(to, from)
	}
	dir := filepath.Join(base, "disk")
	if err = errors.Join(err, to.Close(), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", to.Name(), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
