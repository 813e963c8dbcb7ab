package clone_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

const (
	bigSize  = 100_000_000_000 // logical, not a whole number of blocks
	bigReal  = 200 << 20       // of data in it
	bigPiece = 1 << 20         // in runs of
	quick    = 5 * time.Second // for a clone, on a busy machine: reading and writing 100 GB takes longer on any
)

func random(id uint64, n int) []byte {
	r := rand.NewPCG(1, id)
	p := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			p[i+j] = byte(v >> (8 * j))
		}
	}
	return p[:n]
}

// makeBig writes runs of data spread evenly over a file, one of them at its very end.
func makeBig(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	const runs = bigReal / bigPiece
	for i := range int64(runs) {
		off := i * (bigSize / runs) >> 20 << 20
		if i == runs-1 {
			off = bigSize - bigPiece
		}
		if _, err := f.WriteAt(random(uint64(i), bigPiece), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// work are the counters of whatever touches blocks.
func work(m *mounttest.Mount) mounttest.Counters {
	s, w := m.Stats(), mounttest.Counters{}
	for _, name := range []string{"block_read", "block_read_zero", "block_verified", "block_write", "block_write_zero", "ghost_write",
		"hash", "block_allocated", "block_healed"} {
		w[name] = s[name]
	}
	return w
}

// cloneAll copies a whole file, in as many calls as the kernel wants.
func cloneAll(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	for left := int64(bigSize); left > 0; {
		n, err := unix.CopyFileRange(int(src.Fd()), nil, int(dst.Fd()), nil, int(left), 0)
		if err != nil || n == 0 {
			return errors.Join(fmt.Errorf("copy_file_range with %d bytes left: have %d, %w", left, n, err), dst.Close())
		}
		left -= int64(n)
	}
	return dst.Close()
}

func TestHundredGigabytes(t *testing.T) {
	parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 1 << 30}})
	m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
	big := m.Path("big")
	makeBig(t, big)
	if w := work(m); w["hash"] < bigReal>>17 || w["block_write"] < bigReal>>17 {
		t.Fatalf("after writing: have %v, want counters that count", w)
	}
	extents := dataOf(t, big)
	if len(extents) < bigReal/bigPiece {
		t.Fatalf("file: have %d runs of data, want %d", len(extents), bigReal/bigPiece)
	}
	before := work(m)
	for _, c := range []struct {
		name string
		copy func(to string) error
	}{
		{"copy_file_range", func(to string) error { return cloneAll(big, to) }},
		{"copy_file_range of a clone", func(to string) error { return cloneAll(m.Path("copy_file_range"), to) }},
		{"cp", func(to string) error { return exec.Command("cp", big, to).Run() }},
		{"cp --sparse=never", func(to string) error { return exec.Command("cp", "--sparse=never", "--reflink=auto", big, to).Run() }},
	} {
		start := time.Now()
		if err := c.copy(m.Path(c.name)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		took := time.Since(start)
		t.Logf("%s: %v", c.name, took)
		if c.name == "cp --sparse=never" {
			continue // it may read and write; it is only compared
		}
		if took > quick {
			t.Errorf("%s: took %v, want less than %v", c.name, took, quick)
		}
		for name, n := range work(m) {
			if n != before[name] {
				t.Errorf("%s: %s: have %d, want %d as before", c.name, name, n, before[name])
			}
		}
	}
	same(t, big, m.Path("copy_file_range"))
	same(t, big, m.Path("cp"))
	same(t, big, m.Path("cp --sparse=never"))
	m = m.Remount("")
	big = m.Path("big")
	same(t, big, m.Path("copy_file_range of a clone"))
	if have := dataOf(t, big); !slices.Equal(have, extents) {
		t.Errorf("after a remount: have %d runs of data, want the same %d", len(have), len(extents))
	}
}

type extent struct{ from, to int64 }

// dataOf lists the runs of data of a file.
func dataOf(t *testing.T, name string) (list []extent) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); ; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if at, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE); err != nil || at <= from {
			t.Fatalf("%s: hole after the data at %d: have %d, %v", name, from, at, err)
		}
		list = append(list, extent{from, at})
	}
}

// same compares two files by their runs of data.
func same(t *testing.T, a, b string) {
	t.Helper()
	for _, name := range []string{a, b} {
		if info, err := os.Stat(name); err != nil || info.Size() != bigSize {
			t.Fatalf("%s: have %v, %v; want %d bytes", name, info, err, int64(bigSize))
		}
	}
	list := dataOf(t, a)
	if have := dataOf(t, b); !slices.Equal(have, list) {
		t.Errorf("%s: have %d runs of data, want the same %d as %s", b, len(have), len(list), a)
		return
	}
	fa, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer fb.Close()
	for _, e := range list {
		pa, pb := make([]byte, e.to-e.from), make([]byte, e.to-e.from)
		_, erra := fa.ReadAt(pa, e.from)
		_, errb := fb.ReadAt(pb, e.from)
		if err := errors.Join(erra, errb); err != nil && err != io.EOF || !bytes.Equal(pa, pb) {
			t.Errorf("%s and %s: bytes %d to %d differ, %v", a, b, e.from, e.to, err)
			return
		}
	}
}
