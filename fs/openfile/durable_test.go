package openfile_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// pattern is n bytes that no other start gives.
func pattern(start byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = start + byte(i/97) ^ byte(i*7)
	}
	return p
}

// TestSyncWaitsForTheSyncOfAnother has two callers of fdatasync: the second has nothing new to store, but what it may have written is not on
// the disk before the first is through.
func TestSyncWaitsForTheSyncOfAnother(t *testing.T) {
	for _, dataOnly := range []bool{true, false} {
		r := newMemory(t, tiny(), 2)
		h, other := r.file("f"), r.file("f")
		r.write(h, pattern(1, 8192), 0)
		r.write(other, pattern(2, 8192), 8192)
		arrived, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		r.hooks.set(func() {
			r.hooks.beforeSync = func(name string) {
				if filepath.Base(name) == format.DefaultBlocksName {
					once.Do(func() { close(arrived) })
					<-release
				}
			}
		})
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- h.Sync(dataOnly) }()
		<-arrived
		go func() { second <- other.Sync(dataOnly) }()
		select {
		case err := <-second:
			t.Errorf("data only %v: a sync returned (%v) while the first sync of these data was still on its way to the disk", dataOnly, err)
			second <- err
		case <-time.After(30 * time.Millisecond):
		}
		close(release)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		r.abandon()
	}
}

// TestSyncNothingNew holds that fdatasync of a file that is on the disk costs no flush.
func TestSyncNothingNew(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("f")
	r.write(h, pattern(1, 5000), 0)
	for range 3 {
		if err := h.Sync(true); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.vol.Stats(); s.Syncs != 1 {
		t.Errorf("three calls of fdatasync after one write: have %d flushes of the block file, want 1", s.Syncs)
	}
}

// TestCloseBesideNewWriter closes the last handle of a file while somebody else opens it, writes and closes: nothing is lost.
func TestCloseBesideNewWriter(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("f")
	first, second := pattern(1, 5000), pattern(2, 3000)
	r.write(h, first, 0)
	var once sync.Once
	r.hooks.set(func() {
		r.hooks.modified = func(string) { // the last step of the flush at close
			once.Do(func() {
				f := r.m.Find(r.ids["f"])
				if f == nil {
					t.Error("the file cannot be found while it is being closed")
					return
				}
				late := f.NewHandle()
				r.write(late, second, 5000)
				if err := errors.Join(late.Close(), f.Close()); err != nil {
					t.Errorf("close of the late writer: %v", err)
				}
			})
		}
	})
	if err := h.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	h = r.file("f")
	r.assertContent(h, append(first, second...))
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	r.close()
	if s, found := r.status(); s != 0 {
		t.Errorf("check: status %d, %q", s, found)
	}
}

// TestRecipeSyncFailureIsFinal lets the sync of an underlying file fail. The kernel tells that once and forgets what it could not write: a
// second sync proves nothing, and the volume must not be marked clean.
func TestRecipeSyncFailureIsFinal(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("f")
	r.write(h, pattern(1, 5000), 0)
	r.disk.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Sync, Site: "openfile_test.(*hookedFile).SyncAll"}, Err: unix.EIO})
	err := h.Sync(false)
	fired := r.disk.Fired()
	r.disk.Heal()
	if fired != 1 || !errors.Is(err, unix.EIO) {
		t.Fatalf("sync: have %v, %d faults, want EIO by the one", err, fired)
	}
	if err := h.Sync(false); !errors.Is(err, unix.EIO) {
		t.Errorf("sync after a failed one: have %v, want EIO", err)
	}
	_ = r.m.Close()
	if err := r.vol.Close(); !errors.Is(err, unix.EIO) {
		t.Errorf("close of the volume: have %v, want EIO", err)
	}
	r.vol = nil
	p := r.acquire()
	if dirty, err := p.Dirty(); !dirty || err != nil {
		t.Errorf("after the close: have dirty %v, %v, want an unclean volume", dirty, err)
	}
	p.Close()
}

// TestWriteFailure lets the storing of blocks fail behind the reply: the error comes to the next write, the sync and the close of every
// handle that wrote, once each, not to one that only read, and the file keeps what it had.
func TestWriteFailure(t *testing.T) {
	for _, workers := range []int{0, 1, 4} {
		r := newMemory(t, tiny(), workers)
		a, b, reader := r.file("f"), r.file("f"), r.file("f")
		good := pattern(1, 6*4096+100)
		r.write(a, good, 0)
		r.write(b, good[:4096], 0)
		if err := a.Sync(false); err != nil {
			t.Fatal(err)
		}
		r.disk.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}, Err: unix.EIO, Repeat: true})
		if _, err := a.WriteAt(pattern(9, 8192), 4096); err != nil {
			t.Fatalf("write that fails later: have %v, want to be told later", err)
		}
		_ = r.m.FlushAll() // fails if the write did not fail before
		r.disk.Heal()
		for i, h := range []*openfile.Handle{a, b} {
			if n, err := h.WriteAt([]byte("x"), 0); n != 0 || !errors.Is(err, unix.EIO) {
				t.Errorf("workers %d, handle %d: next write: have %d, %v, want EIO", workers, i, n, err)
			}
			if err := h.Sync(true); !errors.Is(err, unix.EIO) {
				t.Errorf("workers %d, handle %d: sync: have %v, want EIO", workers, i, err)
			}
			if err := h.Flush(); !errors.Is(err, unix.EIO) {
				t.Errorf("workers %d, handle %d: close: have %v, want EIO", workers, i, err)
			}
			if err := errors.Join(h.Sync(true), h.Flush()); err != nil {
				t.Errorf("workers %d, handle %d: told twice: %v", workers, i, err)
			}
		}
		if err := errors.Join(reader.Sync(false), reader.Flush()); err != nil {
			t.Errorf("workers %d: a handle that never wrote: %v", workers, err)
		}
		r.assertContent(reader, good)
		// All goes on.
		r.write(b, good[:5000], 100)
		copy(good[100:], good[:5000])
		r.assertContent(a, good)
		if err := errors.Join(a.Close(), b.Close(), reader.Close()); err != nil {
			t.Error(err)
		}
		r.close()
		if s, found := r.status(); s != 0 {
			t.Errorf("workers %d: check: status %d, %q", workers, s, found)
		}
	}
}

