package index_test

import (
	"bytes"
	iofs "io/fs"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// staleDirect is a file system whose direct reads do not see what was written through the page cache.
type staleDirect struct {
	disk.FS
	reads *atomic.Int64 // direct ones
}

func (s staleDirect) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil || flag&unix.O_DIRECT == 0 {
		return f, err
	}
	return staleFile{f, s.reads}, nil
}

type staleFile struct {
	disk.File
	reads *atomic.Int64
}

func (s staleFile) ReadAt(p []byte, _ int64) (int, error) {
	s.reads.Add(1)
	clear(p)
	return len(p), nil
}

func (s staleFile) Inode() (dev, ino uint64, err error) {
	return s.File.(interface {
		Inode() (dev, ino uint64, err error)
	}).Inode()
}

// TestPastProvesNothingBad: what a read past the page cache says of a block is not enough to take it out of the index.
func TestPastProvesNothingBad(t *testing.T) {
	const bs, n = 64 << 10, 8
	dir := t.TempDir()
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", Size: 64 * bs, BlockSize: bs, Overflow: 1.3}}); err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	parent, err := index.Acquire(index.Location{FS: staleDirect{disk.OS(), &reads}, Parent: dir}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	v, err := index.Open(parent, index.Options{Warn: func(msg string) { t.Error(msg) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	var content []byte
	for i := range uint64(n) {
		content = append(content, block(bs, i+1)...)
	}
	entries := make([]format.Entry, n)
	ticket := v.Enter()
	defer v.Leave(ticket)
	if err := v.NewWriter().Put(content, entries); err != nil {
		t.Fatal(err)
	}
	if err := v.Sync(); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OS().OpenFile(parent.BlocksPath, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := disk.DropCache(f, 0, 0); err != nil {
		t.Fatal(err)
	}
	r := v.NewReader()
	r.Past(true)
	have := make([]byte, len(content))
	if got, healed, err := r.Read(entries, 0, have); err != nil || got != len(content) || healed != 0 || !bytes.Equal(have, content) {
		t.Errorf("have %d bytes, %d healed, %v, want %d as they were written", got, healed, err, len(content))
	}
	if reads.Load() == 0 {
		t.Skip("this file system keeps in memory what it was asked to drop")
	}
	if s := v.Stats(); s.BadBlocks != 0 {
		t.Errorf("%d blocks left the index", s.BadBlocks)
	}
}
