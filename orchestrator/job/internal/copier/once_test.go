package copier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// count counts what is read of the sources, and what is put.
func (r *rig) count() (read, put *int64) {
	read, put = new(int64), new(int64)
	r.opts.read = func(f *os.File, p []byte, off int64) (int, error) {
		n, err := f.ReadAt(p, off)
		*read += int64(n)
		return n, err
	}
	hook := r.store.Hook
	r.store.Hook = func(ctx context.Context, s storetest.Step) error {
		if s.Op == storetest.OpPutBlock {
			*put += s.N
		}
		if hook != nil {
			return hook(ctx, s)
		}
		return nil
	}
	return read, put
}

// TestNewDataIsNeverMoreThanTheFile, also where nobody knows which of its blocks were new.
func TestNewDataIsNeverMoreThanTheFile(t *testing.T) {
	r := &run{Options: Options{Seen: func(int, int64) {}}, sums: map[orchestrator.Path]orchestrator.FileSum{}}
	r.note("f", line{New: 3 << 17, Sum: &orchestrator.FileSum{Size: 5, Whole: true}})
	if r.result.NewData != 5 || r.result.NewBytes != 3<<17 {
		t.Errorf("have %d bytes of new data that take %d", r.result.NewData, r.result.NewBytes)
	}
}

// TestReadOnce: each byte of a source is read once to be summed and stored, and after an interruption what was not durable once more.
func TestReadOnce(t *testing.T) {
	r := newRig(t)
	r.write("long", text(10*16384+77, 1))
	r.write("short", text(5000, 2))
	r.write("empty", "")
	read, put := r.count()
	r.same(r.copy())
	if want := int64(10*16384 + 77 + 5000); *read != want || *put != want {
		t.Errorf("read %d bytes, put %d, want %d", *read, *put, want)
	}
	r = newRig(t)
	r.write("long", text(10*16384+77, 1))
	r.store.Hook = storetest.Fail(storetest.OpPut, 9, unix.EIO)
	if _, err := r.try(t.Context()); !errors.Is(err, unix.EIO) {
		t.Fatalf("want the fault, have %v", err)
	}
	r.store.Hook = nil
	read, put = r.count()
	r.same(r.copy())
	if want := int64(2*16384 + 77); *read != want || *put != want {
		t.Errorf("gone on with: read %d bytes, put %d, want %d", *read, *put, want)
	}
}

// TestChangedBetweenReadAndPut: a source that changes when it was read and is not stored yet does not matter to what is stored.
func TestChangedBetweenReadAndPut(t *testing.T) {
	r := newRig(t)
	name := r.write("log", text(40000, 1))
	done := 0
	r.store.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op != storetest.OpPut || done == 5 {
			return nil
		}
		done++
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(fmt.Sprintf("<%d>", done)), s.Off+50)
		return errors.Join(err, f.Close())
	}
	result := r.copy()
	r.sums(result)
}

// TestManyFiles: files share a durability point; what it was not reached for is copied again after a kill, and nothing else.
func TestManyFiles(t *testing.T) {
	r := newRig(t)
	r.opts.Segment = 1 << 20
	const n = 2000
	for i := range n {
		r.write(fmt.Sprintf("%d/file %d", i%7, i), text(1+i*7%9000, byte(i)))
	}
	r.store.Hook = storetest.Fail(storetest.OpPut, 1900, unix.EIO)
	if _, err := r.try(t.Context()); !errors.Is(err, unix.EIO) {
		t.Fatalf("want the fault, have %v", err)
	}
	log, err := OpenLog(r.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	noted := len(log.done)
	if err := log.Close(); err != nil || noted == 0 || noted >= 1900 {
		t.Fatalf("%d files are noted, %v", noted, err)
	}
	again, syncs := map[string]bool{}, 0
	r.store.Hook = func(_ context.Context, s storetest.Step) error {
		switch s.Op {
		case storetest.OpPut:
			again[s.Path] = true
		case storetest.OpSync:
			syncs++
		}
		return nil
	}
	result := r.copy()
	r.same(result)
	if len(again) != n-noted || syncs < 1 || syncs > 20 || len(result.Sums) != n {
		t.Errorf("%d files of %d were noted, %d put again, with %d syncs; %d sums", noted, n, len(again), syncs, len(result.Sums))
	}
}

// TestTwoRootsOnePlace: of two sources that lead to one place the later one is there, whatever is on its way of the first.
func TestTwoRootsOnePlace(t *testing.T) {
	r := newRig(t)
	r.write("a/f", text(9000, 1))
	r.write("b/f", "short")
	r.write("b/sub/f", text(30000, 3))
	r.write("a/sub/f", text(100, 4))
	r.opts.Roots = []orchestrator.Root{{Path: filepath.Join(r.src, "a"), Name: "x"}, {Path: filepath.Join(r.src, "b"), Name: "x"}}
	result := r.copy()
	r.sums(result)
	if len(result.Sums) != 2 || result.Sums[0].Size != 5 || result.Sums[1].Size != 30000 {
		t.Errorf("have %+v", result.Sums)
	}
}

// TestRoom: what is new is told as what it takes, and as content.
func TestRoom(t *testing.T) {
	r := newRig(t)
	r.write("short", "five!")
	r.write("same", "five!")
	r.write("long", text(3*16384+5, 1))
	r.write("whole", text(8192, 2))
	result := r.copy()
	if want := int64(5 + 3*16384 + 5 + 8192); result.NewData != want || result.NewBytes != 4096*(1+13+2) {
		t.Errorf("%d bytes of content take %d, want %d and %d", result.NewData, result.NewBytes, want, 4096*(1+13+2))
	}
}
