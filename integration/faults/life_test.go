package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/mkfs"
	"tresor/index/reclaim"
)

// volumeDir is where volumes lie on disks in memory.
const volumeDir = "/v"

// variant is the shape of a volume and the seed of what is done to it. Different numbers give different ones.
type variant struct {
	n       int
	hash    string
	bs      int
	blocks  int
	workers int
	reuse   bool
}

func newVariant(n int) variant {
	return variant{n: n, hash: []string{"BLAKE3", "TIGER", "SHA1", "TIGER128"}[n%4], bs: []int{512, 4096, 1024}[n%3], blocks: 96 + n%5*16,
		workers: []int{0, 0, 2}[n/2%3], reuse: n%2 == 0}
}

// life is one run of an operation, and what it was told to store.
type life struct {
	t       testing.TB
	v       variant
	d       *disktest.FS
	rnd     *rand.Rand
	vol     *index.Volume
	m       *openfile.Manager
	handles map[string]*openfile.Handle
	opened  openfile.ID
	files   map[string]*story
	err     error    // the first error that was reported; nothing but the end happens after it
	calm    bool     // nothing fails in it: what comes to rest is durable
	wrong   []string // what was read and should not have been, unless there is an error
}

func newLife(t testing.TB, v variant, d *disktest.FS, files map[string]*story) *life {
	l := &life{t: t, v: v, d: d, rnd: rand.New(rand.NewPCG(uint64(v.n), 5)), handles: map[string]*openfile.Handle{}, files: map[string]*story{}}
	for name, s := range files {
		l.files[name] = s.copy()
	}
	return l
}

func (l *life) ops() int { return len(l.d.Ops()) }

func (l *life) step(do func() error) {
	if l.err == nil {
		l.err = do()
	}
}

// told keeps an error that is reported after others.
func (l *life) told(err error) {
	if l.err == nil {
		l.err = err
	}
}

func (l *life) create() error {
	_, err := mkfs.Make(mkfs.Options{FS: l.d, Parent: volumeDir, CreateOptions: format.CreateOptions{Hash: l.v.hash, BlockSize: l.v.bs,
		Size: int64(l.v.blocks * l.v.bs), Overflow: 1.3, ReuseASAP: l.v.reuse}})
	return err
}

// mount opens the volume as a mount does, after a repair if one is needed.
func (l *life) mount() error {
	p, err := index.Acquire(index.Location{FS: l.d, Parent: volumeDir}, index.Write)
	if err != nil {
		return err
	}
	l.vol, err = index.Open(p, index.Options{})
	if errors.Is(err, index.ErrUnclean) {
		if p, err = index.Acquire(index.Location{FS: l.d, Parent: volumeDir}, index.Write); err != nil {
			return err
		}
		v := fsck.Of(p)
		if err = v.LoadState(); err == nil {
			_, err = fsck.Repair(context.Background(), v, fsck.RepairOptions{KeepDirty: true})
		}
		if err != nil {
			return errors.Join(err, p.Close())
		}
		l.vol, err = index.OpenRepaired(p, index.Options{})
	}
	if err != nil {
		l.vol = nil
		return err
	}
	l.m = openfile.NewManager(openfile.Config{Volume: l.vol, Workers: l.v.workers})
	return nil
}

// unmount ends the life in good order, whatever happened, and tells what the callers of close and unmount are told.
func (l *life) unmount() {
	if l.vol == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(l.handles)) {
		l.told(l.handles[name].Flush())
		l.told(l.handles[name].Close())
	}
	l.told(l.m.Close())
	l.told(l.vol.Close())
	l.vol, l.handles = nil, map[string]*openfile.Handle{}
	if l.err == nil {
		for _, w := range l.wrong {
			l.t.Errorf("%s, and no error was ever reported", w)
		}
		for _, s := range l.files {
			s.keep(len(s.versions)-1, l.ops())
		}
	}
}

// kill ends the life as kill -9 does.
func (l *life) kill() {
	for _, h := range l.handles {
		_ = h.Close() // nobody is there to be told
	}
	_ = l.m.Close() // the same
	l.told(l.vol.Abandon())
	l.vol, l.handles = nil, map[string]*openfile.Handle{}
}

func path(name string) string { return filepath.Join(volumeDir, format.RootName, name) }

