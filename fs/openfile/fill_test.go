package openfile_test

import (
	"bytes"
	"errors"
	"testing"
)

// What is filled in is as if it was written, whole chunks and odd ends, over old content and new, with and without workers and room.
func TestFill(t *testing.T) {
	for _, workers := range []int{0, 2} {
		r := newMemory(t, tiny(), workers)
		h := r.file("a")
		want := pattern(1, 5*4096+100)
		r.write(h, want, 0)
		fill := func(data []byte, off int64) {
			t.Helper()
			n, err := h.Fill(off, func(p []byte) (int, error) { return copy(p, data), nil })
			if n != len(data) || err != nil {
				t.Fatalf("fill: have %d, %v, want %d", n, err, len(data))
			}
			want = append(want, make([]byte, max(0, int(off)+len(data)-len(want)))...)
			copy(want[off:], data)
			r.assertContent(h, want)
		}
		fill(pattern(2, 2*4096+7), 4096) // inside
		fill(pattern(3, 3*4096), 5*4096) // over the end
		fill(pattern(4, 10), 20*4096)    // behind a hole
		fill(nil, 0)                     // nothing
		fill(pattern(5, 100*4096+1), 30*4096)
		fill(pattern(6, 30*4096), 140*4096) // little room is left
		if n, err := h.Fill(100, func([]byte) (int, error) { t.Error("called"); return 0, nil }); n != 0 || err == nil {
			t.Errorf("odd offset: have %d, %v", n, err)
		}
		broken := errors.New("broken")
		n, err := h.Fill(0, func(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{9}, 4096)), broken })
		if n != 4096 || !errors.Is(err, broken) {
			t.Errorf("an error of read: have %d, %v", n, err)
		}
		copy(want, bytes.Repeat([]byte{9}, 4096))
		if err := h.Sync(false); err != nil {
			t.Error(err)
		}
		r.assertContent(h, want)
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		r.close()
		if s, found := r.status(); s != 0 {
			t.Errorf("status %d: %q", s, found)
		}
	}
}
