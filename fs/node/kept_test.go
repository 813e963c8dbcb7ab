package node

import (
	"bytes"
	"errors"
	"testing"
	"unsafe"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
)

// keptHandle reads bytes that tell their offset, or fails.
type keptHandle struct {
	Handle
	err error
}

func (h keptHandle) ReadKept(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = byte((off + int64(i)) >> 12)
	}
	return len(p), h.err
}

// TestKeptPool: each request has memory of its own until it is given back, also after an error; none is left over or made twice, and two of them are one huge page.
func TestKeptPool(t *testing.T) {
	fs := &FS{}
	if err := fs.kept.open(); err != nil {
		t.Fatal(err)
	}
	defer fs.kept.close()
	h := keptHandle{}
	for range 3 {
		var have []*kept
		for i := range keptBuffers {
			k, err := fs.readKept(h, maxRequest, int64(i)<<20)
			if k == nil || err != nil {
				t.Fatalf("request %d of %d: have %v, %v", i, keptBuffers, k, err)
			}
			have = append(have, k)
		}
		if k, err := fs.readKept(h, maxRequest, 0); k != nil || err != nil {
			t.Errorf("request beyond the memory: have %v, %v, want nothing", k, err)
		}
		seen := map[uintptr]bool{}
		want := make([]byte, maxRequest)
		for i, k := range have {
			keptHandle{}.ReadKept(want, int64(i)<<20)
			if k.Size() != maxRequest || !bytes.Equal(k.Slices()[0], want) {
				t.Errorf("request %d has other bytes than were read for it", i)
			}
			seen[uintptr(unsafe.Pointer(&k.buf[0]))/hugePage] = true
			k.Release()
		}
		if len(seen) != keptBuffers*maxRequest/hugePage {
			t.Errorf("memory in %d huge pages, want %d", len(seen), keptBuffers*maxRequest/hugePage)
		}
		h.err = errors.New("no")
		for range 2 * keptBuffers {
			if k, err := fs.readKept(h, maxRequest, 0); k != nil || err != h.err {
				t.Fatalf("a read that fails: have %v, %v", k, err)
			}
		}
		h.err = nil
	}
	if k, err := fs.readKept(h, keptLeast-1, 0); k != nil || err != nil {
		t.Errorf("a short request: have %v, %v, want nothing", k, err)
	}
}

// endHandle is at the end of its file: there is nothing to read, and what it shows is empty.
type endHandle struct {
	Handle
	shown emptyShown
}

type emptyShown struct{ out *int }

func (s emptyShown) Slices() [][]byte { return nil }
func (s emptyShown) Size() int        { return 0 }
func (s emptyShown) Release()         { *s.out-- }

func (h endHandle) ReadKept([]byte, int64) (int, error) { return 0, nil }
func (h endHandle) ReadAt([]byte, int64) (int, error)   { return 0, nil }
func (h endHandle) View(int, int64) Shown               { return nil }

func (h endHandle) ReadAhead(int, int64) Shown {
	*h.shown.out++
	return h.shown
}

// TestNothingRead: the library does not call Done for an answer without bytes, so that one must not keep memory.
func TestNothingRead(t *testing.T) {
	fs := &FS{}
	fs.shown.New = func() any { return &shownResult{pool: &fs.shown} }
	fs.results.New = func() any { return &readResult{pool: &fs.results} }
	if err := fs.kept.open(); err != nil {
		t.Fatal(err)
	}
	defer fs.kept.close()
	out := 0
	for _, direct := range []bool{false, true} {
		fh := fs.handles.add(&handle{data: endHandle{shown: emptyShown{&out}}, direct: direct, cached: !direct, raw: -1})
		for range 2 * keptBuffers {
			r, code := fs.Read(nil, &fusefs.ReadIn{Fh: fh, Offset: 1 << 20}, make([]byte, maxRequest))
			if code != fusefs.OK || r.Size() != 0 {
				t.Fatalf("have %v, %v, want an empty answer", r, code)
			}
		}
		if len(fs.kept.free) != keptBuffers {
			t.Errorf("direct %v: %d buffers are left, want %d", direct, len(fs.kept.free), keptBuffers)
		}
		if out != 0 {
			t.Errorf("direct %v: %d of what was shown is not given back", direct, out)
		}
	}
}
