package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fs/openfile"
	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// trapFS is a disk whose reads, writes or syncs of one file panic while a trap is set: "write NAME", "sync NAME", "header NAME" for reads of its beginning and
// "read NAME" for those behind it.
type trapFS struct {
	disk.FS
	trap atomic.Pointer[string]
}

func (f *trapFS) set(trap string) { f.trap.Store(&trap) }

func (f *trapFS) step(what, name string) {
	if trap := f.trap.Load(); trap != nil && *trap == what+" "+filepath.Base(name) {
		panic("a bug for the test")
	}
}

func (f *trapFS) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	d, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return trapFile{d, f}, nil
}

type trapFile struct {
	disk.File
	fs *trapFS
}

func (f trapFile) ReadAt(p []byte, off int64) (int, error) {
	if off == 0 {
		f.fs.step("header", f.Name())
	} else {
		f.fs.step("read", f.Name())
	}
	return f.File.ReadAt(p, off)
}

func (f trapFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.step("write", f.Name())
	return f.File.WriteAt(p, off)
}

func (f trapFile) Sync() error {
	f.fs.step("sync", f.Name())
	return f.File.Sync()
}

// trappedPlace is a memoryPlace where new files are made too, under the name "new" before they have theirs.
type trappedPlace struct{ memoryPlace }

func (p trappedPlace) path(name string) string {
	return filepath.Join(memoryDir, format.RootName, name)
}

