package openfile_test

import (
	"context"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/mkfs"
)

// memoryDir is where volumes lie on disks in memory.
const memoryDir = "/v"

// memory is a small volume on a disk in memory, where faults and crashes can be staged.
type memory struct {
	t       testing.TB
	disk    *disktest.FS
	hooks   *hooks
	workers int
	vol     *index.Volume
	m       *openfile.Manager
	ids     map[string]openfile.ID

	mu  sync.Mutex // guards log
	log []string
}

func newMemory(t testing.TB, o format.CreateOptions, workers int) *memory {
	t.Helper()
	d := disktest.New()
	d.MkdirAll(memoryDir)
	if _, err := mkfs.Make(mkfs.Options{FS: d, Parent: memoryDir, CreateOptions: o}); err != nil {
		t.Fatalf("make volume: %v", err)
	}
	r := onDisk(t, d, workers)
	r.open()
	t.Cleanup(func() {
		if r.vol != nil {
			r.abandon()
		}
	})
	return r
}

// onDisk is a rig over a disk that holds a volume, which is not open.
func onDisk(t testing.TB, d *disktest.FS, workers int) *memory {
	return &memory{t: t, disk: d, hooks: &hooks{FS: d}, workers: workers, ids: map[string]openfile.ID{}}
}

func tiny() format.CreateOptions {
	return format.CreateOptions{Hash: "TIGER", BlockSize: 4096, Size: 200 * 4096, Overflow: 1.3}
}

func (r *memory) acquire() *index.Parent {
	r.t.Helper()
	p, err := index.Acquire(index.Location{FS: r.hooks, Parent: memoryDir}, index.Write)
	if err != nil {
		r.t.Fatalf("acquire volume: %v", err)
	}
	return p
}

func (r *memory) open() {
	r.t.Helper()
	var err error
	if r.vol, err = index.Open(r.acquire(), index.Options{Warn: r.note}); err != nil {
		r.t.Fatalf("open volume: %v", err)
	}
	r.serve()
}

func (r *memory) serve() {
	r.m = openfile.NewManager(openfile.Config{Volume: r.vol, Workers: r.workers, Log: r.note})
}

// note keeps what is logged.
func (r *memory) note(msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, msg)
}

// logged is what was logged so far.
func (r *memory) logged() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// repair repairs the volume as a mount does and opens it.
func (r *memory) repair() *fsck.Result {
	r.t.Helper()
	p := r.acquire()
	v := fsck.Of(p)
	if err := v.LoadState(); err != nil {
		r.t.Fatalf("load state: %v", err)
	}
	res, err := fsck.Repair(context.Background(), v, fsck.RepairOptions{KeepDirty: true})
	if err != nil {
		p.Close()
		r.t.Fatalf("repair: %v", err)
	}
	if r.vol, err = index.OpenRepaired(p, index.Options{}); err != nil {
		r.t.Fatalf("open repaired volume: %v", err)
	}
	r.serve()
	return res
}

// abandon leaves the volume as a killed process does, but for the workers, which have to end.
func (r *memory) abandon() {
	r.t.Helper()
	_ = r.m.Close() // whatever is said here was to be said by the test
	if err := r.vol.Abandon(); err != nil {
		r.t.Errorf("abandon volume: %v", err)
	}
	r.vol = nil
}

func (r *memory) close() {
	r.t.Helper()
	if err := r.m.Close(); err != nil {
		r.t.Errorf("close files: %v", err)
	}
	if err := r.vol.Close(); err != nil {
		r.t.Errorf("close volume: %v", err)
	}
	r.vol = nil
}

// status checks the closed volume, every block hashed.
func (r *memory) status() (fsck.Status, []string) {
	r.t.Helper()
	p, err := index.Acquire(index.Location{FS: r.disk, Parent: memoryDir}, index.Read)
	if err != nil {
		r.t.Fatalf("acquire volume: %v", err)
	}
	defer p.Close()
	v := fsck.Of(p)
	if err := v.LoadState(); err != nil {
		r.t.Fatalf("load state: %v", err)
	}
	var found []string
	sum, err := fsck.Check(context.Background(), v, fsck.CheckOptions{Hashes: true, Found: func(f fsck.Finding) { found = append(found, f.String()) }})
	if err != nil {
		r.t.Fatalf("check: %v", err)
	}
	return sum.Status(), found
}

func (r *memory) path(name string) string { return filepath.Join(memoryDir, format.RootName, name) }

// open opens (and creates) a file by name.
func (r *memory) file(name string) *openfile.Handle {
	r.t.Helper()
	h, err := r.tryFile(name)
	if err != nil {
		r.t.Fatalf("open %s: %v", name, err)
	}
	return h
}

func (r *memory) tryFile(name string) (*openfile.Handle, error) {
	if _, ok := r.ids[name]; !ok {
		r.ids[name] = openfile.ID(len(r.ids) + 10)
	}
	f, err := r.m.Open(r.ids[name], func() (disk.File, error) {
		return r.hooks.OpenFile(r.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	})
	if err != nil {
		return nil, err
	}
	h := f.NewHandle()
	return h, f.Close()
}

// write is WriteAt that must succeed.
func (r *memory) write(h *openfile.Handle, p []byte, off int64) {
	r.t.Helper()
	if n, err := h.WriteAt(p, off); n != len(p) || err != nil {
		r.t.Fatalf("write %d bytes at %d: have %d, %v", len(p), off, n, err)
	}
}

// assertContent reads the whole file through a handle.
func (r *memory) assertContent(h *openfile.Handle, want []byte) {
	r.t.Helper()
	p := make([]byte, len(want)+1)
	n, err := h.ReadAt(p, 0)
	if err != nil || string(p[:n]) != string(want) {
		at := 0
		for at < min(n, len(want)) && p[at] == want[at] {
			at++
		}
		r.t.Errorf("content: have %d bytes, %v, want %d; the first difference is at %d", n, err, len(want), at)
	}
}

// hooks is a disk that calls functions on the way.
type hooks struct {
	disk.FS

	mu sync.Mutex // guards the functions
	// beforeSync and modified are called with the name of the file, before it is synced or gets its time of modification. nil: nothing.
	beforeSync, modified func(name string)
}

func (h *hooks) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *hooks) call(which func() func(name string), name string) {
	h.mu.Lock()
	fn := which()
	h.mu.Unlock()
	if fn != nil {
		fn(name)
	}
}

// OpenFile implements disk.FS.
func (h *hooks) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &hookedFile{File: f, h: h}, nil
}

type hookedFile struct {
	disk.File
	h *hooks
}

func (f *hookedFile) Sync() error {
	f.h.call(func() func(string) { return f.h.beforeSync }, f.Name())
	return f.File.Sync()
}

func (f *hookedFile) SyncAll() error {
	f.h.call(func() func(string) { return f.h.beforeSync }, f.Name())
	return f.File.SyncAll()
}

// SetModified is what underlying files on a real disk have besides disk.File.
func (f *hookedFile) SetModified(time.Time) error {
	f.h.call(func() func(string) { return f.h.modified }, f.Name())
	return nil
}
