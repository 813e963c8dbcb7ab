package storetest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Damager is a store of a test that can damage a byte of a stored file as a disk does, without anybody noticing. A store without it is not asked
// whether it finds damage.
type Damager interface {
	Flip(path string, off int64) error
}

// Contract tests what an orchestrator.Store promises. open returns a store with an empty tree and room for 64 MiB at least; it is the caller's to take
// away. Sources lie in temporary directories outside.
func Contract(t *testing.T, open func(t *testing.T) orchestrator.Store) {
	s := open(t)
	u, err := s.Usage(t.Context())
	if err != nil || u.BlockSize < 512 || u.Total < 64<<20 || u.DiskFree <= 0 {
		t.Fatalf("usage of an empty store: have %+v, %v", u, err)
	}
	c := &contract{Store: s, bs: u.BlockSize}
	for _, sub := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"Ranges", c.ranges}, {"Sparse", c.sparse}, {"Replace", c.replace}, {"LastBlock", c.lastBlock}, {"ReadBack", c.readBack}, {"ReadBackOfAWrite", c.readBackOfAWrite},
		{"Lists", c.lists}, {"Refused", c.refused}, {"Paths", c.paths}, {"Memories", c.memories}, {"Growing", c.growing}, {"Many", c.many}, {"CancelPut", c.cancelPut},
		{"CancelReadBack", c.cancelReadBack}, {"Writer", c.writer}, {"Parallel", c.parallel}, {"Room", c.room}, {"Damage", c.damage},
	} {
		t.Run(sub.name, sub.run)
	}
}

// contract is the store under test.
type contract struct {
	orchestrator.Store
	bs int64
}

// file is a file of the store, and the source that goes into it.
type file struct {
	t    *testing.T
	c    *contract
	path string
	src  *os.File
	want []byte
}

// make makes a source of the data, and an empty file of its length in the store.
func (c *contract) make(t *testing.T, name string, data []byte) *file {
	t.Helper()
	path := filepath.Join(strings.ReplaceAll(t.Name(), "/", " "), name) // one directory for each test
	full := filepath.Join(c.Root(), path)
	src, err := os.Create(filepath.Join(t.TempDir(), "source"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	_, werr := src.Write(data)
	err = errors.Join(werr, os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, nil, 0o600), os.Truncate(full, int64(len(data))))
	if err != nil {
		t.Fatal(err)
	}
	return &file{t: t, c: c, path: path, src: src, want: data}
}

func (f *file) full() string { return filepath.Join(f.c.Root(), f.path) }

// put copies a range; it must go well.
func (f *file) put(off, n int64) orchestrator.Added {
	f.t.Helper()
	a, err := PutFile(f.t.Context(), f.c, f.path, f.src, off, n)
	if err != nil {
		f.t.Fatalf("put %d bytes at %d of %s: %v", n, off, f.path, err)
	}
	return a
}

// whole copies all of it.
func (f *file) whole() orchestrator.Added { f.t.Helper(); return f.put(0, int64(len(f.want))) }

// assert compares the file, through the tree and as it is read back.
func (f *file) assert() {
	f.t.Helper()
	have, err := os.ReadFile(f.full())
	if err != nil || !bytes.Equal(have, f.want) {
		f.t.Errorf("%s: have %d bytes, %v, want %d; first difference at %d", f.path, len(have), err, len(f.want), differ(have, f.want))
	}
	var b bytes.Buffer
	r, err := f.c.ReadBack(f.t.Context(), f.path, &b, nil)
	if err != nil || !bytes.Equal(b.Bytes(), f.want) {
		f.t.Errorf("%s read back: have %d bytes, %v, want %d; first difference at %d; %+v", f.path, b.Len(), err, len(f.want), differ(b.Bytes(), f.want), r)
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// different is n bytes of which no block comes twice, whatever the seeds of others.
func different(seed uint64, n int64) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 77})
	_, _ = src.Read(b) // never fails
	return b
}

