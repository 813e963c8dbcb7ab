package volume_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/disk"
	"tresor/orchestrator/volume"
)

// TestWay takes a volume up and down, and looks at every state on the way.
func TestWay(t *testing.T) {
	r := newRig(t, "sdc1", "sdc10")
	m := r.made()
	r.wantMounted()
	r.log = nil
	cur := r.start(m, "sdc1")
	if want := []string{"sdc1:attached", "sdc1:unlocked", "sdc1:disk-mounted", "sdc1:fsck", "sdc1:mounted"}; !slices.Equal(r.log, want) {
		t.Errorf("states %v, want %v", r.log, want)
	}
	r.wantMounted("sdc1", "volume")
	o := r.e.last()
	if o.Check || o.Parent != filepath.Join(r.mountPoint("sdc1"), "l0/ddumbfs") || filepath.Dir(o.Index) != r.o.Index || o.Point != r.o.Point {
		t.Errorf("mounted with %+v", o)
	}
	for _, f := range []string{"bazaar", "bazaar.tmp"} {
		if info, err := os.Stat(filepath.Join(cur.Root, f)); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", f, err)
		}
	}
	info, err := os.ReadFile(filepath.Join(cur.Disk, "diskinfo"))
	if err != nil || string(info) != "UUID: "+cur.ID+"\n" || len(cur.ID) != 36 {
		t.Errorf("diskinfo %q, %v", info, err)
	}
	r.must(m.Check(context.Background()))
	if have, want := r.states(m), "sdc1:mounted sdc10:ejectable"; have != want {
		t.Errorf("%s, want %s", have, want)
	}
	r.log = nil
	closed, err := m.Unmount(context.Background())
	if err != nil || !closed.Disk || closed.Name != "sdc1" || closed.Warnings != nil {
		t.Errorf("%+v, %v", closed, err)
	}
	if want := []string{"sdc1:unmounted", "sdc1:ejectable"}; !slices.Equal(r.log, want) {
		t.Errorf("states %v, want %v", r.log, want)
	}
	r.wantMounted()
	if _, err := os.Stat(filepath.Join(r.o.Point, "NOT_MOUNTED")); err != nil {
		t.Error(err)
	}
	if err := m.Check(context.Background()); !errors.Is(err, volume.ErrNotUsable) {
		t.Errorf("check without a volume: %v", err)
	}
	r.away("sdc10")
	if have, want := r.states(m), "sdc1:ejectable sdc10:absent"; have != want {
		t.Errorf("%s, want %s", have, want)
	}
	if names, err := os.ReadDir(r.o.Point); err != nil || len(names) != 1 {
		t.Errorf("mount point: %v %v", names, err)
	}
}

// TestKilledProcess: the process ends without unmounting, and the next one goes on with what is mounted.
func TestKilledProcess(t *testing.T) {
	r := newRig(t, "a", "b")
	r.start(r.made(), "a")
	mounts := len(r.e.mounts)
	m := r.manager()
	cur := r.start(m, "a")
	if len(r.e.mounts) != mounts || cur.Disk != r.mountPoint("a") || cur.ID == "" {
		t.Errorf("adopted: %+v after %d mounts", cur, len(r.e.mounts)-mounts)
	}
	// The state file lies: the kernel is right.
	r.must(os.WriteFile(filepath.Join(r.o.State, "volumes.json"), []byte(`{"current":"b","volumes":{"a":{"state":"absent"}}}`), 0o600))
	m = r.manager()
	r.start(m, "a")
	r.must(os.WriteFile(filepath.Join(r.o.State, "volumes.json"), []byte(`{"current":`), 0o600)) // damaged
	m = r.manager()
	r.start(m, "a")
	if closed, err := m.Unmount(context.Background()); err != nil || closed.Warnings != nil {
		t.Errorf("%+v, %v", closed, err)
	}
	// Power cut: nothing is mounted any more, and the volume is not clean. The same disk comes first, and the index of its session is used.
	r.start(m, "a")
	r.must(errors.Join(r.e.locks[r.o.Point].Close(), unix.Unmount(r.o.Point, 0), unix.Unmount(r.mountPoint("a"), 0)))
	delete(r.e.locks, r.o.Point)
	m = r.manager()
	if cur := r.start(m, "a"); len(cur.Notes) == 0 || !strings.Contains(cur.Notes[0], "was not closed here") {
		t.Errorf("after a power cut: %v", cur.Notes)
	}
	_, err := m.Unmount(context.Background())
	r.must(err)
}

