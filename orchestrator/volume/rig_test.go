package volume_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/disk"
	"tresor/orchestrator/volume"
)

// engine is a stand-in: a volume that is mounted is a real mount, of a tmpfs whose source is the parent; its lock keeps the disk busy, and it leaves the
// marks of a volume that was not closed.
type engine struct {
	mu     sync.Mutex
	locks  map[string]*os.File             // by mount point
	mounts []orchestrator.MountOptions     // all of them
	refuse map[string]error                // by name of the disk's directory
	dead   error                           // an unmount ends with it, after it has unmounted
	before func(step, parent string) error // a test may stop a making
}

// store has a root and nothing else.
type store struct {
	orchestrator.Store
	root string
}

func (s *store) Root() string { return s.root }

func (e *engine) Mount(ctx context.Context, o orchestrator.MountOptions) (orchestrator.Store, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mounts = append(e.mounts, o)
	for name, err := range e.refuse {
		if strings.Contains(o.Parent, "/"+name+"/") {
			return nil, err
		}
	}
	if o.Index == "" {
		o.Index = filepath.Join(o.Parent, "ddfsidx")
	}
	if _, err := os.Stat(o.Index); err != nil { // as the real one
		return nil, err
	}
	lock, err := os.Open(o.Parent)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		err = errors.Join(os.WriteFile(o.Index, fmt.Appendf(nil, "index of %s after mount %d", o.Parent, len(e.mounts)), 0o600),
			os.WriteFile(filepath.Join(o.Parent, ".autofsck"), []byte("tresor session\n"), 0o600))
	}
	err = errors.Join(err, unix.Mount(o.Parent, o.Point, "tmpfs", 0, "size=1m"))
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e.locks[o.Point] = lock
	return &store{root: o.Point}, nil
}

func (e *engine) Open(_ context.Context, point string) (orchestrator.Store, error) {
	if e.dead != nil {
		return nil, e.dead
	}
	return &store{root: point}, nil
}

