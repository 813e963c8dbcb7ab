package engine_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/cmd/internal/engine"
	"tresor/index/indextest"
	"tresor/integration/mounttest"
	"tresor/orchestrator"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// rig is a volume and where it is mounted by an engine.
type rig struct {
	t             *testing.T
	e             *engine.Engine
	parent, point string
	log           *[]string
}

func newRig(t *testing.T, dir string, o orchestrator.MakeOptions) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts")
	}
	log := &[]string{}
	r := &rig{t: t, parent: filepath.Join(dir, "volume"), point: filepath.Join(mounttest.Dir(t), "mnt"), log: log}
	r.e = engine.New(engine.Options{Program: mounttest.Binary(t), Deadline: time.Minute, Close: time.Minute, Log: func(line string) { *log = append(*log, line) }})
	if err := errors.Join(os.MkdirAll(r.parent, 0o700), os.Mkdir(r.point, 0o700)); err != nil {
		t.Fatal(err)
	}
	o.Parent = r.parent
	if o.Size == 0 {
		o.Size = 128 << 20
	}
	if err := r.e.Make(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// mount mounts the volume.
func (r *rig) mount(o orchestrator.MountOptions) orchestrator.Store {
	r.t.Helper()
	o.Parent, o.Point = r.parent, r.point
	s, err := r.e.Mount(context.Background(), o)
	if err != nil {
		r.t.Fatalf("mount: %v\n%q", err, *r.log)
	}
	return s
}

// close unmounts, and the volume is sound.
func (r *rig) close() {
	r.t.Helper()
	err := r.e.Unmount(context.Background(), r.point)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Error(err)
	}
	indextest.AssertClean(r.t, r.parent)
}
