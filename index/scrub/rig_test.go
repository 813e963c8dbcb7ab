package scrub

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/mkfs"
	"tresor/index/recipe"
)

const (
	parent = "/v"
	bs     = 4096
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fakeClock stands still but for Sleep.
type fakeClock struct {
	mu    sync.Mutex // guards now
	now   time.Time
	slept func(d time.Duration)
}

func newClock() *fakeClock { return &fakeClock{now: time.Unix(1_000_000, 0)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
	if c.slept != nil {
		c.slept(d)
	}
	return ctx.Err()
}

func (c *fakeClock) advance(d time.Duration) { _ = c.Sleep(context.Background(), d) }

// rig is a volume of 4 KiB blocks on a disk in memory.
type rig struct {
	t   testing.TB
	m   *disktest.FS
	vol *index.Volume
	geo *format.Geometry
}

func newRig(t testing.TB, blocks int64) *rig {
	t.Helper()
	m := disktest.New()
	m.MkdirAll(parent)
	_, err := mkfs.Make(mkfs.Options{FS: m, Parent: parent, CreateOptions: format.CreateOptions{Hash: "SHA1", BlockSize: bs, Size: blocks * bs, Overflow: 1.3}})
	must(t, err)
	r := &rig{t: t, m: m}
	r.open(index.Options{})
	t.Cleanup(func() {
		if r.vol != nil {
			must(t, r.vol.Abandon())
		}
	})
	return r
}

func (r *rig) open(o index.Options) {
	r.t.Helper()
	mode := index.Write
	if o.ReadOnly {
		mode = index.Read
	}
	p, err := index.Acquire(index.Location{FS: r.m, Parent: parent}, mode)
	must(r.t, err)
	r.vol, err = index.Open(p, o)
	must(r.t, err)
	r.geo = r.vol.Geometry()
}

func (r *rig) close() {
	r.t.Helper()
	err := r.vol.Close()
	r.vol = nil
	must(r.t, err)
}

func (r *rig) remount() {
	r.t.Helper()
	r.close()
	r.open(index.Options{})
}

// content is the block with number n of an endless supply; 0 is zeros.
func content(n uint64) []byte {
	p := make([]byte, bs)
	for i := 0; n != 0 && i < bs; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], n*0x9E3779B97F4A7C15+uint64(i)+1)
	}
	return p
}

// put stores a file of these blocks below a directory of the volume (format.RootName or format.QuarantineName).
func (r *rig) put(dir, name string, ns ...uint64) []format.Entry {
	r.t.Helper()
	var data []byte
	for _, n := range ns {
		data = append(data, content(n)...)
	}
	out := make([]format.Entry, len(ns))
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	must(r.t, r.vol.NewWriter().Put(data, out))
	r.write(dir, name, out)
	return out
}

func (r *rig) write(dir, name string, entries []format.Entry) {
	r.t.Helper()
	must(r.t, r.vol.Touch())
	r.m.MkdirAll(filepath.Join(parent, dir))
	f, err := r.m.OpenFile(filepath.Join(parent, dir, name), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	must(r.t, err)
	defer f.Close()
	rec := recipe.New(f, r.geo)
	must(r.t, rec.WriteHeader(uint64(len(entries)*bs)))
	must(r.t, rec.WriteEntries(0, entries))
}

// files stores n files of per blocks each; block k of all has content k+1. It returns all entries.
func (r *rig) fill(n, per int) (list []format.Entry) {
	r.t.Helper()
	for i := range n {
		ns := make([]uint64, per)
		for k := range ns {
			ns[k] = uint64(i*per+k) + 1
		}
		list = append(list, r.put(format.RootName, "file"+strconv.Itoa(i), ns...)...)
	}
	return list
}

// damage flips a bit of a block.
func (r *rig) damage(a format.Address) {
	r.t.Helper()
	f, err := r.m.OpenFile(filepath.Join(parent, format.DefaultBlocksName), os.O_RDWR, 0)
	must(r.t, err)
	defer f.Close()
	p := make([]byte, 1)
	off := r.geo.Offset(a) + 77
	must(r.t, disk.ReadFull(f, p, off))
	p[0] ^= 4
	must(r.t, disk.WriteFull(f, p, off))
}

// readable tells whether every entry reads as its content.
func (r *rig) readable(entries []format.Entry) bool {
	r.t.Helper()
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	p := make([]byte, len(entries)*bs)
	_, _, err := r.vol.NewReader().Read(append([]format.Entry(nil), entries...), 0, p)
	return err == nil
}

// set is the set of these addresses.
func (r *rig) set(list ...format.Address) *bitmap.Bitmap {
	b := bitmap.New(r.geo.BlockCount)
	for _, a := range list {
		b.Set(uint64(a))
	}
	return b
}

func (r *rig) scrub(o Options) *Report {
	r.t.Helper()
	rep, err := Run(r.t.Context(), r.vol, o)
	must(r.t, err)
	return rep
}

// assertClean checks the closed volume, every block hashed.
func (r *rig) assertClean(want ...fsck.Status) {
	r.t.Helper()
	p, err := index.Acquire(index.Location{FS: r.m, Parent: parent}, index.Read)
	must(r.t, err)
	defer p.Close()
	v := fsck.Of(p)
	must(r.t, v.LoadState())
	var lines []string
	sum, err := fsck.Check(r.t.Context(), v, fsck.CheckOptions{Hashes: true, Found: func(f fsck.Finding) { lines = append(lines, f.String()) }})
	must(r.t, err)
	for _, w := range append(want, fsck.OK) {
		if sum.Status() == w {
			return
		}
	}
	r.t.Errorf("check: have %s: %q", sum.StatusText(), lines)
}