// open opens a file, and makes it if it does not exist.
func (l *life) open(name string) (*openfile.Handle, error) {
	if h := l.handles[name]; h != nil {
		return h, nil
	}
	s := l.files[name]
	if s == nil {
		s = &story{versions: []version{{durable: 0}}}
		l.files[name] = s
	}
	if s.now() == nil {
		s.add([]byte{}, l.ops())
	}
	l.opened++ // as an inode number: a file that is made under an old name is another one
	id := l.opened
	f, err := l.m.Open(id, func() (disk.File, error) { return l.d.OpenFile(path(name), os.O_RDWR|os.O_CREATE, 0o600) })
	if err != nil {
		return nil, err
	}
	l.handles[name] = f.NewHandle()
	return l.handles[name], f.Close()
}

// change runs a call that gives a file another content; edit makes that of the old one.
func (l *life) change(name string, edit func(old []byte) []byte, call func(h *openfile.Handle) error) {
	l.step(func() error {
		h, err := l.open(name)
		if err != nil {
			return err
		}
		s := l.files[name]
		s.add(edit(slices.Clone(s.now())), l.ops())
		return call(h)
	})
}

func (l *life) write(name string, off int, p []byte) {
	l.change(name, func(old []byte) []byte {
		old = append(old, make([]byte, max(0, off+len(p)-len(old)))...)
		copy(old[off:], p)
		return old
	}, func(h *openfile.Handle) error { _, err := h.WriteAt(p, int64(off)); return err })
}

func (l *life) truncate(name string, size int) {
	l.change(name, func(old []byte) []byte { return append(old, make([]byte, max(0, size-len(old)))...)[:size] },
		func(h *openfile.Handle) error { return h.File().Truncate(int64(size)) })
}

func (l *life) punch(name string, off, n int) {
	l.change(name, func(old []byte) []byte { clear(old[min(off, len(old)):min(off+n, len(old))]); return old },
		func(h *openfile.Handle) error {
			return h.File().Allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
		})
}

// clone copies n bytes of a file into another one by reference.
func (l *life) clone(from, to string, src, dst, n int) {
	l.step(func() error { _, err := l.open(from); return err })
	l.change(to, func(old []byte) []byte {
		old = append(old, make([]byte, max(0, dst+n-len(old)))...)
		copy(old[dst:dst+n], l.files[from].now()[src:])
		return old
	}, func(h *openfile.Handle) error {
		done, err := h.File().CopyFrom(l.handles[from].File(), int64(src), int64(dst), int64(n))
		if err == nil && done != int64(n) {
			err = fmt.Errorf("clone: %d of %d bytes", done, n)
		}
		return err
	})
}

// fsync promises the file, its name included.
func (l *life) fsync(name string) {
	l.step(func() error {
		h, err := l.open(name)
		if err != nil {
			return err
		}
		i := len(l.files[name].versions) - 1
		if err := errors.Join(h.Sync(false), l.d.SyncDir(filepath.Dir(path(name)))); err != nil {
			return err
		}
		l.files[name].keep(i, l.ops())
		return nil
	})
}

func (l *life) remove(name string) {
	l.step(func() error {
		if h := l.handles[name]; h != nil {
			delete(l.handles, name)
			if err := errors.Join(h.Flush(), h.Close()); err != nil {
				return err
			}
		}
		s := l.files[name]
		if s == nil || s.now() == nil {
			return nil
		}
		s.add(nil, l.ops())
		return l.d.Remove(path(name))
	})
}

func (l *life) reclaim() {
	l.step(func() error {
		if err := l.m.FlushAll(); err != nil {
			return err
		}
		_, err := reclaim.Run(context.Background(), l.vol, reclaim.Options{})
		return err
	})
}

// look reads a file back, which must be what it was told to be, unless an error of a write that was answered early is reported later.
func (l *life) look(name string) {
	l.step(func() error {
		h, err := l.open(name)
		if err != nil {
			return err
		}
		want := l.files[name].now()
		p := make([]byte, len(want)+1)
		n, err := h.ReadAt(p, 0)
		if err == nil && string(p[:n]) != string(want) {
			l.wrong = append(l.wrong, fmt.Sprintf("%s: read %d bytes that are not the %d that were written", name, n, len(want)))
		}
		return err
	})
}

// data is n bytes that no other seed gives.
func (l *life) data(seed, n int) []byte {
	p := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], (uint64(seed+1)<<32+uint64(i)+1)*0x9E3779B97F4A7C15)
	}
	return p[:n]
}

// exists tells whether the disk has the file.
func (l *life) exists(name string) bool {
	_, err := l.d.Lstat(path(name))
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		l.t.Errorf("look at %s: %v", name, err)
	}
	return err == nil
}
