package openfile_test

import (
	"testing"

	"tresor/fs/openfile"
)

// TestReadInOrderAtTheLargestOffset reads the end of the largest file there can be, in order: what would follow lies behind any offset.
func TestReadInOrderAtTheLargestOffset(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("a")
	if err := h.File().Truncate(openfile.MaxSize); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4096)
	for off := int64(openfile.MaxSize - 5*4096); off < openfile.MaxSize; off += 4096 {
		if n, err := h.ReadAt(p, off); err != nil || n == 0 {
			t.Errorf("read at %d: %d bytes, %v", off, n, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	r.abandon()
}