func (e *engine) Unmount(_ context.Context, point string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := unix.Unmount(point, 0); errors.Is(err, unix.EBUSY) {
		return &orchestrator.InUseError{Point: point, Holders: []string{"1 somebody: " + point}}
	} else if err != nil {
		return err
	}
	if e.dead != nil {
		return errors.Join(e.dead, e.locks[point].Close())
	}
	lock := e.locks[point]
	if lock == nil {
		return nil
	}
	delete(e.locks, point)
	if err := os.Remove(filepath.Join(lock.Name(), ".autofsck")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return lock.Close()
}

func (e *engine) Make(_ context.Context, o orchestrator.MakeOptions) error {
	for _, s := range []struct {
		step string
		do   func() error
	}{
		{"make blocks", func() error { return os.WriteFile(filepath.Join(o.Parent, "ddfsblocks"), []byte("DDUMBFSB"), 0o600) }},
		{"make index", func() error { return os.WriteFile(o.Index, []byte("DDUMBFSI"), 0o600) }},
		{"make settings", func() error {
			text := "index_filename: " + o.Index + "\nblock_filename: ddfsblocks\npartition_size: " + fmt.Sprint(o.Size) + "\n"
			return os.WriteFile(filepath.Join(o.Parent, "ddfs.cfg"), []byte(text), 0o600)
		}},
		{"return", func() error { return nil }},
	} {
		if e.before != nil {
			if err := e.before(s.step, o.Parent); err != nil {
				return err
			}
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}

// last is how a volume was mounted last.
func (e *engine) last() orchestrator.MountOptions {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mounts[len(e.mounts)-1]
}

// rig is a machine with loop disks.
type rig struct {
	t     *testing.T
	dir   string
	e     *engine
	files map[string]string // images by name
	o     volume.Options
	log   []string
	clock *fakeClock
}

// fakeClock stands still but for its sleeps, which take no time.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

func (c *fakeClock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func newRig(t *testing.T, names ...string) *rig {
	t.Helper()
	t.Parallel() // it waits for the disk most of the time
	return newRigIn(t, names...)
}

// newRigIn is newRig of a test that has several.
func newRigIn(t *testing.T, names ...string) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts and loop devices need root")
	}
	for _, p := range []string{"mkfs.ext4", "/dev/loop-control"} {
		if _, err := exec.LookPath(p); err != nil && !strings.HasPrefix(p, "/") {
			t.Skip(err)
		} else if _, err := os.Stat(p); err != nil && strings.HasPrefix(p, "/") {
			t.Skip(err)
		}
	}
	// A Wednesday.
	r := &rig{t: t, dir: t.TempDir(), e: &engine{locks: map[string]*os.File{}, refuse: map[string]error{}}, files: map[string]string{},
		clock: &fakeClock{now: time.Date(2026, 6, 3, 20, 0, 0, 0, time.UTC)}}
	r.o = volume.Options{Engine: r.e, Mounts: disk.Table{}, Point: filepath.Join(r.dir, "mnt/volume"), State: filepath.Join(r.dir, "state"),
		Index: filepath.Join(r.dir, "index"), Clock: r.clock, Filesys: "tmpfs", Host: "here",
		Log: func(s volume.Transition) { r.log = append(r.log, fmt.Sprintf("%s:%s", s.Volume, s.To)) }}
	t.Cleanup(r.clean)
	for _, n := range names {
		r.files[n] = filepath.Join(r.dir, n+".img")
		r.image(n)
		r.o.Volumes = append(r.o.Volumes, volume.Spec{Name: n, Disk: r.disk(n)})
	}
	return r
}

func (r *rig) image(name string) {
	r.t.Helper()
	f, err := os.Create(r.files[name])
	if err == nil {
		err = errors.Join(f.Truncate(4<<20), f.Close())
	}
	r.must(err)
	out, err := exec.Command("mkfs.ext4", "-q", r.files[name]).CombinedOutput()
	if err != nil {
		r.t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
}

func (r *rig) mountPoint(name string) string { return filepath.Join(r.dir, "mnt", name) }

func (r *rig) disk(name string) volume.Disk {
	r.t.Helper()
	d, err := disk.New(disk.Spec{Name: name, File: r.files[name], Dir: r.mountPoint(name)}, disk.Host{})
	r.must(err)
	return &alone{Disk: d}
}

// alone is a disk that nothing keeps but what a test says: other tests on this machine have mount namespaces that come and go.
type alone struct {
	volume.Disk
	why string
}

func (a *alone) Kept(context.Context) (string, error) { return a.why, nil }

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// clean unmounts whatever is left, and says so if a test has succeeded.
func (r *rig) clean() {
	for _, lock := range r.e.locks {
		_ = lock.Close()
	}
	for range 3 {
		all, err := disk.Table{}.All()
		if err != nil {
			r.t.Error(err)
		}
		slices.Reverse(all)
		for _, m := range all {
			if strings.HasPrefix(m.Point, r.dir+"/") {
				_ = unix.Unmount(m.Point, unix.MNT_DETACH)
			}
		}
	}
}

// manager is a new process over what is there.
func (r *rig) manager() *volume.Manager {
	r.t.Helper()
	m, err := volume.New(r.o)
	r.must(err)
	r.t.Cleanup(func() { _ = m.Close() })
	return m
}

// made is a manager whose disks have volumes.
func (r *rig) made() *volume.Manager {
	r.t.Helper()
	m := r.manager()
	for _, v := range r.o.Volumes {
		r.must(m.Make(context.Background(), v.Name, volume.MakeHow{}))
	}
	return m
}

func (r *rig) start(m *volume.Manager, want string) *volume.Current {
	r.t.Helper()
	cur, err := m.Start(context.Background())
	r.must(err)
	if cur.Name != want {
		r.t.Fatalf("%s is in use, want %s", cur.Name, want)
	}
	return cur
}

// away takes a disk out of the machine; back puts it in again.
func (r *rig) away(name string) { r.must(os.Rename(r.files[name], r.files[name]+".away")) }
func (r *rig) back(name string) { r.must(os.Rename(r.files[name]+".away", r.files[name])) }

// mounted tells what is mounted below the rig's directory.
func (r *rig) mounted() (list []string) {
	r.t.Helper()
	all, err := disk.Table{}.All()
	r.must(err)
	for _, m := range all {
		if rest, ok := strings.CutPrefix(m.Point, filepath.Join(r.dir, "mnt")+"/"); ok {
			list = append(list, rest)
		}
	}
	slices.Sort(list)
	return list
}

func (r *rig) wantMounted(want ...string) {
	r.t.Helper()
	slices.Sort(want)
	if have := r.mounted(); !slices.Equal(have, want) {
		r.t.Errorf("mounted: %v, want %v", have, want)
	}
}

func (r *rig) states(m *volume.Manager) (text string) {
	r.t.Helper()
	for _, s := range m.Status(context.Background()) {
		text += fmt.Sprintf("%s:%s ", s.Name, s.State)
		if s.Ejectable != (s.State == volume.Ejectable) || s.Current != (m.Current() != nil && m.Current().Name == s.Name) {
			r.t.Errorf("%+v", s)
		}
	}
	return strings.TrimSpace(text)
}