func (trappedPlace) String() string                 { return "g" }
func (trappedPlace) Dress(transfer.InOptions) error { return nil }
func (p trappedPlace) Publish() error               { return p.fs.Rename(p.path("new"), p.path("g")) }
func (p trappedPlace) Drop() error                  { return p.fs.Remove(p.path("new")) }
func (p trappedPlace) Begin() (disk.File, uint64, error) {
	f, err := p.fs.OpenFile(p.path("new"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, 2, err
}

// trapped is a volume on a disk that panics, served, with a file f that has data.
type trapped struct {
	t    *testing.T
	fs   *trapFS
	s    *transfer.Served
	data []byte
}

const trappedSize = 3 << 20

func newTrapped(t *testing.T) *trapped {
	t.Helper()
	r := &trapped{t: t, fs: &trapFS{FS: newMemory(t, 4000)}, data: random(1, trappedSize)}
	r.serve()
	if _, err := putRange(t, r.s, r.data, 0, trappedSize); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *trapped) serve() {
	r.t.Helper()
	v := openVolume(r.t, r.fs, memoryDir)
	f, err := r.fs.OpenFile(filepath.Join(memoryDir, format.RootName, "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.s = &transfer.Served{Volume: v, Files: openfile.NewManager(openfile.Config{Volume: v, Workers: 2}), Device: func() uint64 { return 1 << 50 },
		Changed: func(uint64, int64, int64) {}, SyncTree: func() error { return r.fs.SyncFS(memoryDir) },
		Place: func(string) (transfer.ServedPlace, error) { return trappedPlace{memoryPlace{fs: r.fs}}, nil }}
}

// close closes the volume and returns what that says.
func (r *trapped) close() error { return errors.Join(r.s.Files.Close(), r.s.Volume.Close()) }

// within does what must come to an end.
func within(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// out reads f by copy-out into a pipe.
func (r *trapped) out() ([]byte, error) {
	rd, wr, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	var data []byte
	read := make(chan error, 1)
	go func() {
		var err error
		data, err = io.ReadAll(rd)
		read <- err
	}()
	err = within(r.t, "copy-out", func() error {
		_, err := r.s.CopyOut(context.Background(), "f", held{wr}, transfer.OutOptions{})
		return err
	})
	err = errors.Join(err, wr.Close(), <-read, rd.Close())
	return data, err
}

// lent is a descriptor of which is known when nobody uses it any more.
type lent struct {
	held
	users *sync.WaitGroup
}

func (l lent) Hold() { l.users.Add(1) }
func (l lent) Drop() { l.users.Done() }

// in stores data as g from a pipe that stays open behind them, where open says so. In the end nobody has the pipe.
func (r *trapped) in(data []byte, open bool) error {
	rd, wr, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = wr.Write(data) // it may be that nobody reads it
		if !open {
			wr.Close()
		}
	}()
	users := &sync.WaitGroup{}
	users.Add(1)
	err = within(r.t, "copy-in", func() error {
		_, err := r.s.CopyIn(context.Background(), "g", lent{held{rd}, users}, transfer.InOptions{})
		return err
	})
	if !open { // else it is as long as the pipe, and all of it was taken
		_, _ = io.Copy(io.Discard, rd)
	}
	<-wrote
	wr.Close()
	_ = within(r.t, "the last worker", func() error { users.Wait(); return nil })
	rd.Close()
	return err
}

func (r *trapped) put(data []byte, off, n int64) error {
	return within(r.t, "ingest-range", func() error {
		_, err := putRange(r.t, r.s, data, off, n)
		return err
	})
}

// TestPanicWhileARequestStores: it is the error of the request, nobody hangs, what is stored is served on, nothing new is promised, and the next mount repairs.
func TestPanicWhileARequestStores(t *testing.T) {
	fresh := random(2, trappedSize)
	for _, c := range []struct {
		name, trap string
		do         func(r *trapped) error
	}{
		{"blocks of a large part", "write " + format.DefaultBlocksName, func(r *trapped) error { return r.put(fresh, 0, trappedSize) }},
		{"blocks of a small part", "write " + format.DefaultBlocksName, func(r *trapped) error { return r.put(fresh, 4096, 5*4096) }},
		{"entries of a large part", "write f", func(r *trapped) error { return r.put(fresh, 0, trappedSize) }},
		{"entries of a small part", "write f", func(r *trapped) error { return r.put(fresh, 4096, 5*4096) }},
		{"blocks of a copy", "write " + format.DefaultBlocksName, func(r *trapped) error { return r.in(fresh, false) }},
		{"entries of a copy", "write new", func(r *trapped) error { return r.in(fresh, false) }},
		// Some worker waits for the pipe, with nothing of the volume in its hands, and nobody waits for that one.
		{"blocks of a copy from a pipe that says nothing more", "write " + format.DefaultBlocksName, func(r *trapped) error { return r.in(fresh[:1<<20], true) }},
		{"a sync", "sync " + format.DefaultBlocksName, func(r *trapped) error { return r.put(fresh, 0, trappedSize) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newTrapped(t)
			r.fs.set(c.trap)
			if err := c.do(r); err == nil || !strings.Contains(err.Error(), "a bug for the test") || !errors.Is(err, format.ErrIO) {
				t.Errorf("the request says %v", err)
			}
			r.fs.set("")
			have, err := r.out()
			if err != nil || len(have) != trappedSize {
				t.Errorf("reading afterwards: %d bytes, %v", len(have), err)
			}
			assertOneOf(t, have, r.data, fresh)
			if err := r.put(random(3, trappedSize), 0, trappedSize); err == nil {
				t.Error("new data were promised to be on the disk after a panic in the engine")
			}
			if err := within(t, "the end", r.close); err == nil {
				t.Error("the volume was closed as if nothing had been")
			}
			r.serve() // repairs
			if have, err = r.out(); err != nil {
				t.Error(err)
			}
			assertOneOf(t, have, r.data, fresh)
			if err := r.close(); err != nil {
				t.Error(err)
			}
			assertClean(t, r.fs.FS, memoryDir)
		})
	}
}

// assertOneOf: each block is one of those that were stored at its place.
func assertOneOf(t *testing.T, have []byte, were ...[]byte) {
	t.Helper()
	for i := 0; i < len(have); i += 4096 {
		ok := false
		for _, w := range were {
			ok = ok || bytes.Equal(have[i:i+4096], w[i:i+4096])
		}
		if !ok {
			t.Errorf("block %d was never there", i/4096)
			return
		}
	}
}

// TestPanicWhileARequestReads, or where it shows how far it is: the request has the error, nothing is left behind that others would wait for, and the volume goes on.
func TestPanicWhileARequestReads(t *testing.T) {
	back := func(r *trapped) error {
		return within(r.t, "read-back", func() error {
			_, err := r.s.ReadBack(context.Background(), "f", nil, transfer.BackOptions{Whole: true})
			return err
		})
	}
	shown := func(s progress.Stage) {
		if s.Done > 0 {
			panic("a bug for the test")
		}
	}
	for _, c := range []struct {
		name, trap string
		do         func(r *trapped) error
	}{
		{"read-back, header of the block file", "header " + format.DefaultBlocksName, back},
		{"read-back, header of the file", "header f", back},
		{"read-back, blocks", "read " + format.DefaultBlocksName, back},
		{"read-back, entries", "read f", back},
		{"copy-out, blocks", "read " + format.DefaultBlocksName, func(r *trapped) error { _, err := r.out(); return err }},
		{"copy-out, entries", "read f", func(r *trapped) error { _, err := r.out(); return err }},
		{"range, its progress", "", func(r *trapped) error {
			return within(r.t, "ingest-range", func() error {
				_, err := r.s.IngestRange(context.Background(), sealedMemory(r.t, random(2, trappedSize)), []transfer.Part{{Path: "f", N: trappedSize}, {Path: "f", N: 4096}}, shown)
				return err
			})
		}},
		{"small range, its progress", "", func(r *trapped) error {
			return within(r.t, "ingest-range", func() error {
				_, err := r.s.IngestRange(context.Background(), sealedMemory(r.t, random(2, trappedSize)), []transfer.Part{{Path: "f", N: 4096}}, shown)
				return err
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newTrapped(t)
			r.fs.set(c.trap)
			err := c.do(r)
			if p := index.PanicOf(err); p == nil || !strings.Contains(err.Error(), "a bug for the test") || !bytes.Contains(p.Stack, []byte("panic_test.go")) {
				t.Errorf("the request says %v", err)
			}
			r.fs.set("")
			for what, err := range map[string]error{"a range": r.put(r.data, 0, trappedSize), "a read-back": back(r), "a copy": r.in(random(4, 1<<20), false)} {
				if err != nil {
					t.Errorf("afterwards %s: %v", what, err)
				}
			}
			if have, err := r.out(); err != nil || !bytes.Equal(have, r.data) {
				t.Errorf("afterwards: equal %v, %v", bytes.Equal(have, r.data), err)
			}
			if err := within(t, "the end", r.close); err != nil { // who serves it would have told the volume
				t.Error(err)
			}
			assertClean(t, r.fs.FS, memoryDir)
		})
	}
}

// fallingReader panics when it is read.
type fallingReader struct{}

func (fallingReader) Read([]byte) (int, error) { panic("a bug for the test") }

// TestPanicOfACopyOfItsOwn: without anybody to be served the error has the way to the panic, and the volume is not closed as if nothing had been.
func TestPanicOfACopyOfItsOwn(t *testing.T) {
	for _, workers := range []int{-1, 2} {
		fs := newMemory(t, 100)
		p, err := index.Acquire(index.Location{FS: fs, Parent: memoryDir}, index.Write)
		if err != nil {
			t.Fatal(err)
		}
		v, err := index.Open(p, index.Options{})
		if err != nil {
			t.Fatal(err)
		}
		target := transfer.NewTarget(v, workers)
		if _, err := target.CopyIn(t.Context(), "f", transfer.FromReader(fallingReader{}), transfer.InOptions{}); err == nil || !strings.Contains(err.Error(), "panic_test.go") {
			t.Errorf("%d workers: have %v", workers, err)
		}
		if err := target.Close(); err != nil {
			t.Error(err)
		}
		if v.Close() == nil {
			t.Errorf("%d workers: the volume was closed as if nothing had been", workers)
		}
	}
}
