package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/mkfs"
)

// memoryDir is where volumes lie on disks in memory.
const memoryDir = "/v"

// newMemory is a disk in memory with a small volume.
func newMemory(t testing.TB, blocks int64) *disktest.FS {
	t.Helper()
	d := disktest.New()
	d.MkdirAll(memoryDir)
	makeVolume(t, d, memoryDir, format.CreateOptions{Hash: "TIGER", BlockSize: 4096, Size: blocks * 4096, Overflow: 1.3})
	return d
}

func makeVolume(t testing.TB, fs disk.FS, dir string, o format.CreateOptions) {
	t.Helper()
	if _, err := mkfs.Make(mkfs.Options{FS: fs, Parent: dir, CreateOptions: o}); err != nil {
		t.Fatalf("make volume: %v", err)
	}
}

func acquire(t testing.TB, fs disk.FS, dir string, mode index.Mode) *index.Parent {
	t.Helper()
	p, err := index.Acquire(index.Location{FS: fs, Parent: dir}, mode)
	if err != nil {
		t.Fatalf("acquire volume: %v", err)
	}
	return p
}

// openVolume opens a volume for writing, after a repair where one is needed.
func openVolume(t testing.TB, fs disk.FS, dir string) *index.Volume {
	t.Helper()
	p := acquire(t, fs, dir, index.Write)
	dirty, err := p.Dirty()
	if err != nil {
		t.Fatal(err)
	}
	if !dirty {
		v, err := index.Open(p, index.Options{})
		if err != nil {
			t.Fatalf("open volume: %v", err)
		}
		return v
	}
	d := fsck.Of(p)
	if err := d.LoadState(); err != nil {
		t.Fatalf("load state: %v", err)
	}
	if _, err := fsck.Repair(context.Background(), d, fsck.RepairOptions{KeepDirty: true}); err != nil {
		t.Fatalf("repair: %v", err)
	}
	v, err := index.OpenRepaired(p, index.Options{})
	if err != nil {
		t.Fatalf("open repaired volume: %v", err)
	}
	return v
}

// copyIn stores one file in a closed volume, and closes it.
func copyIn(fs disk.FS, dir, path string, in transfer.Input) (w *transfer.Written, err error) {
	p, err := index.Acquire(index.Location{FS: fs, Parent: dir}, index.Write)
	if err != nil {
		return nil, err
	}
	v, err := index.Open(p, index.Options{})
	if err != nil {
		return nil, err
	}
	target := transfer.NewTarget(v, -1)
	w, err = target.CopyIn(context.Background(), path, in, transfer.InOptions{})
	return w, errors.Join(err, target.Close(), v.Close())
}

func mustCopyIn(t testing.TB, fs disk.FS, dir, path string, data []byte) *transfer.Written {
	t.Helper()
	w, err := copyIn(fs, dir, path, transfer.FromReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatalf("copy in: %v", err)
	}
	return w
}

// read reads a file through a Source.
func read(t testing.TB, fs disk.FS, dir, path string) ([]byte, *transfer.Read, error) {
	t.Helper()
	p := acquire(t, fs, dir, index.Read)
	defer p.Close()
	s, err := transfer.OpenSource(p)
	if err != nil {
		t.Fatalf("open source: %v", err)
	}
	defer s.Close()
	var b bytes.Buffer
	r, err := s.CopyOut(context.Background(), path, transfer.Stream(context.Background(), &b), transfer.OutOptions{})
	return b.Bytes(), r, err
}

func assertContent(t testing.TB, fs disk.FS, dir, path string, want []byte) {
	t.Helper()
	have, r, err := read(t, fs, dir, path)
	if err != nil || !bytes.Equal(have, want) || r.Bytes != int64(len(want)) {
		t.Errorf("%s: have %d bytes, %v, want %d (equal: %v)", path, len(have), err, len(want), bytes.Equal(have, want))
	}
}

// assertNoTemp fails for leftovers in the tree of a volume.
func assertNoTemp(t testing.TB, fs disk.FS, dir string) {
	t.Helper()
	list, err := fs.ReadDir(filepath.Join(dir, format.RootName))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if len(d.Name()) > len(transfer.TempPrefix) && d.Name()[:len(transfer.TempPrefix)] == transfer.TempPrefix {
			t.Errorf("leftover %s", d.Name())
		}
	}
}

func assertClean(t testing.TB, fs disk.FS, dir string) {
	t.Helper()
	indextest.AssertStatus(t, fs, dir, fsck.OK)
}

// random are bytes of a seed; equal seeds give equal bytes.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewPCG(seed, 1)
	for i := 0; i+8 <= n; i += 8 {
		x := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(x >> (8 * j))
		}
	}
	return b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// write makes an outside file with holes: each range of data at its offset, the size at the end.
func sparseFile(t testing.TB, name string, size int64, at map[int64][]byte) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off, data := range at {
		if _, err := f.WriteAt(data, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}
