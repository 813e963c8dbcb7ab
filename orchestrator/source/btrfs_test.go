package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// realBtrfs makes a btrfs on a loop device, mounts it, and returns a subvolume with a file in it.
func realBtrfs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	for _, program := range []string{"mkfs.btrfs", "btrfs", "losetup"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v: apt-get install btrfs-progs mount", err)
		}
	}
	base := t.TempDir()
	image, top := filepath.Join(base, "image"), filepath.Join(base, "a disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 192<<20); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.btrfs", "-q", image)
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, top).CombinedOutput(); err != nil {
		if filesystems, readErr := os.ReadFile("/proc/filesystems"); readErr == nil && !strings.Contains(string(filesystems), "\tbtrfs\n") {
			t.Skip("this kernel has no btrfs")
		}
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(top, 0); err != nil {
			t.Errorf("unmount %s: %v", top, err)
			_ = unix.Unmount(top, unix.MNT_DETACH)
		}
	})
	sub := filepath.Join(top, "dc 1 äöü")
	command(t, "btrfs", "subvolume", "create", sub)
	write(t, filepath.Join(sub, "file"), "old")
	return sub
}

func command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, tree orchestrator.Tree, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tree.Roots()[0].Path, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// subvolumes are all of a file system, by their paths.
func subvolumes(t *testing.T, path string) (list []string) {
	t.Helper()
	for line := range strings.Lines(command(t, "btrfs", "subvolume", "list", path)) {
		_, name, _ := strings.Cut(strings.TrimSpace(line), " path ")
		list = append(list, name)
	}
	return list
}

func realPlace(t *testing.T) *Place {
	t.Helper()
	p, err := NewPlace(PlaceOptions{Dir: filepath.Join(t.TempDir(), "my place")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Sweep(t.Context()); err != nil && len(p.ids) == 0 {
			t.Errorf("sweep: %v", err)
		}
	})
	return p
}

func realSource(t *testing.T, p *Place, sub string) *Snapshot {
	t.Helper()
	s, err := NewBtrfs(p, "Büro 1", Options{}, sub, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRealBtrfs: a snapshot keeps what was, cannot be written, and leaves nothing.
func TestRealBtrfs(t *testing.T) {
	sub := realBtrfs(t)
	p := realPlace(t)
	tree := open(t, realSource(t, p, sub), "")
	write(t, filepath.Join(sub, "file"), "new")
	if have := content(t, tree, "file"); have != "old" {
		t.Errorf("file in the snapshot: have %q, want %q", have, "old")
	}
	if err := os.WriteFile(filepath.Join(tree.Roots()[0].Path, "file"), nil, 0o600); err == nil {
		t.Error("the snapshot can be written")
	}
	if len(subvolumes(t, sub)) != 2 {
		t.Errorf("subvolumes while it is open: %q", subvolumes(t, sub))
	}
	if err := tree.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := subvolumes(t, sub); len(list) != 1 {
		t.Errorf("subvolumes afterwards: %q", list)
	}
	for _, dir := range []string{filepath.Join(sub, snapshotsDir), filepath.Join(p.dir, "Büro 1")} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

// TestRealBtrfsCrash: another process finds a snapshot by its token although the dead one left it mounted; without the token Clean removes it, and
// nothing else that lies beside it.
func TestRealBtrfsCrash(t *testing.T) {
	sub := realBtrfs(t)
	p := realPlace(t)
	dead := open(t, realSource(t, p, sub), "")
	write(t, filepath.Join(sub, "file"), "new")

	next, err := NewPlace(PlaceOptions{Dir: p.dir})
	if err != nil {
		t.Fatal(err)
	}
	s := realSource(t, next, sub)
	if err := s.Clean(t.Context(), []string{dead.Token()}); err != nil {
		t.Fatal(err)
	}
	again := open(t, s, dead.Token())
	if again.Token() != dead.Token() || content(t, again, "file") != "old" {
		t.Errorf("again: token %s, content %q", again.Token(), content(t, again, "file"))
	}
	suspend(t, again)

	foreign := filepath.Join(sub, snapshotsDir, prefix+otherID) // our name, but no snapshot of this subvolume
	command(t, "btrfs", "subvolume", "create", foreign)
	another := filepath.Join(sub, snapshotsDir, prefix+"01ARZ3NDEKTSV4RRFFQ69G5FAX") // of another subvolume
	command(t, "btrfs", "subvolume", "snapshot", "-r", foreign, another)
	writable := filepath.Join(sub, snapshotsDir, prefix+"01ARZ3NDEKTSV4RRFFQ69G5FAW") // somebody works in it
	command(t, "btrfs", "subvolume", "snapshot", sub, writable)
	manual := filepath.Join(sub, snapshotsDir, "tresor-before-upgrade")
	command(t, "btrfs", "subvolume", "snapshot", "-r", sub, manual)
	if err := s.Clean(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	list := subvolumes(t, sub)
	if len(list) != 5 || slices.ContainsFunc(list, func(n string) bool { return strings.HasSuffix(n, dead.Token()) }) {
		t.Errorf("subvolumes after Clean: %q", list)
	}
	if tree := open(t, s, dead.Token()); tree.Token() == dead.Token() || content(t, tree, "file") != "new" {
		t.Errorf("a token whose snapshot is gone: token %s, content %q", tree.Token(), content(t, tree, "file"))
	} else if err := tree.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := next.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRealBtrfsBusy: while somebody stands in the mount Close fails, says what is left, and can be repeated.
func TestRealBtrfsBusy(t *testing.T) {
	sub := realBtrfs(t)
	p := realPlace(t)
	p.clock = &quick{}
	tree := open(t, realSource(t, p, sub), "")
	f, err := os.Open(filepath.Join(tree.Roots()[0].Path, "file"))
	if err != nil {
		t.Fatal(err)
	}
	err = tree.Close(t.Context())
	if err == nil || !strings.Contains(err.Error(), "busy") || !strings.Contains(err.Error(), prefix+tree.Token()) {
		t.Errorf("Close while a file is open: have error %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tree.Close(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
	if list := subvolumes(t, sub); len(list) != 1 {
		t.Errorf("subvolumes afterwards: %q", list)
	}
}

// TestNotBtrfs: a directory that is no subvolume fails with the program's own words, and leaves nothing.
func TestNotBtrfs(t *testing.T) {
	sub := realBtrfs(t)
	dir := filepath.Join(sub, "directory")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := realPlace(t)
	if _, err := realSource(t, p, dir).Open(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "ubvolume") {
		t.Errorf("a directory: have error %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("left in the directory: %v %v", list, err)
	}
	if list := subvolumes(t, sub); len(list) != 1 {
		t.Errorf("subvolumes afterwards: %q", list)
	}
}
