package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountinfo"
)

func empty(t *testing.T, p *Place, s *system, foreign ...string) {
	t.Helper()
	if !slices.Equal(s.snapshots, foreign) || len(s.mounts) > 0 {
		t.Errorf("left behind: snapshots %q, want %q; mounts %v", s.snapshots, foreign, s.mounts)
	}
	if list, err := os.ReadDir(p.dir); err == nil && len(list) > 0 {
		t.Errorf("left behind in the place: %v", list)
	}
	if len(p.ids)+len(p.base) > 0 {
		t.Errorf("still claimed: %v %v", p.ids, p.base)
	}
}

// TestCommands pins the command lines of a whole life.
func TestCommands(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, p *Place) *Snapshot
		rest string // name in the backup
		want []string
	}{
		{"zfs", zfsSource, "tank/data", []string{
			"zfs snapshot tank/data@tresor-ID",
			"mount -t zfs -o ro,nosuid,nodev,noexec tank/data@tresor-ID DIR/dc/tank/data",
			"umount DIR/dc/tank/data",
			"zfs destroy tank/data@tresor-ID",
		}},
		{"lvm", func(t *testing.T, p *Place) *Snapshot {
			return lvmSource(t, p, LVMVolume{Group: "vg0", Name: "data", Size: "5G"})
		}, "vg0/data", []string{
			"lvcreate --snapshot --size 5G --name tresor-ID vg0/data",
			"blkid --probe --output value --match-tag TYPE /dev/vg0/tresor-ID",
			"mount -t xfs -o ro,nosuid,nodev,noexec,nouuid /dev/vg0/tresor-ID DIR/dc/vg0/data",
			"umount DIR/dc/vg0/data",
			"lvremove --yes vg0/tresor-ID",
		}},
		{"lvm share", func(t *testing.T, p *Place) *Snapshot {
			return lvmSource(t, p, LVMVolume{Group: "vg0", Name: "data", Size: "10%ORIGIN", FileSystem: "ext4"})
		}, "vg0/data", []string{
			"lvcreate --snapshot --extents 10%ORIGIN --name tresor-ID vg0/data",
			"mount -t ext4 -o ro,nosuid,nodev,noexec /dev/vg0/tresor-ID DIR/dc/vg0/data",
			"umount DIR/dc/vg0/data",
			"lvremove --yes vg0/tresor-ID",
		}},
		{"lvm thin", func(t *testing.T, p *Place) *Snapshot {
			return lvmSource(t, p, LVMVolume{Group: "vg0", Name: "data", Size: Thin, FileSystem: "ext4"})
		}, "vg0/data", []string{
			"lvcreate --snapshot --setactivationskip n --name tresor-ID vg0/data",
			"mount -t ext4 -o ro,nosuid,nodev,noexec /dev/vg0/tresor-ID DIR/dc/vg0/data",
			"umount DIR/dc/vg0/data",
			"lvremove --yes vg0/tresor-ID",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, sys := newPlace(t)
			s := c.make(t, p)
			tree, err := s.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			roots := tree.Roots()
			if len(roots) != 1 || roots[0].Path != filepath.Join(p.dir, "dc", c.rest) || roots[0].Name != c.rest {
				t.Errorf("roots: have %+v", roots)
			}
			if err := tree.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := tree.Close(t.Context()); err != nil {
				t.Errorf("second Close: %v", err)
			}
			r := strings.NewReplacer(tree.Token(), "ID", p.dir, "DIR")
			for i := range sys.lines {
				sys.lines[i] = r.Replace(sys.lines[i])
			}
			if !slices.Equal(sys.lines, c.want) {
				t.Errorf("commands: have\n%s\nwant\n%s", strings.Join(sys.lines, "\n"), strings.Join(c.want, "\n"))
			}
			empty(t, p, sys)
		})
	}
}

// TestFailures: whatever step fails, whether or not the command did its work before, what was made is undone.
func TestFailures(t *testing.T) {
	for _, c := range []struct{ step, command string }{
		{StepCreate, "zfs snapshot"}, {StepMount, "mount -t"}, {StepCreate, "lvcreate"}, {StepMount, "blkid"},
	} {
		for _, did := range []bool{false, true} {
			p, sys := newPlace(t)
			s := zfsSource(t, p)
			if strings.HasPrefix(c.command, "lv") || c.command == "blkid" {
				s = lvmSource(t, p, LVMVolume{Group: "vg0", Name: "data", Size: "1G"})
			}
			sys.fails = failAt(did, c.command)
			_, err := s.Open(t.Context(), "")
			var e *Error
			if !errors.As(err, &e) || e.Step != c.step || e.Machine != "dc" || len(e.Left) > 0 || !strings.Contains(err.Error(), "dataset is busy") {
				t.Errorf("%s fails, did its work: %v: have error %v", c.command, did, err)
			}
			empty(t, p, sys)
		}
	}
}

