package reclaim_test

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/mkfs"
	"tresor/index/recipe"
	"tresor/index/reclaim"
)

// blockSize of the volumes of these tests, and how many blocks they have.
const (
	blockSize  = 4096
	blockCount = 128
)

// rig is an open volume. When the test ends it is closed and checked, every block hashed.
type rig struct {
	t   testing.TB
	fs  disk.FS
	dir string
	vol *index.Volume
}

func newRig(t testing.TB, fs disk.FS, dir string) *rig {
	t.Helper()
	_, err := mkfs.Make(mkfs.Options{FS: fs, Parent: dir, CreateOptions: format.CreateOptions{Hash: "TIGER", BlockSize: blockSize,
		Size: blockCount * blockSize, Overflow: 1.3, ReuseASAP: true}})
	r := &rig{t: t, fs: fs, dir: dir}
	r.must("make volume", err)
	p, err := index.Acquire(index.Location{FS: fs, Parent: dir}, index.Write)
	r.must("acquire volume", err)
	r.vol, err = index.Open(p, index.Options{})
	r.must("open volume", err)
	t.Cleanup(r.end)
	return r
}

// inMemory is a rig on a disk in memory.
func inMemory(t testing.TB) (*rig, *disktest.FS) {
	t.Helper()
	m := disktest.New()
	m.MkdirAll("/v")
	return newRig(t, m, "/v"), m
}

func (r *rig) must(what string, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
}

// end closes the volume and checks it.
func (r *rig) end() {
	r.t.Helper()
	if r.vol == nil {
		return
	}
	r.must("close volume", r.vol.Close())
	r.vol = nil
	p, err := index.Acquire(index.Location{FS: r.fs, Parent: r.dir}, index.Read)
	r.must("acquire volume", err)
	defer p.Close()
	v := fsck.Of(p)
	r.must("load state", v.LoadState())
	sum, err := fsck.Check(context.Background(), v, fsck.CheckOptions{Hashes: true, Found: func(f fsck.Finding) { r.t.Errorf("check: %v", f) }})
	r.must("check", err)
	if sum.Status() != fsck.OK {
		r.t.Errorf("check: have status %d (%s), want 0", sum.Status(), sum.StatusText())
	}
}

// drop ends a volume whose damage the test has looked at.
func (r *rig) drop() {
	r.t.Helper()
	r.must("abandon volume", r.vol.Abandon())
	r.vol = nil
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, format.RootName, name) }

// block is the block with a number.
func block(n uint64) []byte {
	p := make([]byte, blockSize)
	for i := 0; i < blockSize; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], n*0x9E3779B97F4A7C15+uint64(i)+1)
	}
	return p
}

func blocks(ns ...uint64) (p []byte) {
	for _, n := range ns {
		p = append(p, block(n)...)
	}
	return p
}

// put stores blocks without a file.
func (r *rig) put(ns ...uint64) ([]format.Entry, error) {
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	out := make([]format.Entry, len(ns))
	return out, r.vol.NewWriter().Put(blocks(ns...), out)
}

// create makes a file of blocks.
func (r *rig) create(name string, ns ...uint64) []format.Entry {
	r.t.Helper()
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	out := make([]format.Entry, len(ns))
	r.must("put", r.vol.NewWriter().Put(blocks(ns...), out))
	r.write(name, out)
	return out
}

func (r *rig) write(name string, list []format.Entry) {
	r.t.Helper()
	f, err := r.fs.OpenFile(r.path(name), os.O_CREATE|os.O_RDWR, 0o600)
	r.must("create file", err)
	defer f.Close()
	rec := recipe.New(f, r.vol.Geometry())
	r.must("write header", rec.WriteHeader(uint64(len(list)*blockSize)))
	r.must("write entries", rec.WriteEntries(0, list))
}

func (r *rig) remove(name string) {
	r.t.Helper()
	r.must("remove", r.fs.Remove(r.path(name)))
}

func (r *rig) run(o reclaim.Options) (*reclaim.Report, error) {
	return reclaim.Run(context.Background(), r.vol, o)
}

func (r *rig) mustRun() *reclaim.Report {
	r.t.Helper()
	rep, err := r.run(reclaim.Options{})
	r.must("reclaim", err)
	return rep
}

// assertRead fails the test unless the entries are these blocks.
func (r *rig) assertRead(list []format.Entry, ns ...uint64) {
	r.t.Helper()
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	p := make([]byte, len(list)*blockSize)
	if _, _, err := r.vol.NewReader().Read(append([]format.Entry(nil), list...), 0, p); err != nil {
		r.t.Errorf("read blocks %v: %v", ns, err)
	} else if string(p) != string(blocks(ns...)) {
		r.t.Errorf("read blocks %v: wrong content", ns)
	}
}

// assertUsed fails the test unless so many blocks are allocated beside the two reserved ones.
func (r *rig) assertUsed(want uint64) {
	r.t.Helper()
	if have := r.vol.Stats().Allocated - 2; have != want {
		r.t.Errorf("have %d data blocks allocated, want %d", have, want)
	}
}
