package index_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/mkfs"
	"tresor/index/recipe"
)

// seed is that of a random test: TRESOR_SEED, or a new one. It is printed so that a failure can be repeated.
func seed(t testing.TB) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TRESOR_SEED=%d", n)
	return n
}

// long tells whether the long variants are asked for.
func long() bool { return os.Getenv("TRESOR_LONG") == "1" }

// volumeDir is where volumes lie on disks in memory.
const volumeDir = "/v"

// rig is a small volume on a disk in memory, with the least of a user on top: files that are stored by Put and read by Reader.
type rig struct {
	t    testing.TB
	m    *disktest.FS
	opts index.Options
	vol  *index.Volume
	geo  *format.Geometry

	mu    sync.Mutex // guards warns
	warns []string
}

// smallVolume is a TIGER volume of 64 blocks of 4 KiB.
func smallVolume() format.CreateOptions {
	return format.CreateOptions{Hash: "TIGER", BlockSize: 4096, Size: 64 * 4096, Overflow: 1.3}
}

// newRig makes a volume and opens it. When the test ends it is closed and checked, every block hashed, unless the test closed it.
func newRig(t testing.TB, o format.CreateOptions, opts index.Options) *rig {
	t.Helper()
	m := disktest.New()
	m.MkdirAll(volumeDir)
	if _, err := mkfs.Make(mkfs.Options{FS: m, Parent: volumeDir, CreateOptions: o}); err != nil {
		t.Fatalf("make volume: %v", err)
	}
	r := &rig{t: t, m: m, opts: opts}
	r.opts.Warn = r.warn
	r.open()
	t.Cleanup(func() {
		if r.vol != nil {
			r.close()
			r.assertClean()
		}
	})
	return r
}

func (r *rig) warn(msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warns = append(r.warns, msg)
}

func (r *rig) acquire() *index.Parent {
	r.t.Helper()
	p, err := index.Acquire(index.Location{FS: r.m, Parent: volumeDir}, index.Write)
	if err != nil {
		r.t.Fatalf("acquire volume: %v", err)
	}
	return p
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.vol, err = index.Open(r.acquire(), r.opts); err != nil {
		r.t.Fatalf("open volume: %v", err)
	}
	r.geo = r.vol.Geometry()
}

func (r *rig) close() {
	r.t.Helper()
	err := r.vol.Close()
	r.vol = nil
	if err != nil {
		r.t.Fatalf("close volume: %v", err)
	}
}

// kill leaves the volume as a killed process does.
func (r *rig) kill() {
	r.t.Helper()
	if r.vol == nil {
		return
	}
	err := r.vol.Abandon()
	r.vol = nil
	if err != nil {
		r.t.Fatalf("abandon volume: %v", err)
	}
}

// over is a rig over another disk, the volume on which is not open.
func (r *rig) over(m *disktest.FS) *rig {
	o := &rig{t: r.t, m: m, opts: r.opts, geo: r.geo}
	o.opts.Warn = o.warn
	return o
}

// repair repairs the volume, which is not open, as a mount does, and opens it.
func (r *rig) repair() *fsck.Result {
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
	if r.vol, err = index.OpenRepaired(p, r.opts); err != nil {
		r.t.Fatalf("open repaired volume: %v", err)
	}
	return res
}

// checker describes the volume for a check of its own, apart from the engine.
func (r *rig) check() (*fsck.Summary, []string) {
	r.t.Helper()
	p, err := index.Acquire(index.Location{FS: r.m, Parent: volumeDir}, index.Read)
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
	return sum, found
}

// assertClean fails the test unless the closed volume is free of findings.
func (r *rig) assertClean() {
	r.t.Helper()
	if sum, found := r.check(); sum.Status() != fsck.OK {
		r.t.Errorf("check: have status %d (%s), want 0: %q", sum.Status(), sum.StatusText(), found)
	}
}

func (r *rig) blockSize() int { return r.geo.BlockSize }

// block is the block with number n of an endless supply of different ones; number 0 is zeros.
func block(size int, n uint64) []byte {
	if n == 0 {
		return make([]byte, size)
	}
	p := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], n*0x9E3779B97F4A7C15+uint64(i)+1)
	}
	binary.LittleEndian.PutUint64(p, n+1)
	return p
}