// TestWriteFailureAtClose has no next call but the close of the last handle.
func TestWriteFailureAtClose(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("f")
	r.disk.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}, Err: unix.EIO, Repeat: true})
	if _, err := h.WriteAt(pattern(1, 100), 0); err != nil { // a rest: stored by the close
		t.Fatal(err)
	}
	if err := h.Flush(); !errors.Is(err, unix.EIO) {
		t.Errorf("close(2): have %v, want EIO", err)
	}
	if h.File().Size() != 0 {
		t.Errorf("size after the only write failed: have %d, want 0", h.File().Size())
	}
	r.disk.Heal()
	if err := h.Close(); err != nil {
		t.Errorf("release: %v", err)
	}
	r.close() // a worker logs after it has replied; now it has
	if log := r.logged(); len(log) == 0 || !strings.Contains(log[0], "/f at offset 0") {
		t.Errorf("log: have %q, want the file and the offset", log)
	}
	if s, found := r.status(); s != 0 {
		t.Errorf("check: status %d, %q", s, found)
	}
}

// TestAppendFailure fails the blocks of one append among others: the file does not grow by it where nothing later made it.
func TestAppendFailure(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("f")
	good := pattern(1, 10000)
	r.write(h, good, 0)
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"blockfile.(*File).Write", "recipe.(*File).WriteHeader", "recipe.(*File).WriteEntries"} {
		r.disk.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: site}, Err: unix.EIO, Partial: 40})
		before := r.disk.Fired()
		_, err := h.WriteAt(pattern(byte(len(site)), 20000), int64(len(good)))
		if err := errors.Join(err, h.Flush()); !errors.Is(err, unix.EIO) {
			t.Errorf("%s: have %v, want EIO", site, err)
		}
		if r.disk.Fired() != before+1 {
			t.Errorf("%s: the fault did not fire", site)
		}
		r.disk.Heal()
		_, _ = h.WriteAt(nil, 0) // takes the error
		// The first part of the append may have gone through, before the one that failed.
		size := h.File().Size()
		if size < int64(len(good)) || size > int64(len(good))+20000 {
			t.Errorf("%s: size: have %d", site, size)
		}
		have := make([]byte, size)
		if n, err := h.ReadAt(have, 0); n != len(have) || err != nil || string(have[:len(good)]) != string(good) {
			t.Errorf("%s: read after the failure: have %d bytes, %v, or wrong content", site, n, err)
		}
		if site != "blockfile.(*File).Write" {
			underlying(t, r, "f", size)
		}
		if err := h.File().Truncate(int64(len(good))); err != nil {
			t.Errorf("%s: truncate: %v", site, err)
		}
		r.assertContent(h, good)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	r.close()
	if s, found := r.status(); s != 0 {
		t.Errorf("check: status %d, %q", s, found)
	}
}

// underlying fails the test unless the underlying file has exactly the entries of its size.
func underlying(t *testing.T, r *memory, name string, size int64) {
	t.Helper()
	info, err := r.disk.Lstat(r.path(name))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := r.vol.Geometry().FileLength(uint64(size)); err != nil || info.Size() != want {
		t.Errorf("%s of %d bytes: underlying file: have %d bytes, want %d (%v)", name, size, info.Size(), want, err)
	}
}

// TestVolumeFull fills the volume: the very write that finds no room is told, and what was written before it stays.
func TestVolumeFull(t *testing.T) {
	for _, workers := range []int{0, 2} {
		for _, size := range []int{100, 4096, 10000, 64 << 10} {
			r := newMemory(t, tiny(), workers)
			h := r.file("f")
			var all []byte
			var err error
			for i := 0; err == nil && len(all) < 2<<20; i++ {
				p := pattern(byte(i), size)
				copy(p, []byte{byte(i), byte(i >> 8), 1})
				if _, err = h.WriteAt(p, int64(len(all))); err == nil {
					all = append(all, p...)
				}
			}
			if !errors.Is(err, format.ErrNoSpace) {
				t.Fatalf("workers %d, %d bytes at a time: have %v after %d bytes, want ErrNoSpace", workers, size, err, len(all))
			}
			if err := h.Sync(false); err != nil && !errors.Is(err, format.ErrNoSpace) {
				t.Errorf("sync of a full volume: %v", err)
			}
			if used := r.vol.Stats().Allocated; used < 190 {
				t.Errorf("workers %d, %d bytes at a time: refused with %d blocks of 200 allocated", workers, size, used)
			}
			p := make([]byte, len(all))
			if n, err := h.ReadAt(p, 0); n != len(p) || err != nil || string(p) != string(all) {
				t.Errorf("workers %d, %d bytes at a time: read of %d accepted bytes: have %d, %v, or wrong content", workers, size, len(all), n, err)
			}
			_ = h.Flush()
			if err := h.Close(); err != nil {
				t.Errorf("workers %d, %d bytes at a time: release: %v", workers, size, err)
			}
			r.close()
			if s, found := r.status(); s != 0 {
				t.Errorf("check: status %d, %q", s, found)
			}
		}
	}
}
