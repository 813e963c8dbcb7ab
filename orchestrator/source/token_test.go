package source

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountinfo"
)

func suspend(t *testing.T, tree orchestrator.Tree) {
	t.Helper()
	if err := tree.(orchestrator.Suspender).Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, s *Snapshot, token string) orchestrator.Tree {
	t.Helper()
	tree, err := s.Open(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestToken: a suspended snapshot is found again, by another process too; one that is gone is replaced, with another token.
func TestToken(t *testing.T) {
	p, sys := newPlace(t)
	first := open(t, zfsSource(t, p), "")
	suspend(t, first)
	if err := first.Close(t.Context()); err != nil || len(sys.snapshots) != 1 || len(sys.mounts) != 0 {
		t.Fatalf("after Suspend and Close: %v, snapshots %q, mounts %v", err, sys.snapshots, sys.mounts)
	}
	again := open(t, zfsSource(t, p), first.Token())
	if again.Token() != first.Token() || again.Roots()[0].Path != first.Roots()[0].Path {
		t.Errorf("again: token %s at %s, want %s at %s", again.Token(), again.Roots()[0].Path, first.Token(), first.Roots()[0].Path)
	}
	if _, err := zfsSource(t, p).Open(t.Context(), first.Token()); !errors.Is(err, ErrBusy) {
		t.Errorf("a token that is open: have error %v", err)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	empty(t, p, sys)
	for _, token := range []string{first.Token(), "", "nonsense", "@", strings.ToLower(first.Token())} {
		tree := open(t, zfsSource(t, p), token)
		if tree.Token() == first.Token() {
			t.Errorf("token %q: a snapshot that is gone was given", token)
		}
		if err := tree.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	empty(t, p, sys)
}

// TestFoundStays: when the mount of a snapshot that was found fails, it stays for the next try.
func TestFoundStays(t *testing.T) {
	p, sys := newPlace(t)
	name := "tank/data@" + prefix + otherID
	sys.snapshots = []string{name}
	sys.fails = failAt(true, "mount -t")
	if _, err := zfsSource(t, p).Open(t.Context(), otherID); err == nil {
		t.Fatal("no error")
	}
	empty(t, p, sys, name)
}

// TestUnsound: a snapshot of LVM that ran full, or is not active, is not given again.
func TestUnsound(t *testing.T) {
	for _, attr := range []string{"swi-Ios---", "swi---s---", "-wi-XX----", "x"} {
		p, sys := newPlace(t)
		sys.snapshots, sys.attr = []string{"vg0/" + prefix + otherID}, map[string]string{prefix + otherID: attr}
		s := lvmSource(t, p, LVMVolume{Group: "vg0", Name: "data", Size: "1G"})
		tree := open(t, s, otherID)
		if tree.Token() == otherID {
			t.Errorf("attributes %s: the snapshot was given", attr)
		}
		if err := tree.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Clean(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		empty(t, p, sys)
	}
}

// TestTwoTrees: the second tree of a machine lies beside the first.
func TestTwoTrees(t *testing.T) {
	p, sys := newPlace(t)
	s := zfsSource(t, p)
	a, b := open(t, s, ""), open(t, s, "")
	if a.Roots()[0].Path == b.Roots()[0].Path || a.Token() == b.Token() {
		t.Errorf("two trees at %s and %s", a.Roots()[0].Path, b.Roots()[0].Path)
	}
	if err := p.Sweep(t.Context()); err != nil || len(sys.mounts) != 2 {
		t.Errorf("Sweep beside open trees: %v, mounts %v", err, sys.mounts)
	}
	for _, tree := range []orchestrator.Tree{a, b} {
		if err := tree.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	empty(t, p, sys)
}

// TestClean: only orphans of exactly this dataset with exactly our names go.
func TestClean(t *testing.T) {
	p, sys := newPlace(t)
	s := zfsSource(t, p)
	kept, orphan := prefix+otherID, prefix+"01ARZ3NDEKTSV4RRFFQ69G5FAW"
	foreign := []string{
		"tank/data@" + kept, "tank/data@tresor-before-upgrade", "tank/data@" + prefix + strings.ToLower(otherID), "tank/data@" + orphan + "-2",
		"tank/data-2@" + orphan, "tank/data/below@" + orphan, "tank/data@daily-2026-11-22", "tank@" + orphan, "tank/data@x" + orphan,
	}
	tree := open(t, s, "")
	mine := sys.snapshots[0]
	sys.snapshots = append(slices.Clone(foreign), mine, "tank/data@"+orphan)
	if err := s.Clean(t.Context(), []string{otherID, "", "x"}); err != nil {
		t.Fatal(err)
	}
	if want := append(slices.Clone(foreign), mine); !slices.Equal(sys.snapshots, want) {
		t.Errorf("after Clean: have %q, want %q", sys.snapshots, want)
	}
	if err := tree.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	empty(t, p, sys, foreign...)
	for _, line := range sys.lines {
		if strings.Contains(line, " -r") || strings.Contains(line, " -R") || strings.Contains(line, " -f") {
			t.Errorf("command %q: neither recursion nor force belongs there", line)
		}
	}
}

// TestCleanFails: a snapshot that cannot be destroyed does not save the others, and is named.
func TestCleanFails(t *testing.T) {
	p, sys := newPlace(t)
	a, b := "tank/data@"+prefix+otherID, "tank/data@"+prefix+"01ARZ3NDEKTSV4RRFFQ69G5FAW"
	sys.snapshots = []string{a, b}
	sys.fails = failAt(false, "zfs destroy "+a)
	err := zfsSource(t, p).Clean(t.Context(), nil)
	var e *Error
	if !errors.As(err, &e) || !slices.Equal(e.Left, []string{"snapshot " + prefix + otherID}) || !slices.Equal(sys.snapshots, []string{a}) {
		t.Errorf("have error %v, snapshots %q", err, sys.snapshots)
	}
}

// TestSweep: mounts of an earlier process are taken away, the innermost first; what is no empty directory stays.
func TestSweep(t *testing.T) {
	p, sys := newPlace(t)
	outer, inner, other := filepath.Join(p.dir, "dc/tank/data"), filepath.Join(p.dir, "dc/tank/data/x"), p.dir+"-2/dc"
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, point := range []string{other, p.dir, outer, inner} {
		sys.mounts = append(sys.mounts, mountinfo.Mount{Point: point, Source: "tank/data@" + prefix + otherID, Root: "/"})
	}
	if err := p.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"umount " + inner, "umount " + outer}; !slices.Equal(sys.lines, want) {
		t.Errorf("commands: have %q, want %q", sys.lines, want)
	}
	if list, err := os.ReadDir(p.dir); err != nil || len(list) > 0 {
		t.Errorf("after Sweep: %v %v", list, err)
	}
	file := filepath.Join(p.dir, "dc", "tank", "somebody's")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Sweep(t.Context()); err == nil {
		t.Error("a file lies there: no error")
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a file of somebody: %v", err)
	}
}

// TestDestroyGuard: nothing is destroyed whose name is not one of ours, whoever asks.
func TestDestroyGuard(t *testing.T) {
	p, sys := newPlace(t)
	for _, name := range []string{"", "tresor-", "tresor-x", "daily", prefix + otherID + "x", "x" + prefix + otherID, prefix + otherID + "%"} {
		if err := zfsSource(t, p).destroy(t.Context(), name); err == nil || len(sys.lines) > 0 {
			t.Errorf("destroy %q: error %v, commands %q", name, err, sys.lines)
		}
	}
}