// ranges: what was put is there, and told rightly: new blocks are fresh once.
func (c *contract) ranges(t *testing.T) {
	bs := c.bs
	f := c.make(t, "über größe a", different(1, 10*bs))
	a := f.put(4*bs, 6*bs)
	if a.New != 6 || a.Known != 0 || a.Zero != 0 || !slices.Equal(a.Fresh, []orchestrator.Blocks{{First: 4, Count: 6}}) {
		t.Errorf("have %+v, want six new blocks from block 4 on", a)
	}
	have, err := os.ReadFile(f.full())
	if err != nil || !bytes.Equal(have[:4*bs], make([]byte, 4*bs)) || !bytes.Equal(have[4*bs:], f.want[4*bs:]) {
		t.Errorf("have %d bytes, %v, want zeros and then the range", len(have), err)
	}
	f.put(0, 4*bs)
	f.assert()
	g := c.make(t, "b", slices.Concat(f.want[:2*bs], different(2, bs), f.want[5*bs:]))
	if a = g.whole(); a.New != 1 || a.Known != 7 || !slices.Equal(a.Fresh, []orchestrator.Blocks{{First: 2, Count: 1}}) {
		t.Errorf("have %+v, want one new block and 7 known ones", a)
	}
	g.assert()
}

// sparse: holes of the source are holes of the file, and zeros take no room.
func (c *contract) sparse(t *testing.T) {
	bs := c.bs
	f := c.make(t, "f", nil)
	f.want = make([]byte, 600*bs)
	copy(f.want[500*bs:], different(3, 2*bs))
	_, err := f.src.WriteAt(f.want[500*bs:502*bs], 500*bs)
	if err = errors.Join(err, f.src.Truncate(600*bs), os.Truncate(f.full(), 600*bs)); err != nil {
		t.Fatal(err)
	}
	if a := f.whole(); a.New != 2 || a.Known != 0 {
		t.Errorf("have %+v, want two new blocks", a)
	}
	f.assert()
	h, err := os.Open(f.full())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	at, err := unix.Seek(int(h.Fd()), 0, unix.SEEK_DATA)
	end, err2 := unix.Seek(int(h.Fd()), 501*bs, unix.SEEK_HOLE)
	if err := errors.Join(err, err2); err != nil || at != 500*bs || end != 502*bs {
		t.Errorf("data from %d to %d, %v, want from %d to %d", at, end, err, 500*bs, 502*bs)
	}
	g := c.make(t, "zeros", make([]byte, 3*bs))
	if a := g.whole(); a.New != 0 || a.Known != 0 || len(a.Fresh) != 0 {
		t.Errorf("zeros: have %+v, want nothing that is stored", a)
	}
	g.assert()
}

// replace: a range is replaced whatever is there, also by holes, and for those who have the file open.
func (c *contract) replace(t *testing.T) {
	bs := c.bs
	f := c.make(t, "f", different(4, 8*bs))
	f.whole()
	h, err := os.OpenFile(f.full(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	before := make([]byte, 8*bs)
	_, err = h.ReadAt(before, 0)
	_, err2 := h.WriteAt([]byte("written, and not put"), 2*bs+1)
	if err := errors.Join(err, err2, f.src.Truncate(2*bs), f.src.Truncate(8*bs)); err != nil {
		t.Fatal(err)
	}
	clear(f.want[2*bs : 6*bs]) // and the rest of the source is a hole as well, and not put
	f.put(2*bs, 4*bs)
	have := make([]byte, 8*bs)
	if _, err := h.ReadAt(have, 0); err != nil || !bytes.Equal(have, f.want) {
		t.Errorf("by the handle: %v, first difference at %d", err, differ(have, f.want))
	}
	f.assert()
}

// lastBlock: a part of a block at the end, and a file that is too short.
func (c *contract) lastBlock(t *testing.T) {
	bs := c.bs
	f := c.make(t, "f", different(5, 3*bs+100))
	if a := f.whole(); a.New != 4 {
		t.Errorf("have %+v, want 4 new blocks", a)
	}
	f.assert()
	if err := os.Truncate(f.full(), 0); err != nil {
		t.Fatal(err)
	}
	if a := f.put(2*bs, bs+100); a.New != 0 || a.Known != 2 {
		t.Errorf("into a file without length: have %+v, want two known blocks", a)
	}
	clear(f.want[:2*bs])
	f.assert()
	small := c.make(t, "small", []byte("x"))
	small.whole()
	small.assert()
}