// TestDeadVolume: something else lies over the mount point, or the volume cannot be written.
func TestDeadVolume(t *testing.T) {
	r := newRig(t, "a")
	m := r.made()
	cur := r.start(m, "a")
	for _, c := range []struct {
		name       string
		spoil, end func() error
	}{
		{"read-only", func() error { return unix.Mount("", cur.Point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") },
			func() error { return unix.Mount("", cur.Point, "", unix.MS_REMOUNT, "") }},
		{"mark seen", func() error { return os.WriteFile(filepath.Join(cur.Point, "NOT_MOUNTED"), nil, 0o600) },
			func() error { return os.Remove(filepath.Join(cur.Point, "NOT_MOUNTED")) }},
		{"something mounted over it", func() error { return unix.Mount("other", cur.Point, "tmpfs", 0, "") },
			func() error { return unix.Unmount(cur.Point, 0) }},
	} {
		r.must(c.spoil())
		if err := m.Check(context.Background()); !errors.Is(err, volume.ErrNotUsable) {
			t.Errorf("%s: %v", c.name, err)
		}
		r.must(c.end())
		r.must(m.Check(context.Background()))
	}
	// What a killed check has left behind goes away.
	r.must(os.WriteFile(filepath.Join(cur.Root, ".tresor-alive-0123"), nil, 0o600))
	r.must(m.Check(context.Background()))
	if _, err := os.Stat(filepath.Join(cur.Root, ".tresor-alive-0123")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestDeadDaemon: a volume that cannot be closed cleanly is left, and repaired when its turn comes again.
func TestDeadDaemon(t *testing.T) {
	r := newRig(t, "a", "b")
	m := r.made()
	r.start(m, "a")
	r.e.dead = errors.New("unmounted, and not clean")
	s, err := m.Switch(context.Background(), volume.SwitchOptions{})
	if err != nil || s.String() != "switched from a to b" || !slices.Contains(s.Warnings, r.e.dead.Error()) {
		t.Fatalf("%s: %+v, %v", s.String(), s, err)
	}
	r.wantMounted("b", "volume")
	// The next process finds one that does not answer.
	m = r.manager()
	r.start(m, "b")
	if len(r.e.mounts) != 3 {
		t.Errorf("%d mounts", len(r.e.mounts))
	}
	r.e.dead = nil
	s, err = m.Switch(context.Background(), volume.SwitchOptions{})
	if err != nil || s.Now.Name != "a" || !strings.Contains(s.Now.Notes[0], "was not closed here") {
		t.Errorf("%s: %v, %v", s.String(), s.Now, err)
	}
}

// TestPulledOut: the disk is gone while its volume is mounted, and the process with it.
func TestPulledOut(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRigIn(t, "a", "b")
		m := r.made()
		r.start(m, "a")
		r.away("a")
		r.e.dead = errors.New("unmounted, and not clean")
		if restart {
			m = r.manager()
			r.start(m, "b")
		} else if s, err := m.Switch(context.Background(), volume.SwitchOptions{}); err != nil || s.String() != "switched from a to b" {
			t.Fatalf("%s: %+v, %v", s.String(), s, err)
		}
		r.e.dead = nil
		if have := r.states(m); have != "a:absent b:mounted" {
			t.Error(have)
		}
		r.back("a")
		if s, err := m.Switch(context.Background(), volume.SwitchOptions{To: "a"}); err != nil || s.Now.Disk != r.mountPoint("a") {
			t.Errorf("%s: %v", s.String(), err)
		}
	}
}

// TestInUse: a process works in the volume.
func TestInUse(t *testing.T) {
	r := newRig(t, "a", "b")
	r.o.Deadlines.Unmount = 8 * time.Second
	m := r.made()
	cur := r.start(m, "a")
	cmd := exec.Command("sleep", "100")
	cmd.Dir = cur.Root
	r.must(cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var busy *orchestrator.InUseError
	s, err := m.Switch(context.Background(), volume.SwitchOptions{})
	if !errors.As(err, &busy) || busy.Holders == nil || s.Now != cur || s.Changed() || s.String() != "not switched; a is still mounted" {
		t.Errorf("%+v, %v", s, err)
	}
	r.must(m.Check(context.Background()))
	if cmd.ProcessState != nil {
		t.Error("the process was ended")
	}
	// With force it is ended.
	forced := 0
	r.o.Force = func(_ context.Context, point string) error {
		if forced++; point != r.o.Point {
			t.Errorf("force at %s", point)
		}
		err := cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		return err
	}
	m = r.manager()
	r.start(m, "a")
	if s, err = m.Switch(context.Background(), volume.SwitchOptions{}); err != nil || forced != 1 || s.String() != "switched from a to b" {
		t.Errorf("forced %d times: %v, %v", forced, &s, err)
	}
}

// TestAlreadyMounted: somebody has mounted the disk elsewhere; it is used there.
func TestAlreadyMounted(t *testing.T) {
	r := newRig(t, "a")
	m := r.made()
	place := filepath.Join(r.dir, "mnt", "by hand")
	r.must(os.MkdirAll(place, 0o755))
	out, err := exec.Command("mount", "-o", "loop", r.files["a"], place).CombinedOutput()
	if err != nil {
		t.Skipf("mount -o loop: %v %s", err, out)
	}
	if cur := r.start(m, "a"); cur.Disk != place {
		t.Errorf("used at %s, want %s", cur.Disk, place)
	}
	r.wantMounted("by hand", "volume")
	closed, err := m.Unmount(context.Background())
	if err != nil || !closed.Disk {
		t.Errorf("%+v, %v", closed, err)
	}
	r.wantMounted()
}

// TestSymbolicLinks on the way to the mount points: the kernel has other names for them.
func TestSymbolicLinks(t *testing.T) {
	r := newRig(t, "a")
	r.must(os.MkdirAll(filepath.Join(r.dir, "mnt"), 0o755))
	r.must(os.Symlink("mnt", filepath.Join(r.dir, "link")))
	r.o.Point = filepath.Join(r.dir, "link/deep/volume")
	d, err := disk.New(disk.Spec{Name: "a", File: r.files["a"], Dir: filepath.Join(r.dir, "link/a")}, disk.Host{})
	r.must(err)
	r.o.Volumes[0].Disk = d
	m := r.made()
	r.start(m, "a")
	r.must(m.Check(context.Background()))
	mounts := len(r.e.mounts)
	m = r.manager()
	r.start(m, "a")
	if len(r.e.mounts) != mounts {
		t.Error("it was mounted a second time")
	}
	cur, err := m.Second(context.Background(), "a", filepath.Join(r.dir, "link/deep/volume"), false)
	if err == nil {
		t.Errorf("second over the first: %+v", cur)
	}
	closed, err := m.Unmount(context.Background())
	if err != nil || !closed.Disk || closed.Warnings != nil {
		t.Errorf("%+v, %v", closed, err)
	}
	r.wantMounted()
}

// TestFailedMount leaves nothing behind, and says all reasons.
func TestFailedMount(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	m := r.made()
	r.away("b")
	r.e.refuse["a"] = errors.New("block file is cut")
	r.e.refuse["c"] = errors.New("hash is unknown")
	cur, err := m.Start(context.Background())
	if cur != nil || !errors.Is(err, volume.ErrNotUsable) {
		t.Fatalf("%v, %v", cur, err)
	}
	for _, text := range []string{`volume "a": block file is cut`, `volume "b": attach: disk "b"`, "not connected", `volume "c": hash is unknown`} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is missing in %v", text, err)
		}
	}
	r.wantMounted()
	if have, want := r.states(m), "a:ejectable b:absent c:ejectable"; have != want {
		t.Errorf("%s, want %s", have, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Start(ctx); err == nil {
		t.Error("a context that has ended: no error")
	}
	r.wantMounted()
}

// TestLegacy: a disk as the predecessor leaves it.
func TestLegacy(t *testing.T) {
	r := newRig(t, "sdc1")
	m := r.made()
	cur := r.start(m, "sdc1")
	parent, id := cur.Parent, cur.ID
	r.must(func() error { _, err := m.Unmount(context.Background()); return err }())
	// Its index is elsewhere, there are no marks, and its own copy lies on the disk.
	out, err := exec.Command("mount", "-o", "loop", r.files["sdc1"], r.mountPoint("sdc1")).CombinedOutput()
	if err != nil {
		t.Skipf("mount -o loop: %v %s", err, out)
	}
	marks, err := filepath.Glob(filepath.Join(parent, "*.generation"))
	r.must(err)
	if len(marks) != 2 {
		t.Fatalf("marks: %v", marks)
	}
	for _, f := range marks {
		r.must(os.Remove(f))
	}
	r.must(os.RemoveAll(r.o.Index))
	r.must(os.WriteFile(filepath.Join(parent, id+".idx"), []byte("index of the predecessor"), 0o600))
	cfg := "root_directory: ddfsroot\nblock_filename: ddfsblocks\nindex_filename: /nowhere/indexfiles/" + id + ".idx\n"
	r.must(os.WriteFile(filepath.Join(parent, "ddfs.cfg"), []byte(cfg), 0o600))
	m = r.manager()
	cur = r.start(m, "sdc1")
	if o := r.e.last(); !o.Check || o.Index != filepath.Join(r.o.Index, id+".idx") {
		t.Errorf("mounted with %+v", o)
	}
	// From then on nothing is in doubt.
	r.must(func() error { _, err := m.Unmount(context.Background()); return err }())
	r.start(m, "sdc1")
	if o := r.e.last(); o.Check {
		t.Errorf("the second time: %+v", o)
	}
	// An index inside the volume is the engine's alone.
	r.must(func() error { _, err := m.Unmount(context.Background()); return err }())
	r.onDisk("sdc1", func(dir string) {
		cfg := "block_filename: ddfsblocks\nindex_filename: ddfsidx\n"
		r.must(os.WriteFile(filepath.Join(dir, "l0/ddumbfs/ddfs.cfg"), []byte(cfg), 0o600))
		r.must(os.WriteFile(filepath.Join(dir, "l0/ddumbfs/ddfsidx"), nil, 0o600))
	})
	r.start(m, "sdc1")
	if o := r.e.last(); o.Index != "" || o.Check {
		t.Errorf("with an index inside: %+v", o)
	}
	closed, err := m.Unmount(context.Background())
	if err != nil || closed.Warnings != nil {
		t.Errorf("%+v, %v", closed, err)
	}
}
