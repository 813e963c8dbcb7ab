package node

import (
	"bytes"
	"errors"
	"testing"
	"unsafe"
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
