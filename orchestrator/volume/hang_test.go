package volume_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/volume"
)

// deaf is a disk that does not answer at one of its steps.
type deaf struct {
	volume.Disk
	step string
}

func (d *deaf) wait(ctx context.Context, step string) error {
	if d.step != step {
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (d *deaf) Look(ctx context.Context) (bool, string, error) {
	if err := d.wait(ctx, "look"); err != nil {
		return false, "", err
	}
	return d.Disk.Look(ctx)
}

func (d *deaf) Attach(ctx context.Context) error {
	return errors.Join(d.wait(ctx, "attach"), d.Disk.Attach(ctx))
}

func (d *deaf) Mount(ctx context.Context) (string, error) {
	if err := d.wait(ctx, "mount the disk"); err != nil {
		return "", err
	}
	return d.Disk.Mount(ctx)
}

// slow is an engine that does not come to an end for one disk.
type slow struct {
	*engine
	name string
}

func (s *slow) Mount(ctx context.Context, o orchestrator.MountOptions) (orchestrator.Store, error) {
	if strings.Contains(o.Parent, "/"+s.name+"/") {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return s.engine.Mount(ctx, o)
}

// TestDeadlines: a disk that does not answer costs its deadline, at whatever step, and the next one is used.
func TestDeadlines(t *testing.T) {
	for _, step := range []string{"look", "attach", "mount the disk", "mount the volume"} {
		t.Run(step, func(t *testing.T) {
			r := newRig(t, "a", "b")
			r.must(r.made().Close())
			r.o.Deadlines = volume.Deadlines{Step: 5 * time.Second, Mount: 5 * time.Second} // the other disk answers in time, on a busy machine too
			r.o.Volumes[0].Disk = &deaf{r.o.Volumes[0].Disk, step}
			if step == "mount the volume" {
				r.o.Engine = &slow{r.e, "a"}
			}
			m, begun := r.manager(), time.Now()
			r.start(m, "b")
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			r.wantMounted("b", "volume")
			list := m.Status(context.Background())
			if step == "look" && !strings.Contains(list[0].Note, "deadline of 5s is over") || list[1].State != volume.Mounted {
				t.Errorf("%+v", list)
			}
		})
	}
}

// TestFullVolume: it can be used, so that something can be removed: another disk would not make it less full.
func TestFullVolume(t *testing.T) {
	r := newRig(t, "a")
	m := r.made()
	cur := r.start(m, "a")
	f, err := os.Create(filepath.Join(cur.Root, "big"))
	r.must(err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	r.must(f.Close())
	if _, err := os.Create(filepath.Join(cur.Root, "more")); err == nil {
		t.Log("a file can be made nevertheless")
	}
	r.must(m.Check(context.Background()))
	if cur := r.start(r.manager(), "a"); len(cur.Notes) != 1 || !strings.Contains(cur.Notes[0], "no space left") {
		t.Errorf("notes %q", cur.Notes)
	}
}

// TestChecksAtOnce: several checks of one volume do not take each other's files for leftovers.
func TestChecksAtOnce(t *testing.T) {
	r := newRig(t, "a")
	m := r.made()
	r.start(m, "a")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 200 {
				if err := m.Check(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// TestLookWhileSwitching: what only looks does not wait, and no race is seen.
func TestLookWhileSwitching(t *testing.T) {
	r := newRig(t, "a", "b")
	r.o.Clock = orchestrator.SystemClock() // the pauses between two tries to unmount are what the lookers leave free
	m := r.made()
	r.start(m, "a")
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for ctx.Err() == nil {
				if list := m.Status(context.Background()); len(list) != 2 {
					t.Errorf("%+v", list)
				}
				_ = m.Check(ctx) // it may find nothing mounted
				if cur := m.Current(); cur != nil && cur.Store == nil {
					t.Error("a current volume without a store")
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	// The lookers may be in the volume when it is unmounted: then it is tried again.
	for range 2 {
		if _, err := m.Switch(context.Background(), volume.SwitchOptions{}); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wait.Wait()
}

func TestOptions(t *testing.T) {
	dir := t.TempDir()
	good := func() volume.Options {
		return volume.Options{Engine: &engine{}, Mounts: nothing{}, Point: "/p", State: filepath.Join(dir, "s"), Index: "/i",
			Volumes: []volume.Spec{{Name: "a b ü", Disk: &deaf{}}, {Name: "dayofweek-1", Disk: &deaf{}}}}
	}
	for name, spoil := range map[string]func(o *volume.Options){
		"":            func(*volume.Options) {},
		"twice":       func(o *volume.Options) { o.Volumes[1].Name = "a b ü" },
		"slash":       func(o *volume.Options) { o.Volumes[1].Name = "a/b" },
		"use":         func(o *volume.Options) { o.Volumes[1].Use = "sometimes" },
		"no disk":     func(o *volume.Options) { o.Volumes[1].Disk = nil },
		"parent":      func(o *volume.Options) { o.Volumes[1].Parent = "../x" },
		"disk itself": func(o *volume.Options) { o.Volumes[1].Parent = "./" },
		"relative":    func(o *volume.Options) { o.Point = "mnt" },
		"no engine":   func(o *volume.Options) { o.Engine = nil },
	} {
		o := good()
		spoil(&o)
		m, err := volume.New(o)
		if (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
		if m != nil {
			_ = m.Close()
		}
	}
}

// nothing is an empty mount table.
type nothing struct{}

func (nothing) At(string) (kind, source string, err error)     { return "", "", nil }
func (nothing) Points(string, string) (list []string, e error) { return nil, nil }
