package volume_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/volume"
)

// TestReinitOfAClone: two images with the same UUID have one name for their indexes. The index of the one in use is not taken away by a making on the other, neither by
// one that begins nor by one that a crash has cut off.
func TestReinitOfAClone(t *testing.T) {
	r := newRig(t, "a")
	r.must(r.made().Close())
	r.files["b"] = filepath.Join(r.dir, "b.img")
	if out, err := exec.Command("cp", r.files["a"], r.files["b"]).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.o.Volumes = append(r.o.Volumes, volume.Spec{Name: "b", Disk: r.disk("b")})
	m := r.manager()
	cur := r.start(m, "a")
	r.must(m.Close())
	index := filepath.Join(r.o.Index, cur.ID+".idx")
	was, err := os.ReadFile(index)
	r.must(err)
	mark, err := os.ReadFile(index + ".generation")
	r.must(err)
	untouched := func(what string) {
		t.Helper()
		now, err := os.ReadFile(index)
		nowMark, merr := os.ReadFile(index + ".generation")
		if errors.Join(err, merr) != nil || string(now) != string(was) || string(nowMark) != string(mark) {
			t.Fatalf("%s: the index in use is %q with the mark %s, %v; want %q", what, now, nowMark, errors.Join(err, merr), was)
		}
	}
	r.o.Owned = func(path string) (bool, error) { return path == index, nil }
	m = r.manager()
	r.start(m, "a")
	ctx := context.Background()
	if err := m.Make(ctx, "b", volume.MakeHow{GiveUp: "b"}); err == nil || !strings.Contains(err.Error(), "in use by another volume") {
		t.Errorf("reinit of a copy: %v", err)
	}
	untouched("after a reinit")
	r.must(os.MkdirAll(r.mountPoint("b"), 0o755))
	r.onDisk("b", func(dir string) {
		if _, err := os.Stat(filepath.Join(dir, ".tresor-make")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the journal of a making that was refused: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "l0/ddumbfs/ddfs.cfg")); err != nil {
			t.Errorf("the old volume: %v", err)
		}
		r.must(os.RemoveAll(filepath.Join(dir, "l0/ddumbfs")))
		r.must(os.WriteFile(filepath.Join(dir, ".tresor-make"), []byte(`{"id":"1","volume":"`+cur.ID+`","stage":"cleared","over":true}`), 0o600))
	})
	if _, err := m.Second(ctx, "b", filepath.Join(r.dir, "mnt/second"), false); err == nil || !strings.Contains(err.Error(), "in use by another volume") {
		t.Errorf("mount of a copy with a making that was cut off: %v", err)
	}
	untouched("after a mount")
	r.wantMounted("a", "volume")
}

// TestMadeElsewhere: a making was killed when the volume was made and not marked. Its disk comes to another machine that has an index of the old volume, or none, or
// loses its index here. The volume is mounted with a check.
func TestMadeElsewhere(t *testing.T) {
	for _, old := range []string{"", "index of long ago"} {
		for _, step := range []string{"marks", "forget the journal"} {
			r := newRigIn(t, "a")
			m := r.manager()
			m.StopMake(func(before string) error {
				if before == step {
					return errKilled
				}
				return nil
			})
			if err := m.Make(context.Background(), "a", volume.MakeHow{}); !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			names, err := filepath.Glob(filepath.Join(r.o.Index, "*.idx"))
			if err != nil || len(names) != 1 {
				t.Fatalf("%q, %v", names, err)
			}
			r.must(os.RemoveAll(r.o.Index))
			if old != "" {
				r.must(os.MkdirAll(r.o.Index, 0o700))
				r.must(os.WriteFile(names[0], []byte(old), 0o600))
			}
			cur := r.start(r.manager(), "a")
			// After the marks the copy on the disk is proved to be the index.
			if o := r.e.last(); !o.Check && (step == "marks" || !strings.HasPrefix(cur.Notes[0], "index: import: ")) {
				t.Errorf("old index %q, killed before %q: it is mounted without a check: %+v, %q", old, step, o, cur.Notes)
			}
			r.onDiskAt("a", func(dir string) {
				if _, err := os.Stat(filepath.Join(dir, ".tresor-make")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the journal is there: %v", err)
				}
			})
		}
	}
}

// onDiskAt looks at a disk that is mounted.
func (r *rig) onDiskAt(name string, look func(dir string)) { look(r.mountPoint(name)) }

// TestMakingEndsBeforeItsTurn: a making that is cut off does nothing more once its turn is over.
func TestMakingEndsBeforeItsTurn(t *testing.T) {
	r := newRig(t, "a")
	m := r.made()
	r.must(m.Close())
	r.o.Deadlines.Step = 3 * time.Second
	m = r.manager()
	began, let := make(chan struct{}), make(chan struct{})
	var after []string // steps since it was cut off
	m.StopMake(func(before string) error {
		if before == "remove" {
			close(began)
			<-let
			return nil
		}
		select {
		case <-let:
			after = append(after, before)
		default:
		}
		return nil
	})
	over := make(chan error, 2)
	go func() { over <- m.Make(context.Background(), "a", volume.MakeHow{GiveUp: "a"}) }()
	<-began
	index, err := filepath.Glob(filepath.Join(r.o.Index, "*.idx"))
	if err != nil || len(index) != 1 {
		t.Fatalf("%q, %v", index, err)
	}
	closed := make(chan error, 2)
	go func() { closed <- m.Close() }()
	select {
	case err := <-over:
		over <- err
		t.Errorf("its turn was over while it worked: %v", err)
	case err := <-closed:
		closed <- err
		t.Errorf("closed while it worked: %v", err)
	case <-time.After(time.Second):
	}
	close(let)
	if err := errors.Join(<-over, <-closed); err == nil || !strings.Contains(err.Error(), "lets go of the volumes") {
		t.Errorf("a making that was cut off: %v", err)
	}
	if len(after) > 0 {
		t.Errorf("steps after it was cut off: %q", after)
	}
	if _, err := os.Stat(index[0]); err != nil {
		t.Errorf("the index was removed after the end: %v", err)
	}
	r.wantMounted()
	r.start(r.manager(), "a")
	r.onDiskAt("a", func(dir string) {
		if data, err := os.ReadFile(filepath.Join(dir, "reinit.log")); err != nil || strings.Count(string(data), "\n") != 1 {
			t.Errorf("reinit.log %q, %v", data, err)
		}
	})
}
