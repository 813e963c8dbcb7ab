package openfile_test

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fs/openfile"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
)

// within does what must come to an end, and survives a panic of it as the FUSE library does.
func within(t *testing.T, what string, do func() error) (err error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("nobody caught it: %v", r)
			}
		}()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// trapFS is a disk whose reads, writes or syncs of one file panic while a trap is set, such as "read NAME".
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
	f.fs.step("read", f.Name())
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

// newTrapped is newMemory over a trapFS.
func newTrapped(t *testing.T, o format.CreateOptions) (*memory, *trapFS) {
	t.Helper()
	r := newMemory(t, o, 1)
	r.close()
	trap := &trapFS{FS: r.disk}
	r.hooks.FS = trap
	r.open()
	return r, trap
}

// TestPanicWhileStoring has the engine panic below a write, in the hands of the writer himself or of a worker: the file tells an error and hangs nobody,
// what was stored is served on, nothing new is promised, and the next mount repairs.
func TestPanicWhileStoring(t *testing.T) {
	const bs = 64 << 10
	for _, lent := range []bool{true, false} {
		for what, name := range map[string]string{"blocks": format.DefaultBlocksName, "entries": "one"} {
			t.Run(fmt.Sprint(what, ", lent ", lent), func(t *testing.T) {
				r, trap := newTrapped(t, format.CreateOptions{Hash: "BLAKE3", Size: 64 * bs, BlockSize: bs, Overflow: 1.3})
				if lent {
					r.m.LendAlways()
				}
				old, one, two := r.file("old"), r.file("one"), r.file("two")
				r.write(old, pattern(1, 4*bs), 0)
				if err := old.Sync(false); err != nil {
					t.Fatal(err)
				}
				trap.set("write " + name)
				err := within(t, "the write", func() error { _, err := one.WriteAt(pattern(50, 4*bs), 0); return err })
				if err == nil {
					err = within(t, "the flush after it", one.Flush)
				}
				if err == nil || !strings.Contains(err.Error(), "a bug for the test") || strings.Contains(err.Error(), "nobody caught it") {
					t.Errorf("the file tells %v", err)
				}
				trap.set("")
				r.assertNothingHangs(t, old, one, two)
				r.assertContent(old, pattern(1, 4*bs))
				if !slices.ContainsFunc(r.logged(), func(line string) bool {
					return strings.Contains(line, "a bug for the test") && strings.Contains(line, "goroutine")
				}) {
					t.Errorf("the log does not say where it was: %q", r.logged())
				}
				r.assertRepairs(t, pattern(1, 4*bs))
			})
		}
	}
}

// assertNothingHangs uses the files after a panic: what is done to them comes to its end, and nothing new is promised.
func (r *memory) assertNothingHangs(t *testing.T, old, one, two *openfile.Handle) {
	t.Helper()
	bs := r.vol.Geometry().BlockSize
	_ = within(t, "a sync of the file", func() error { return one.Sync(false) })
	_ = within(t, "a read of the file", func() error { _, err := one.ReadAt(make([]byte, bs), 0); return err })
	_ = within(t, "a truncation of the file", func() error { return one.File().Truncate(int64(bs)) })
	// The same content, which nobody must still be believed to be storing.
	err := within(t, "a write of the same content", func() error { _, err := two.WriteAt(pattern(50, 4*bs), 0); return err })
	if sync := within(t, "a sync of another file", func() error { return two.Sync(false) }); err == nil && sync == nil {
		t.Error("new data were promised to be on the disk after a panic in the engine")
	}
	for _, h := range []*openfile.Handle{old, one, two} {
		_ = within(t, "a flush", h.Flush)
	}
}

// assertRepairs closes the volume, which must not be called clean, and has it repaired: the file "old" is what it was, and nothing is wrong.
func (r *memory) assertRepairs(t *testing.T, want []byte) {
	t.Helper()
	_ = within(t, "closing the files", r.m.Close)
	if err := within(t, "closing the volume", r.vol.Close); err == nil {
		t.Error("the volume was closed as if nothing had been")
	}
	r.vol = nil
	next := onDisk(t, r.disk, 1)
	next.repair()
	next.assertContent(next.file("old"), want)
	next.close()
	if status, found := next.status(); status != fsck.OK {
		t.Errorf("after the repair: status %d, %q", status, found)
	}
}

// TestPanicWhileGathering has the engine panic while it reads the rest of a block of which a part was written.
func TestPanicWhileGathering(t *testing.T) {
	r, trap := newTrapped(t, tiny())
	f := r.file("old")
	r.write(f, pattern(1, 3*4096), 0)
	if err := f.Sync(false); err != nil {
		t.Fatal(err)
	}
	trap.set("read " + format.DefaultBlocksName)
	r.write(f, []byte("new"), 4096+17)
	if err := within(t, "the flush", f.Flush); err == nil || !strings.Contains(err.Error(), "a bug for the test") {
		t.Errorf("the file tells %v", err)
	}
	trap.set("")
	r.assertContent(f, pattern(1, 3*4096))
	if err := within(t, "a truncation of the file", func() error { return f.File().Truncate(2 * 4096) }); errors.Is(err, format.ErrCorrupt) {
		t.Error(err)
	}
	_ = within(t, "closing the files", r.m.Close)
	if err := within(t, "closing the volume", r.vol.Close); err == nil {
		t.Error("the volume was closed as if nothing had been")
	}
	r.vol = nil
}

