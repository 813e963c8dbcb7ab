package lifecycle_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// refused mounts and wants an error with these words and this exit status, by the binary and in process.
func refused(t *testing.T, o mounttest.Options, code int, words ...string) {
	t.Helper()
	for _, o.Daemon = range []bool{true, false} {
		m, err := mounttest.Try(t, o)
		if err == nil {
			t.Errorf("mount %s on %s: have no error, want one with %q", o.Parent, o.Point, words)
			m.Unmount()
			continue
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("mount %s on %s (daemon %v): have %q, want it to say %q", o.Parent, o.Point, o.Daemon, err, w)
			}
		}
		var daemon *mounttest.DaemonError
		if errors.As(err, &daemon) && daemon.Code != code {
			t.Errorf("mount %s on %s: have exit status %d, want %d: %s", o.Parent, o.Point, daemon.Code, code, daemon.Text)
		}
	}
}

const (
	exitFailure = 1
	exitBusy    = 3
	exitMissing = 6
)

func TestSecondMount(t *testing.T) {
	parent := volume(t)
	link := filepath.Join(mounttest.Dir(t), "link")
	if err := os.Symlink(parent, link); err != nil {
		t.Fatal(err)
	}
	for _, first := range []bool{true, false} {
		m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: first})
		put(t, m, "a", random(1, 10_000))
		for _, path := range []string{parent, link, filepath.Join(parent, "ddfsroot")} {
			refused(t, mounttest.Options{Parent: path}, exitBusy, parent)
		}
		refused(t, mounttest.Options{Parent: parent, Point: m.Point}, exitBusy, parent)
		refused(t, mounttest.Options{Parent: parent, List: "ro"}, exitBusy, parent)
		refused(t, mounttest.Options{Parent: parent, List: "ro,check"}, exitFailure, "exclude each other")
		is(t, m, "after the refused mounts", "a", random(1, 10_000))
		m.Unmount()
	}
}

// A mount point from which the volume would serve itself.
func TestMountPointInside(t *testing.T) {
	parent := volume(t)
	inside := filepath.Join(parent, "inside")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(mounttest.Dir(t), "link")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	for _, point := range []string{parent, inside, link, filepath.Join(parent, "ddfsroot"), filepath.Dir(parent)} {
		refused(t, mounttest.Options{Parent: parent, Point: point}, exitFailure, "inside")
	}
	flags(t, "after the refused mounts", parent, false, false)
	mounttest.Volume(t, mounttest.Options{Parent: parent}).Unmount()
}

func TestNoTree(t *testing.T) {
	parent := volume(t)
	root := filepath.Join(parent, "ddfsroot")
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"", "ro", "check"} {
		refused(t, mounttest.Options{Parent: parent, List: list}, exitMissing, root)
	}
	if _, err := os.Lstat(root); !os.IsNotExist(err) {
		t.Errorf("a refused mount has made %s: %v", root, err)
	}
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
}

func TestNoMountPoint(t *testing.T) {
	parent := volume(t)
	file := filepath.Join(mounttest.Dir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, mounttest.Options{Parent: parent, Point: file}, exitFailure, file, "director")
	refused(t, mounttest.Options{Parent: parent, Point: file + "-none"}, exitMissing, file+"-none")
	refused(t, mounttest.Options{Parent: mounttest.Dir(t)}, exitMissing, format.ConfigName)
}

// A volume whose rebuild was started and did not finish.
func TestUnfinishedRebuild(t *testing.T) {
	parent := volume(t)
	mark := filepath.Join(parent, format.RebuildName)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, mounttest.Options{Parent: parent}, exitFailure, format.RebuildName)
	refused(t, mounttest.Options{Parent: parent, List: "check"}, exitFailure, format.RebuildName)
	refused(t, mounttest.Options{Parent: parent, List: "ro"}, exitFailure, format.RebuildName)
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	mounttest.Volume(t, mounttest.Options{Parent: parent}).Unmount()
}

// The configured index is gone; an older copy of it lies beside the volume, as an orchestrator leaves it there.
func TestMissingIndex(t *testing.T) {
	parent := volume(t)
	elsewhere := filepath.Join(mounttest.Dir(t), "index")
	index, copied := filepath.Join(parent, "ddfsidx"), filepath.Join(parent, "0b5ee5f4-9a2c-4b7e-8e0e-3c7a1d7c2f11.idx")
	m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
	put(t, m, "a", random(1, 2_000_000))
	m.Unmount()
	data, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"copy": func() error { return os.WriteFile(copied, data, 0o600) },
		"move": func() error { return os.Rename(index, elsewhere) },
	} {
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	edit(t, parent, "index_filename: ddfsidx", "index_filename: "+elsewhere)
	m = mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
	is(t, m, "with the index elsewhere", "a", random(1, 2_000_000))
	put(t, m, "b", random(2, 2_000_000)) // the copy does not know of these
	m.Unmount()
	if err := os.Remove(elsewhere); err != nil {
		t.Fatal(err)
	}
	refused(t, mounttest.Options{Parent: parent}, exitMissing, elsewhere, copied, "index=")
	// The check at the unmount looks for the configured index, which is still gone.
	o := mounttest.Options{Parent: parent, Daemon: true, List: "index=" + copied, NoCheck: true}
	m = mounttest.Volume(t, o)
	if log := m.Log(); !strings.Contains(log, "repaired") {
		t.Errorf("log of a mount with the copy: have %q, want a repair", log)
	}
	is(t, m, "with the copy", "a", random(1, 2_000_000))
	is(t, m, "with the copy", "b", random(2, 2_000_000))
	put(t, m, "c", random(3, 2_000_000))
	m.Unmount()
	mounttest.MustRun(t, "fsck", "-C", "--index", copied, parent)
	o.Daemon = false
	m = mounttest.Volume(t, o)
	for i, name := range []string{"a", "b", "c"} {
		is(t, m, "with the copy again", name, random(uint64(i+1), 2_000_000))
	}
	m.Unmount()
	edit(t, parent, "index_filename: "+elsewhere, "index_filename: "+copied)
	m = mounttest.Volume(t, mounttest.Options{Parent: parent})
	is(t, m, "with the copy as the configured index", "c", random(3, 2_000_000))
}

// Without a copy the message says how to get everything back.
func TestMissingIndexWithoutCopy(t *testing.T) {
	parent := volume(t)
	if err := os.Remove(filepath.Join(parent, "ddfsidx")); err != nil {
		t.Fatal(err)
	}
	refused(t, mounttest.Options{Parent: parent}, exitMissing, "ddfsidx", "ddumbfs fsck -n ")
}
