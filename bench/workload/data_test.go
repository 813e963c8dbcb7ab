package workload

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/bench/contender"
)

// TestSource: no block of zeros, none twice, neither within a content nor among contents.
func TestSource(t *testing.T) {
	s, err := NewSource(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	seen := map[string]uint64{}
	zero := make([]byte, 4096)
	for _, stamp := range []uint64{0, 1, 2, 1 << 20} {
		data := s.Stamp(stamp)
		for off := 0; off < len(data); off += 4096 {
			b := data[off : off+4096]
			if other, ok := seen[string(b)]; ok || bytes.Equal(b, zero) {
				t.Fatalf("stamp %d, block at %d: zeros, or content of stamp %d as well", stamp, off, other)
			}
			seen[string(b)] = stamp
		}
	}
	first := bytes.Clone(s.Stamp(0))
	s.Stamp(7)
	if !bytes.Equal(s.Stamp(0), first) {
		t.Error("a stamp that comes again has other content")
	}
}

// TestImages: the successor has most blocks of its predecessor, and some of its own.
func TestImages(t *testing.T) {
	i, err := makeImages(context.Background(), t.TempDir(), 8<<20)
	if errors.Is(err, errNoImage) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	known := map[string]bool{}
	for off := 0; off < len(i.first.data); off += 4096 {
		known[string(i.first.data[off:off+4096])] = true
	}
	fresh, blocks := 0, len(i.next.data)/4096
	for off := 0; off < len(i.next.data); off += 4096 {
		if !known[string(i.next.data[off:off+4096])] {
			fresh++
		}
	}
	if fresh < blocks/1000 || fresh > blocks/4 {
		t.Errorf("%d of %d blocks of the successor are new, want a few", fresh, blocks)
	}
	if len(known) < blocks/3 {
		t.Errorf("%d different blocks of %d: the image is empty", len(known), blocks)
	}
}

// lab is one with the disk alone.
func lab(t *testing.T) (*Lab, *contender.Raw) {
	t.Helper()
	raw := contender.NewRaw(filepath.Join(t.TempDir(), "raw"))
	if err := raw.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := &Lab{Scratch: t.TempDir(), Systems: []contender.FileSystem{raw},
		Sizes: Sizes{Data: 4 << 20, Random: 2 << 20, Small: 20, Timed: 10 * time.Millisecond, Hash: time.Millisecond}}
	if err := l.Prepare(context.Background(), func(what, why string) { t.Error(what, why) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, raw
}

// TestRandomLoop is what stands in for fio.
func TestRandomLoop(t *testing.T) {
	l, raw := lab(t)
	name := filepath.Join(raw.Dir(), "file")
	if err := l.writeLong(context.Background(), name, l.Sizes.Random); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name)
	if err != nil || int64(len(before)) != l.Sizes.Random {
		t.Fatalf("have %d bytes, %v, want %d", len(before), err, l.Sizes.Random)
	}
	if rate, err := l.randomLoop(context.Background(), name, false); err != nil || rate < 1 {
		t.Errorf("read: have %v, %v", rate, err)
	}
	if rate, err := l.randomLoop(context.Background(), name, true); err != nil || rate < 1 {
		t.Errorf("write: have %v, %v", rate, err)
	}
	after, err := os.ReadFile(name)
	if err != nil || len(after) != len(before) || bytes.Equal(after, before) {
		t.Errorf("after random writes: have %d bytes, %v, want %d others", len(after), err, len(before))
	}
}

// TestReadFileCompares: what is not what was written is an error, and so is a wrong length.
func TestReadFileCompares(t *testing.T) {
	l, raw := lab(t)
	ctx, name := context.Background(), filepath.Join(raw.Dir(), "file")
	data := l.source.Stamp(5)
	if err := writeFile(ctx, name, data, false); err != nil {
		t.Fatal(err)
	}
	size := l.Sizes.Data
	if err := readFile(ctx, name, 0, data, size); err != nil {
		t.Error(err)
	}
	if err := readFile(ctx, name, 0, nil, size+1); err == nil {
		t.Error("a short file went unnoticed")
	}
	data[size/2]++
	if err := readFile(ctx, name, 0, data, size); err == nil {
		t.Error("a wrong byte went unnoticed")
	}
}

// TestSmallFilesOfTheDisk runs one workload of several steps; those that drop caches need root.
func TestSmallFilesOfTheDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("dropping caches needs root")
	}
	l, raw := lab(t)
	values, err := l.runSmall(context.Background(), raw)
	if err != nil || len(values) != 5 {
		t.Fatalf("have %v, %v, want five values", values, err)
	}
	if left, err := os.ReadDir(raw.Dir()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.runSmall(ctx, raw); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: have %v", err)
	}
}