// TestPanicWhileSyncing has the disk of the block file panic in a sync that several wait for: each is told, and the program lives.
func TestPanicWhileSyncing(t *testing.T) {
	r, trap := newTrapped(t, tiny())
	old, one, two := r.file("old"), r.file("one"), r.file("two")
	r.write(old, pattern(1, 4*4096), 0)
	if err := old.Sync(false); err != nil {
		t.Fatal(err)
	}
	r.write(one, pattern(20, 4*4096), 0)
	r.write(two, pattern(30, 4*4096), 0)
	trap.set("sync " + format.DefaultBlocksName)
	told := make(chan error, 2)
	for _, h := range []*openfile.Handle{one, two} {
		go func() { told <- h.Sync(false) }()
	}
	for range 2 {
		if err := within(t, "a sync", func() error { return <-told }); err == nil || !strings.Contains(err.Error(), "a bug for the test") {
			t.Errorf("a sync says %v", err)
		}
	}
	trap.set("")
	r.assertContent(old, pattern(1, 4*4096))
	r.assertRepairs(t, pattern(1, 4*4096))
}

// TestPanicWhileReadingAhead has the engine panic where nobody waits for it: who reads those bytes reads them himself, and the next mount repairs.
func TestPanicWhileReadingAhead(t *testing.T) {
	const piece = 128 << 10
	r, trap := newTrapped(t, tiny())
	f := r.file("old")
	r.write(f, pattern(1, 4*piece), 0)
	if err := f.Sync(false); err != nil {
		t.Fatal(err)
	}
	_ = f.ReadAhead(piece, 0)
	trap.set("read " + format.DefaultBlocksName)
	_ = f.ReadAhead(piece, piece) // begins with what follows it
	_ = within(t, "the next read", func() error {
		if a := f.ReadAhead(piece, 2*piece); a != nil {
			t.Error("something was read ahead")
		}
		return nil
	})
	trap.set("")
	r.assertContent(f, pattern(1, 4*piece))
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	r.assertRepairs(t, pattern(1, 4*piece))
}

// TestPanicInACheckpoint stops the volume and nothing else, whoever has asked for it.
func TestPanicInACheckpoint(t *testing.T) {
	for what, do := range map[string]func(r *memory) error{
		"checkpoint": func(r *memory) error { return r.vol.Checkpoint() },
		"rest":       func(r *memory) error { _, err := r.vol.Quiesce(0, r.m.FlushAll); return err },
	} {
		t.Run(what, func(t *testing.T) {
			r, trap := newTrapped(t, tiny())
			f := r.file("old")
			r.write(f, pattern(1, 4*4096), 0)
			if err := f.Sync(false); err != nil {
				t.Fatal(err)
			}
			trap.set("write " + format.DefaultIndexName)
			if err := within(t, what, func() error { return do(r) }); err == nil || strings.Contains(err.Error(), "nobody caught it") || r.vol.Failed() == nil {
				t.Errorf("have %v", err)
			}
			trap.set("")
			_ = within(t, "another checkpoint", r.vol.Checkpoint)
			r.assertContent(f, pattern(1, 4*4096))
			r.assertRepairs(t, pattern(1, 4*4096))
		})
	}
}

// TestPanicOfAView: the panic is that of one request, and a reclaim, which waits for all who look at blocks, is not kept waiting.
func TestPanicOfAView(t *testing.T) {
	const bs = 64 << 10
	r, trap := newTrapped(t, format.CreateOptions{Hash: "BLAKE3", Size: 64 * bs, BlockSize: bs, Overflow: 1.3})
	f := r.file("old")
	r.write(f, pattern(1, 8*bs), 0)
	if err := f.Sync(false); err != nil {
		t.Fatal(err)
	}
	trap.set("read old")
	if err := within(t, "the view", func() error { f.View(4*bs, 0); return nil }); err == nil {
		t.Fatal("the view did not come by the trap")
	}
	trap.set("")
	if err := within(t, "the marks of a reclaim", func() error {
		marks, err := r.vol.StartMarks()
		if err == nil {
			marks.End()
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	r.assertContent(f, pattern(1, 8*bs))
	r.close()
}

// TestPanicOfEach: what is done to all open files may panic, and lets go of them all the same.
func TestPanicOfEach(t *testing.T) {
	r, _ := newTrapped(t, tiny())
	for _, name := range []string{"a", "b", "c"} {
		r.write(r.file(name), []byte("content"), 0)
	}
	before := r.m.References()
	if err := within(t, "each", func() error { return r.m.Each(func(*openfile.File) error { panic("a bug for the test") }) }); err == nil {
		t.Error("no panic")
	}
	if after := r.m.References(); after != before {
		t.Errorf("%d references, want %d", after, before)
	}
	r.close()
}
