package index_test

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"sync/atomic"
	"testing"
	"time"

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

// countDirect is a file system that counts direct reads.
type countDirect struct {
	disk.FS
	reads *atomic.Int64
}

func (c countDirect) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil || flag&unix.O_DIRECT == 0 {
		return f, err
	}
	return countFile{staleFile{f, c.reads}}, nil
}

type countFile struct{ staleFile }

func (c countFile) ReadAt(p []byte, off int64) (int, error) {
	c.reads.Add(1)
	return c.File.ReadAt(p, off)
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

// onDisk is a volume on the real disk that was opened with the given options, and the entries of n blocks in it, which the page cache does not hold. What
// is open at the end of the test is closed.
type onDisk struct {
	t       *testing.T
	fs      disk.FS
	dir     string
	v       *index.Volume
	content []byte
	entries []format.Entry
}

const (
	pastSize  = 64 << 10
	pastCount = 8
)

func newOnDisk(t *testing.T, fs disk.FS, o index.Options) *onDisk {
	t.Helper()
	r := &onDisk{t: t, fs: fs, dir: t.TempDir(), entries: make([]format.Entry, pastCount)}
	create := format.CreateOptions{Hash: "BLAKE3", Size: 64 * pastSize, BlockSize: pastSize, Overflow: 1.3}
	if _, err := mkfs.Make(mkfs.Options{Parent: r.dir, CreateOptions: create}); err != nil {
		t.Fatal(err)
	}
	r.open(o)
	t.Cleanup(r.close)
	for i := range uint64(pastCount) {
		r.content = append(r.content, block(pastSize, i+1)...)
	}
	ticket := r.v.Enter()
	defer r.v.Leave(ticket)
	if err := r.v.NewWriter().Put(r.content, r.entries); err != nil {
		t.Fatal(err)
	}
	if err := r.v.Sync(); err != nil {
		t.Fatal(err)
	}
	r.cool()
	return r
}

func (r *onDisk) open(o index.Options) {
	r.t.Helper()
	parent, err := index.Acquire(index.Location{FS: r.fs, Parent: r.dir}, index.Write)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.v, err = index.Open(parent, o); err != nil {
		r.t.Fatal(err)
	}
}

func (r *onDisk) close() {
	r.t.Helper()
	if err := r.v.Close(); err != nil {
		r.t.Error(err)
	}
}

// blocks calls do with the block file, and has memory forget what it has of it.
func (r *onDisk) blocks(do func(f disk.File) error) {
	r.t.Helper()
	f, err := disk.OS().OpenFile(r.v.Parent().BlocksPath, unix.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := errors.Join(do(f), f.Sync(), disk.DropCache(f, 0, 0), f.Close()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *onDisk) cool() {
	r.t.Helper()
	r.blocks(func(disk.File) error { return nil })
}

// readPast reads all blocks past the page cache.
func (r *onDisk) readPast() ([]byte, error) {
	ticket := r.v.Enter()
	defer r.v.Leave(ticket)
	rd, have := r.v.NewReader(), make([]byte, len(r.content))
	rd.Past(true)
	_, _, err := rd.Read(slices.Clone(r.entries), 0, have)
	return have, err
}

// TestPastProvesNothingBad: what a read past the page cache says of a block is not enough to take it out of the index.
func TestPastProvesNothingBad(t *testing.T) {
	var reads atomic.Int64
	r := newOnDisk(t, staleDirect{disk.OS(), &reads}, index.Options{Warn: func(msg string) { t.Error(msg) }})
	if have, err := r.readPast(); err != nil || !bytes.Equal(have, r.content) {
		t.Errorf("have %v, want all as it was written", err)
	}
	if reads.Load() == 0 {
		t.Skip("this file system keeps in memory what it was asked to drop")
	}
	if s := r.v.Stats(); s.BadBlocks != 0 {
		t.Errorf("%d blocks left the index", s.BadBlocks)
	}
}

// panicDirect is a file system whose direct reads panic while it is told to.
type panicDirect struct {
	countDirect
	now *atomic.Bool
}

func (p panicDirect) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	f, err := p.FS.OpenFile(name, flag, perm)
	if err != nil || flag&unix.O_DIRECT == 0 {
		return f, err
	}
	return panicFile{countFile{staleFile{f, p.reads}}, p.now}, nil
}

type panicFile struct {
	countFile
	now *atomic.Bool
}

func (p panicFile) ReadAt(b []byte, off int64) (int, error) {
	if p.now.Load() {
		p.reads.Add(1)
		panic("a direct read")
	}
	return p.countFile.ReadAt(b, off)
}

// TestPastAfterPanics: a read that panics, which the mount answers with an error, gives its place back: many of them later others still read.
func TestPastAfterPanics(t *testing.T) {
	var reads atomic.Int64
	var now atomic.Bool
	r := newOnDisk(t, panicDirect{countDirect{disk.OS(), &reads}, &now}, index.Options{})
	now.Store(true)
	done := make(chan error, 1)
	go func() {
		for range 20 {
			r.cool()
			func() {
				defer func() { _ = recover() }()
				_, _ = r.readPast()
			}()
		}
		if now.Store(false); reads.Load() == 0 {
			done <- nil
			return
		}
		r.cool()
		have, err := r.readPast()
		if err == nil && !bytes.Equal(have, r.content) {
			err = errors.New("other bytes than were written")
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("a read waits for ever")
	}
	if reads.Load() == 0 {
		t.Skip("this file system keeps in memory what it was asked to drop")
	}
}

// TestPastVerifies holds what verify means for reads past the page cache, each of which comes from the disk: "first" hashes a block the first time it is read after
// the volume was opened, and believes the disk from then on, as it does where the page cache had to read it again; "always" hashes it every time. What
// has decayed is found by the first read that hashes it.
func TestPastVerifies(t *testing.T) {
	for _, test := range []struct {
		verify  index.Verify
		hashed  [2]uint64 // by the first and the second read
		found   bool      // by a third one, of a block that has decayed since
		reopens bool      // found by the first one after the volume was opened again
	}{
		{index.VerifyFirst, [2]uint64{pastCount, 0}, false, true},
		{index.VerifyAlways, [2]uint64{pastCount, pastCount}, true, true},
		{index.VerifyOff, [2]uint64{}, false, false},
	} {
		t.Run(fmt.Sprint(test.verify), func(t *testing.T) {
			var reads atomic.Int64
			o := index.Options{Verify: test.verify}
			r := newOnDisk(t, countDirect{disk.OS(), &reads}, o)
			for i, want := range test.hashed {
				before := reads.Load()
				r.cool()
				r.v.ResetStats()
				if have, err := r.readPast(); err != nil || !bytes.Equal(have, r.content) {
					t.Errorf("read %d: have %v, want all as it was written", i, err)
				}
				if reads.Load() == before {
					t.Skip("this file system keeps in memory what it was asked to drop, or knows no direct reads")
				}
				if s := r.v.Stats(); s.Verified != want {
					t.Errorf("read %d: have %d blocks hashed, want %d", i, s.Verified, want)
				}
			}
			r.blocks(func(f disk.File) error {
				_, err := f.WriteAt([]byte("decayed"), r.v.Geometry().Offset(r.entries[3].Addr)+1000)
				return err
			})
			if _, err := r.readPast(); errors.Is(err, format.ErrIO) != test.found {
				t.Errorf("a block that has decayed since it was read: have %v, want an error: %v", err, test.found)
			}
			r.close()
			r.open(o)
			r.cool()
			if _, err := r.readPast(); errors.Is(err, format.ErrIO) != test.reopens {
				t.Errorf("the same after the volume was opened again: have %v, want an error: %v", err, test.reopens)
			}
		})
	}
}