// TestMountLies: a mount that is not there, or for writing, is not handed out.
func TestMountLies(t *testing.T) {
	p, sys := newPlace(t)
	s := zfsSource(t, p)
	sys.onCommand = func(argv []string) {
		if argv[0] == "mount" {
			sys.mounts = append(sys.mounts, mountinfo.Mount{Point: argv[len(argv)-1], Source: argv[len(argv)-2], Root: "/"})
		}
	}
	p.mounts = func() ([]mountinfo.Mount, error) { return sys.mounts[:min(len(sys.mounts), 1)], nil }
	if _, err := s.Open(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "writing") {
		t.Errorf("mounted for writing: have error %v", err)
	}
	p, sys = newPlace(t)
	p.mounts = func() ([]mountinfo.Mount, error) { return nil, nil }
	if _, err := zfsSource(t, p).Open(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "nothing is mounted") {
		t.Errorf("not mounted: have error %v", err)
	}
	if len(sys.snapshots) > 0 {
		t.Errorf("left behind: %q", sys.snapshots)
	}
}

// TestUndoFails: what could not be undone is named, with the first error and the reason.
func TestUndoFails(t *testing.T) {
	p, sys := newPlace(t)
	sys.fails = func(argv []string) (bool, error) {
		switch argv[0] + argv[1] {
		case "mount-t":
			return true, errors.New("mount was killed")
		case "zfsdestroy":
			return false, errors.New("dataset is busy")
		}
		if argv[0] == "umount" {
			return false, errors.New("target is busy")
		}
		return false, nil
	}
	_, err := zfsSource(t, p).Open(t.Context(), "")
	var e *Error
	if !errors.As(err, &e) || e.Step != StepMount || len(e.Left) != 2 {
		t.Fatalf("have error %v", err)
	}
	for _, want := range []string{"source dc (zfs)", "mount was killed", "mount " + filepath.Join(p.dir, "dc/tank/data"), "snapshot tresor-", "target is busy", "dataset is busy"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q: want %q in it", err, want)
		}
	}
	if n := strings.Count(strings.Join(sys.lines, "\n"), "umount "); n != attempts {
		t.Errorf("umount was tried %d times, want %d", n, attempts)
	}
	sys.fails = nil
	if err := zfsSource(t, p).Clean(t.Context(), nil); err != nil {
		t.Fatalf("the next Clean: %v", err)
	}
	if err := p.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	empty(t, p, sys)
}

// TestCancelled: a context that ends in the middle of Open, or before Close, leaves nothing behind.
func TestCancelled(t *testing.T) {
	for _, at := range []string{"zfs snapshot", "mount -t"} {
		p, sys := newPlace(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("the service is being stopped")
		sys.onCommand = func(argv []string) {
			if strings.HasPrefix(strings.Join(argv, " "), at) {
				cancel(stop)
			}
		}
		sys.fails = func(argv []string) (bool, error) {
			if strings.HasPrefix(strings.Join(argv, " "), at) {
				return true, context.Cause(ctx)
			}
			return false, nil
		}
		if _, err := zfsSource(t, p).Open(ctx, ""); !errors.Is(err, stop) {
			t.Errorf("cancelled at %s: have error %v", at, err)
		}
		empty(t, p, sys)
		n := len(sys.lines)
		if _, err := zfsSource(t, p).Open(ctx, ""); !errors.Is(err, stop) || len(sys.lines) != n {
			t.Errorf("cancelled before: have error %v, %d commands", err, len(sys.lines)-n)
		}
	}
	p, sys := newPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	tree, err := zfsSource(t, p).Open(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := tree.Close(ctx); err != nil {
		t.Errorf("Close with a context that has ended: %v", err)
	}
	empty(t, p, sys)
}

// TestCloseAgain: a Close that failed can be repeated and does what is missing.
func TestCloseAgain(t *testing.T) {
	for _, command := range []string{"umount", "zfs destroy"} {
		p, sys := newPlace(t)
		tree, err := zfsSource(t, p).Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		sys.fails = failAt(false, command)
		var e *Error
		if err := tree.Close(t.Context()); !errors.As(err, &e) || !slices.Contains(e.Left, "snapshot tresor-"+tree.Token()) {
			t.Errorf("%s fails: have error %v", command, err)
		}
		sys.fails = nil
		if err := tree.Close(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
		empty(t, p, sys)
	}
}

var _ orchestrator.Clock = (*quick)(nil)
