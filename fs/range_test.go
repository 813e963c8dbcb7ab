package fs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/fs/transfer"
	"tresor/index/format"
)

// sealed is memory with data that can get neither shorter nor longer.
func sealed(t *testing.T, data []byte) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memory")
	t.Cleanup(func() { f.Close() })
	_, err = f.Write(data)
	if _, serr := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err == nil {
		err = serr
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// put stores a range of f by ingest-range, holes as such, and syncs.
func (r *rig) put(ctx context.Context, path string, f *os.File, off, n int64) (w transfer.Ranged, err error) {
	data := make([]byte, n)
	if _, err := f.ReadAt(data, off); err != nil {
		return w, err
	}
	a := &control.IngestRangeArgs{}
	for at, end := off, off+n; at < end; {
		p := control.PartArgs{Path: control.Path(path), Offset: at, From: -1}
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if from = from / 4096 * 4096; err != nil || from >= end {
			from = end
		}
		if p.Length = from - at; from <= at {
			to, err := unix.Seek(int(f.Fd()), at, unix.SEEK_HOLE)
			if err != nil {
				return w, err
			}
			p.Length, p.From = min((to+4095)/4096*4096, end)-at, at-off
		}
		a.Parts = append(a.Parts, p)
		at += p.Length
	}
	var res control.IngestRangeResult
	err = socket.CallWith(ctx, socket.Place{}, r.dir, control.OpIngestRange, sealed(r.t, data), a, &res, nil)
	if err == nil {
		err = socket.Call(ctx, socket.Place{}, r.dir, control.OpSync, nil, nil, nil)
	}
	for _, d := range res.Parts {
		w.New += d.New
		w.Known += d.Known
		w.Zero += d.Zero
		w.Fresh = append(w.Fresh, d.Fresh...)
	}
	return w, err
}

// mustPut makes a file of the size of data, and stores all of it.
func (r *rig) mustPut(path string, data []byte) transfer.Ranged {
	r.t.Helper()
	if err := errors.Join(os.WriteFile(r.path(path), nil, 0o600), os.Truncate(r.path(path), int64(len(data)))); err != nil {
		r.t.Fatal(err)
	}
	w, err := r.put(r.t.Context(), path, outside(r.t, data), 0, int64(len(data)))
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

// back reads a file back; the content is nil without a pipe.
func (r *rig) back(ctx context.Context, a control.ReadBackArgs, pipe bool) (res control.ReadBackResult, data []byte, err error) {
	if !pipe {
		err = socket.Call(ctx, socket.Place{}, r.dir, control.OpReadBack, &a, &res, nil)
		return res, nil, err
	}
	rd, wr, err := os.Pipe()
	if err != nil {
		return res, nil, err
	}
	done := make(chan error, 1)
	go func() {
		var err error
		data, err = io.ReadAll(rd)
		done <- err
	}()
	err = socket.CallWith(ctx, socket.Place{}, r.dir, control.OpReadBack, wr, &a, &res, nil)
	return res, data, errors.Join(err, wr.Close(), <-done, rd.Close())
}

// A range replaces what was there, for those too who have the file open or mapped, and holes of the source are holes of the file.
func TestIngestRangeIsCoherent(t *testing.T) {
	r := newRig(t)
	const bs = 4096
	want := random(1, 10*bs)
	if err := os.WriteFile(r.path("f"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := os.OpenFile(r.path("f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r.assertContent("f", want) // the kernel has it
	if _, err := h.WriteAt([]byte("pending"), 3*bs+5); err != nil {
		t.Fatal(err)
	}
	copy(want[3*bs+5:], "pending")
	copy(want[4*bs:], random(2, 3*bs)) // stored below, over blocks 4 to 6
	src := outside(t, nil)
	if err := src.Truncate(12*bs + 10); err != nil {
		t.Fatal(err)
	}
	if _, err := src.WriteAt(want[4*bs:7*bs], 4*bs); err != nil {
		t.Fatal(err)
	}
	w, err := r.put(t.Context(), "f", src, 4*bs, 3*bs)
	if err != nil || w.New != 3 || !slices.Equal(w.Fresh, []transfer.Run{{First: 4, Count: 3}}) {
		t.Fatalf("have %+v, %v, want three new blocks", w, err)
	}
	have := make([]byte, len(want))
	if _, err := h.ReadAt(have, 0); err != nil || !bytes.Equal(have, want) {
		t.Errorf("by the open handle: equal %v, %v", bytes.Equal(have, want), err)
	}
	r.assertContent("f", want)
	// Behind the old end, holes over blocks 8 and 9 included.
	if w, err = r.put(t.Context(), "f", src, 8*bs, 4*bs+10); err != nil || w.New+w.Known != 0 {
		t.Fatalf("have %+v, %v, want only holes", w, err)
	}
	clear(want[8*bs:])
	want = append(want, make([]byte, 2*bs+10)...)
	r.assertContent("f", want)
	if at, err := unix.Seek(int(h.Fd()), 7*bs, unix.SEEK_HOLE); err != nil || at != 8*bs {
		t.Errorf("the hole begins at %d, %v, want %d", at, err, 8*bs)
	}
	r.unmountAndLook(h, want)
}

// unmountAndLook mounts again: what a range put there is on the disk.
func (r *rig) unmountAndLook(h *os.File, want []byte) {
	r.t.Helper()
	h.Close()
	r.unmount()
	r.mount()
	r.assertContent("f", want)
}

// The last block may be a part of one, a file grows by a range, and known blocks are neither copied nor fresh.
func TestIngestRangeToTheEnd(t *testing.T) {
	r := newRig(t)
	data := random(3, 5<<20+77)
	w := r.mustPut("f", data)
	if w.New != 1281 || w.Known != 0 || len(w.Fresh) != 1 || w.Fresh[0] != (transfer.Run{First: 0, Count: 1281}) {
		t.Errorf("have %+v, want 1281 new blocks", w)
	}
	r.assertContent("f", data)
	w = r.mustPut("g", data)
	if w.New != 0 || w.Known != 1281 || len(w.Fresh) != 0 {
		t.Errorf("again: have %+v, want 1281 known blocks", w)
	}
	if err := os.WriteFile(r.path("h"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.put(t.Context(), "h", outside(t, data), 1<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 2<<20)
	copy(want, "short")
	copy(want[1<<20:], data[1<<20:])
	r.assertContent("h", want)
}

// What cannot be is refused, and changes nothing.
func TestRangesRefuseHostileRequests(t *testing.T) {
	r := newRig(t)
	data := random(4, 3*4096+100)
	r.mustPut("a", data)
	if err := errors.Join(os.Mkdir(r.path("dir"), 0o700), os.Symlink("dir", r.path("link")), os.Symlink("a", r.path("file-link")),
		os.Symlink("/etc", r.path("away"))); err != nil {
		t.Fatal(err)
	}
	src := sealed(t, random(5, 3*4096+100))
	raw := func(f *os.File, parts ...control.PartArgs) error {
		return socket.CallWith(t.Context(), socket.Place{}, r.dir, control.OpIngestRange, f, &control.IngestRangeArgs{Parts: parts}, nil, nil)
	}
	for _, c := range []struct{ off, n, from int64 }{{-4096, 4096, 0}, {1, 4096, 0}, {0, 0, 0}, {0, -1, 0}, {0, 100, 0}, {4096, 4097, 0}, {0, 4 * 4096, 0}, {8192, 1 << 62, 0},
		{1 << 62, 1 << 62, 0}, {0, transfer.MaxRange + 1, 0}, {0, 4096, 3 * 4096}, {0, 4096, 1<<63 - 1}, {0, 1<<63 - 1, 1}, {1<<63 - 1, 1, -1}, {0, 0, -1}, {0, 100, -5}} {
		err := raw(src, control.PartArgs{Path: "a", Length: 4096}, control.PartArgs{Path: "a", Offset: c.off, Length: c.n, From: c.from})
		if !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("%d bytes at %d from %d: have %v", c.n, c.off, c.from, err)
		}
	}
	if err := raw(sealed(t, data), control.PartArgs{Path: "a", Length: 3*4096 + 100}); err != nil { // the first parts may have been stored
		t.Fatal(err)
	}
	rd, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	defer wr.Close()
	own, err := os.Open(r.path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	dir, err := os.Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	blind, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", src.Fd()), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer blind.Close()
	for what, f := range map[string]*os.File{"a pipe": rd, "a file of the mount": own, "a directory": dir, "nothing": nil, "a file": outside(t, data), "nothing to read": blind} {
		if err := raw(f, control.PartArgs{Path: "a", Length: 4096}); !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("put, %s: have %v", what, err)
		}
		if what == "nothing" || f == blind {
			continue
		}
		var res control.ReadBackResult
		if err := socket.CallWith(t.Context(), socket.Place{}, r.dir, control.OpReadBack, f, &control.ReadBackArgs{Path: "a", Whole: true}, &res, nil); !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("read back, %s: have %v", what, err)
		}
	}
	for _, path := range []string{"", ".", "..", "/x", "../x", "x/../../y", ".ddumbfs", ".ddumbfs/stats", "link/x", "away/passwd", "dir", "none", "a/x", "file-link"} {
		if err := raw(src, control.PartArgs{Path: control.Path(path), Length: 4096}); err == nil {
			t.Errorf("put to %q: no error", path)
		}
		if _, _, err := r.back(t.Context(), control.ReadBackArgs{Path: control.Path(path), Whole: true}, false); err == nil {
			t.Errorf("read back of %q: no error", path)
		}
	}
	for _, runs := range [][][2]uint64{{{4, 1}}, {{0, 5}}, {{2, 1}, {1, 1}}, {{1, 1 << 63}}, {{1 << 63, 1 << 63}}, {{0, 2}, {1, 1}}} {
		if _, _, err := r.back(t.Context(), control.ReadBackArgs{Path: "a", Runs: runs}, false); !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("runs %v: have %v", runs, err)
		}
	}
	if _, _, err := r.back(t.Context(), control.ReadBackArgs{Path: "a", Runs: [][2]uint64{{0, 1}}}, true); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("a part into a pipe: have %v", err)
	}
	r.assertContent("a", data)
}

// What is read back is what the disk has: unsaved data too, holes as zeros, and a byte that was changed below the page cache is found, costs
// the block its place in the index, and is healed by storing the data again.
func TestReadBack(t *testing.T) {
	r := newRig(t)
	const bs = 4096
	data := random(7, 40*bs+9)
	r.mustPut("f", data)
	f, err := os.OpenFile(r.path("f"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	clear(data[5*bs : 9*bs])
	copy(data[20*bs+1:], "new")
	_, werr := f.WriteAt([]byte("new"), 20*bs+1)
	if err := errors.Join(werr, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 5*bs, 4*bs)); err != nil {
		t.Fatal(err)
	}
	res, have, err := r.back(t.Context(), control.ReadBackArgs{Path: "f", Whole: true, Count: true}, true)
	if err != nil || !bytes.Equal(have, data) || res.Blocks != 37 || res.Zero != 4 || res.Known != 0 || res.Scrubbed != 0 {
		t.Fatalf("have %+v, %v, %d bytes, equal %v", res, err, len(have), bytes.Equal(have, data))
	}
	if err := socket.Call(t.Context(), socket.Place{}, r.dir, control.OpScrub, &control.ScrubArgs{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	res, _, err = r.back(t.Context(), control.ReadBackArgs{Path: "f", Runs: [][2]uint64{{0, 7}, {40, 1}}, Count: true}, false)
	if err != nil || res.Blocks != 6 || res.Zero != 2 || res.Known != 31 || time.Since(time.Unix(res.Scrubbed, 0)) > time.Minute {
		t.Errorf("runs: have %+v, %v", res, err)
	}
	r.spoil(data[30*bs : 31*bs])
	res, have, err = r.back(t.Context(), control.ReadBackArgs{Path: "f", Whole: true}, true)
	if !errors.Is(err, format.ErrIO) || !slices.Equal(res.Bad, []transfer.Run{{First: 30, Count: 1}}) || !bytes.Equal(have, data[:30*bs]) {
		t.Errorf("damaged: have %+v, %v, %d bytes, want those before block 30", res, err, len(have))
	}
	res, _, err = r.back(t.Context(), control.ReadBackArgs{Path: "f", Runs: [][2]uint64{{29, 3}}}, false)
	if !errors.Is(err, format.ErrIO) || res.BadBlocks != 1 || res.Blocks != 2 {
		t.Errorf("damaged, a run: have %+v, %v", res, err)
	}
	w, err := r.put(t.Context(), "f", outside(t, data), 0, int64(len(data)))
	if err != nil || w.New != 1 || !slices.Equal(w.Fresh, []transfer.Run{{First: 30, Count: 1}}) {
		t.Errorf("stored again: have %+v, %v", w, err)
	}
	if _, have, err = r.back(t.Context(), control.ReadBackArgs{Path: "f", Whole: true}, true); err != nil || !bytes.Equal(have, data) {
		t.Errorf("healed: have %v, %d bytes", err, len(have))
	}
}

// spoil changes a byte of a stored block on the disk, behind the page cache's back: the cached page stays as it was.
func (r *rig) spoil(block []byte) {
	r.t.Helper()
	name := filepath.Join(r.dir, "ddfsblocks")
	all, err := os.ReadFile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	at := bytes.Index(all, block)
	if at < 0 || at%4096 != 0 {
		r.t.Fatalf("the block is not there: %d", at)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{^block[100]}, int64(at)+100); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		r.t.Fatal(err)
	}
}

// Who reads while a range is stored has the kernel remember old blocks: none of that is seen once the range was answered.
func TestReadersBesideARange(t *testing.T) {
	r := newRig(t)
	const size = 8 << 20
	r.mustPut("f", random(100, size))
	h, err := os.Open(r.path("f")) // through the page cache
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for i := range uint64(4) {
		src := outside(t, random(i, size))
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			for b := make([]byte, size); ; {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				if _, err := h.ReadAt(b, 0); err != nil {
					ended <- err
					return
				}
			}
		}()
		if _, err := r.put(t.Context(), "f", src, 0, size); err != nil {
			t.Error(err)
		}
		close(stop)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		have := make([]byte, size)
		if _, err := h.ReadAt(have, 0); err != nil || !bytes.Equal(have, random(i, size)) {
			t.Fatalf("round %d: %v, and the old content in parts", i, err)
		}
	}
}
