package openfile_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/format"
)

const aheadRequest = 128 << 10

func newAhead(t *testing.T) (*memory, *openfile.Handle, []byte) {
	t.Helper()
	r := newMemory(t, format.CreateOptions{Hash: "TIGER", BlockSize: 32 << 10, Size: 400 * (32 << 10), Overflow: 1.3}, 2)
	h := r.file("a")
	content := make([]byte, 10*aheadRequest-5000)
	rand.NewChaCha8([32]byte{1}).Read(content)
	r.write(h, content, 0)
	return r, h, content
}

// next reads a request as a mount does and tells whether it was there already.
func next(t *testing.T, h *openfile.Handle, off int) (p []byte, ahead bool) {
	t.Helper()
	if a := h.ReadAhead(aheadRequest, int64(off)); a != nil {
		defer a.Release()
		return slices.Clone(a.Slices()[0]), true
	}
	p = make([]byte, aheadRequest)
	n, err := h.ReadAt(p, int64(off))
	if err != nil {
		t.Fatalf("read at %d: %v", off, err)
	}
	return p[:n], false
}

// TestReadAhead reads to the end: from the third request on all is there already, and right.
func TestReadAhead(t *testing.T) {
	r, h, content := newAhead(t)
	var all []byte
	for i := range 10 {
		p, ahead := next(t, h, i*aheadRequest)
		if ahead != (i >= 2) {
			t.Errorf("request %d: read ahead %v", i, ahead)
		}
		all = append(all, p...)
	}
	if !bytes.Equal(all, content) {
		t.Error("content: not what was written")
	}
	if _, ahead := next(t, h, 10*aheadRequest); ahead {
		t.Error("behind the end something was read ahead")
	}
	if h.ReadAhead(4096, 0) != nil {
		t.Error("a small request was read ahead")
	}
	next(t, h, 0)
	next(t, h, aheadRequest) // leaves one behind that nobody takes
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if n := r.m.SpareAhead(); n != openfile.AheadBuffers {
		t.Errorf("%d buffers are left, want %d", n, openfile.AheadBuffers)
	}
	r.close()
}

// TestReadAheadIsNeverStale changes the file in every way after something was read ahead.
func TestReadAheadIsNeverStale(t *testing.T) {
	const at = 2 * aheadRequest // is read ahead when the change comes
	new := bytes.Repeat([]byte{0xAA}, 64<<10)
	for name, change := range map[string]func(r *memory, h *openfile.Handle) error{
		"whole blocks": func(_ *memory, h *openfile.Handle) error { _, err := h.WriteAt(new, at); return err },
		"a few bytes":  func(_ *memory, h *openfile.Handle) error { _, err := h.WriteAt(new[:7], at+50); return err },
		"pages":        func(_ *memory, h *openfile.Handle) error { _, err := h.WritePages(new[:4096], at); return err },
		"another handle": func(r *memory, _ *openfile.Handle) error {
			h := r.file("a")
			defer h.Close()
			_, err := h.WriteAt(new, at)
			return err
		},
		"truncate":       func(_ *memory, h *openfile.Handle) error { return h.File().Truncate(at + 100) },
		"truncate twice": func(_ *memory, h *openfile.Handle) error { h.File().Truncate(at); return h.File().Truncate(at + 1000) },
		"punch": func(_ *memory, h *openfile.Handle) error {
			return h.File().Allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at+10, 50000)
		},
		"clone": func(_ *memory, h *openfile.Handle) error {
			_, err := h.File().CopyFrom(h.File(), 0, at, 100000)
			return err
		},
		"ingest": func(r *memory, _ *openfile.Handle) error {
			h := r.file("a")
			defer h.Close()
			return h.NewIngest().Put(slices.Clone(new), at)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, h, _ := newAhead(t)
			next(t, h, 0)
			next(t, h, aheadRequest)
			if err := change(r, h); err != nil {
				t.Fatal(err)
			}
			have, ahead := next(t, h, at)
			want := make([]byte, aheadRequest)
			n, err := h.ReadAt(want, at)
			if err != nil || ahead || !bytes.Equal(have, want[:n]) {
				t.Errorf("what was read before the change was served: %v, %v, equal %v", ahead, err, bytes.Equal(have, want[:n]))
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			r.close()
		})
	}
}

// TestReadAheadBesideWriters: a reader never sees less than what a writer was told is written, nor less than it has seen before.
func TestReadAheadBesideWriters(t *testing.T) {
	r, h, content := newAhead(t)
	const places = 9
	var written [places]atomic.Uint64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range places {
		w := r.file("a")
		wg.Go(func() {
			defer w.Close()
			var p [8]byte
			for n := uint64(1); !stop.Load(); n++ {
				binary.LittleEndian.PutUint64(p[:], n)
				if _, err := w.WriteAt(p[:], int64(i*aheadRequest)); err != nil {
					t.Error(err)
					return
				}
				written[i].Store(n)
				for spin := 0; spin < 1000 && n%16 == 0 && !stop.Load(); spin++ { // let something be read ahead at times
					_ = h.File().Size()
				}
			}
		})
	}
	binary.LittleEndian.PutUint64(content, 0)
	hits := 0
	var seen [places]uint64
	for pass := range 150 {
		for i := range places {
			least := max(written[i].Load(), seen[i])
			p, ahead := next(t, h, i*aheadRequest)
			if have := binary.LittleEndian.Uint64(p); least > 0 && have < least {
				t.Fatalf("pass %d, place %d: have %d, want at least %d (read ahead: %v)", pass, i, have, least, ahead)
			} else if least > 0 {
				seen[i] = have
			}
			if ahead {
				hits++
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d of %d requests were read ahead", hits, 150*places)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	r.close()
}
