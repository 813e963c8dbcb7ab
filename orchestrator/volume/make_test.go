package volume_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tresor/orchestrator/volume"
)

var errKilled = errors.New("killed")

// onDisk mounts a disk for a look that may change something.
func (r *rig) onDisk(name string, look func(dir string)) {
	r.t.Helper()
	out, err := exec.Command("mount", "-o", "loop", r.files[name], r.mountPoint(name)).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	look(r.mountPoint(name))
	if out, err = exec.Command("umount", r.mountPoint(name)).CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

// old marks the volume on a disk as one with content.
func (r *rig) old(name string) {
	r.onDisk(name, func(dir string) {
		r.must(os.WriteFile(filepath.Join(dir, "l0/ddumbfs/ddfsblocks"), []byte("many old blocks"), 0o600))
		r.must(os.WriteFile(filepath.Join(dir, "a letter"), []byte("something else"), 0o600))
	})
}

func TestReinit(t *testing.T) {
	r := newRig(t, "a", "b")
	m := r.made()
	ctx := context.Background()
	r.old("a")
	for _, h := range []volume.MakeHow{{}, {GiveUp: "b"}, {GiveUp: "A"}, {GiveUp: "a", Percent: 101}} {
		if err := m.Make(ctx, "a", h); err == nil {
			t.Errorf("%+v: the old volume was given up", h)
		}
		r.wantMounted()
	}
	r.onDisk("a", func(dir string) {
		if data, err := os.ReadFile(filepath.Join(dir, "l0/ddumbfs/ddfsblocks")); err != nil || string(data) != "many old blocks" {
			t.Fatalf("%q, %v", data, err)
		}
	})
	r.must(m.Make(ctx, "a", volume.MakeHow{GiveUp: "a", Percent: 50, Hash: "BLAKE3"}))
	r.wantMounted()
	r.onDisk("a", func(dir string) { r.wantNew(dir, 1) })
	r.start(m, "a")
	if o := r.e.last(); o.Check {
		t.Errorf("a new volume is checked: %+v", o)
	}
	if err := m.Make(ctx, "a", volume.MakeHow{GiveUp: "a"}); err == nil || !strings.Contains(err.Error(), "unmount it first") {
		t.Errorf("over the current volume: %v", err)
	}
	if err := m.Make(ctx, "z", volume.MakeHow{}); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

// wantNew looks at a disk whose volume was made anew, lines times.
func (r *rig) wantNew(dir string, lines int) {
	r.t.Helper()
	if data, err := os.ReadFile(filepath.Join(dir, "l0/ddumbfs/ddfsblocks")); err != nil || string(data) != "DDUMBFSB" {
		r.t.Errorf("block file %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "a letter")); err != nil || string(data) != "something else" {
		r.t.Errorf("what else was on the disk: %q, %v", data, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "reinit.log"))
	if err != nil || strings.Count(string(data), "\n") != lines {
		r.t.Errorf("reinit.log %q, %v; want %d lines", data, err, lines)
	}
	for _, gone := range []string{".tresor-make", "l0/ddumbfs.given-up"} {
		if _, err := os.Stat(filepath.Join(dir, gone)); !errors.Is(err, os.ErrNotExist) {
			r.t.Errorf("%s: %v", gone, err)
		}
	}
}

// TestReinitKilled stops a reinit before each of its steps, those of the engine included. The next start finds the old volume whole, or makes the new one.
func TestReinitKilled(t *testing.T) {
	r := newRig(t, "a")
	ctx := context.Background()
	r.must(r.made().Make(ctx, "a", volume.MakeHow{GiveUp: "a"})) // one line in the log
	lines, steps := 1, 0
	for n := 0; ; n++ {
		r.old("a")
		left, gone := n, false
		stop := func(before string) error {
			if steps++; left == 0 {
				return errKilled
			}
			left--
			gone = gone || before == "give up" // that step is done when the next one begins
			return nil
		}
		m := r.manager()
		m.StopMake(stop)
		r.e.before = func(step, _ string) error { return stop(step) }
		err := m.Make(ctx, "a", volume.MakeHow{GiveUp: "a"})
		r.e.before = nil
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		m = r.manager()
		r.start(m, "a")
		_, e := m.Unmount(ctx)
		r.must(e)
		r.onDisk("a", func(dir string) {
			data, _ := os.ReadFile(filepath.Join(dir, "l0/ddumbfs/ddfsblocks"))
			switch string(data) {
			case "many old blocks":
				if gone {
					t.Errorf("killed before step %d: the old volume was given up and is there", n)
				}
			default:
				if lines++; !gone {
					t.Errorf("killed before step %d: the old volume is lost, and was not given up yet", n)
				}
				r.wantNew(dir, lines)
			}
			if _, err := os.Stat(filepath.Join(dir, ".tresor-make")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("killed before step %d: the journal is there: %v", n, err)
			}
		})
		if err == nil {
			if n < 9 {
				t.Errorf("a reinit has %d steps only", n)
			}
			t.Logf("%d steps", n)
			break
		}
	}
}

// TestDamagedJournal: nobody guesses.
func TestDamagedJournal(t *testing.T) {
	r := newRig(t, "a")
	m := r.made()
	r.onDisk("a", func(dir string) { r.must(os.WriteFile(filepath.Join(dir, ".tresor-make"), []byte("{"), 0o600)) })
	if _, err := m.Start(context.Background()); err == nil || !strings.Contains(err.Error(), ".tresor-make") {
		t.Errorf("%v", err)
	}
	r.wantMounted()
}