func (r *rig) blocks(ns ...uint64) []byte {
	var p []byte
	for _, n := range ns {
		p = append(p, block(r.blockSize(), n)...)
	}
	return p
}

// put stores the blocks and returns their entries.
func (r *rig) put(ns ...uint64) ([]format.Entry, error) {
	out := make([]format.Entry, len(ns))
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	return out, r.vol.NewWriter().Put(r.blocks(ns...), out)
}

// mustPut is put that must succeed, of blocks that a file with the name refers to (so that a check finds no orphans); no name: none does.
func (r *rig) mustPut(name string, ns ...uint64) []format.Entry {
	r.t.Helper()
	out, err := r.put(ns...)
	if err != nil {
		r.t.Fatalf("put blocks %v: %v", ns, err)
	}
	if name != "" {
		r.writeFile(name, uint64(len(ns)*r.blockSize()), out)
	}
	return out
}

func (r *rig) root(name string) string { return filepath.Join(volumeDir, format.RootName, name) }

// writeFile makes or replaces a stored file of these entries.
func (r *rig) writeFile(name string, size uint64, entries []format.Entry) {
	r.t.Helper()
	if err := r.tryWriteFile(name, size, entries); err != nil {
		r.t.Fatalf("write file %s: %v", name, err)
	}
}

func (r *rig) tryWriteFile(name string, size uint64, entries []format.Entry) error {
	if err := r.vol.Touch(); err != nil {
		return err
	}
	f, err := r.m.OpenFile(r.root(name), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	rec := recipe.New(f, r.geo)
	err = rec.WriteHeader(size)
	if err == nil {
		err = rec.WriteEntries(0, entries)
	}
	if err != nil {
		return errors.Join(err, rec.WriteHeader(0), f.Truncate(format.FileHeaderSize)) // as the data path takes back what failed
	}
	return nil
}

// syncFile makes a stored file and its name durable, in the order in which fsync does it.
func (r *rig) syncFile(name string) error {
	if err := r.vol.Sync(); err != nil {
		return err
	}
	f, err := r.m.OpenFile(r.root(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.SyncAll(); err != nil {
		return err
	}
	return r.m.SyncDir(r.root(""))
}

// entries reads the entries of a stored file.
func (r *rig) entries(name string) []format.Entry {
	r.t.Helper()
	list, err := r.tryEntries(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func (r *rig) tryEntries(name string) ([]format.Entry, error) {
	f, err := r.m.OpenFile(r.root(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rec := recipe.New(f, r.geo)
	h, err := rec.ReadHeader()
	if err != nil {
		return nil, err
	}
	list := make([]format.Entry, h.Entries)
	_, err = rec.ReadEntries(0, list)
	return list, err
}

// read reads whole blocks through the engine.
func (r *rig) read(entries []format.Entry) ([]byte, error) {
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	p := make([]byte, len(entries)*r.blockSize())
	n, _, err := r.vol.NewReader().Read(slices.Clone(entries), 0, p)
	return p[:n], err
}

// assertRead fails the test unless the entries read as these blocks.
func (r *rig) assertRead(entries []format.Entry, ns ...uint64) {
	r.t.Helper()
	p, err := r.read(entries)
	if err != nil {
		r.t.Errorf("read blocks %v: %v", ns, err)
		return
	}
	if string(p) != string(r.blocks(ns...)) {
		r.t.Errorf("read blocks %v: the content is something else", ns)
	}
}

// damage overwrites a part of a block in the block file.
func (r *rig) damage(a format.Address) {
	r.t.Helper()
	f, err := r.m.OpenFile(filepath.Join(volumeDir, format.DefaultBlocksName), os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if err := disk.WriteFull(f, []byte("decayed"), r.geo.Offset(a)+100); err != nil {
		r.t.Fatal(err)
	}
}

// permutation is the numbers [from, from+n) in random order.
func permutation(rnd *rand.Rand, from, n uint64) []uint64 {
	list := make([]uint64, n)
	for i := range list {
		list[i] = from + uint64(i)
	}
	rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func names(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s%d", prefix, i))
	}
	return list
}
