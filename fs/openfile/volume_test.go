package openfile_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/mkfs"
)

// rig is a small volume on the real disk with a manager over it. It is checked when the test ends.
type rig struct {
	t       *testing.T
	dir     string
	workers int
	options index.Options
	vol     *index.Volume
	m       *openfile.Manager
	ids     map[string]openfile.ID
}

func newRig(t *testing.T, o format.CreateOptions, workers int) *rig {
	t.Helper()
	dir := t.TempDir()
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: o}); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, workers: workers, ids: make(map[string]openfile.ID)}
	r.open()
	t.Cleanup(func() {
		if r.vol != nil {
			r.close()
		}
		if !t.Failed() {
			r.check()
		}
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	p, err := index.Acquire(index.Location{Parent: r.dir}, index.Write)
	if err != nil {
		r.t.Fatal(err)
	}
	r.options.Warn = func(msg string) { r.t.Log("engine:", msg) }
	if r.vol, err = index.Open(p, r.options); err != nil {
		r.t.Fatal(err)
	}
	r.m = openfile.NewManager(openfile.Config{Volume: r.vol, Workers: r.workers, Log: func(msg string) { r.t.Log("file:", msg) }})
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.m.Close(); err != nil {
		r.t.Error("close files:", err)
	}
	if err := r.vol.Close(); err != nil {
		r.t.Error("close volume:", err)
	}
	r.vol = nil
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, format.RootName, name) }

// file opens (and creates) a file by name.
func (r *rig) file(name string) *openfile.Handle {
	r.t.Helper()
	if _, ok := r.ids[name]; !ok {
		r.ids[name] = openfile.ID(len(r.ids) + 10)
	}
	f, err := r.m.Open(r.ids[name], openUnder(r.path(name)))
	if err != nil {
		r.t.Fatal(err)
	}
	h := f.NewHandle()
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
	return h
}

// check runs the independent checker, with all hashes.
func (r *rig) check() {
	r.t.Helper()
	p, err := index.Acquire(index.Location{Parent: r.dir}, index.Read)
	if err != nil {
		r.t.Fatal(err)
	}
	defer p.Close()
	v := &fsck.Volume{FS: p.FS, Dir: p.Dir, Root: p.Root, Config: p.Config, Geometry: p.Geometry, IndexPath: p.IndexPath, BlocksPath: p.BlocksPath}
	if err := v.LoadState(); err != nil {
		r.t.Fatal(err)
	}
	if v.Unclean {
		r.t.Error("the volume was not closed cleanly")
	}
	sum, err := fsck.Check(context.Background(), v, fsck.CheckOptions{Hashes: true, Found: func(f fsck.Finding) { r.t.Error("found:", f) }})
	if err != nil {
		r.t.Fatal(err)
	}
	if s := sum.Status(); s != 0 {
		r.t.Errorf("check: want status 0, have %d (%s)", s, sum.StatusText())
	}
}

// openUnder opens (and creates) an underlying file.
func openUnder(name string) func() (disk.File, error) {
	return func() (disk.File, error) { return disk.OS().OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) }
}
