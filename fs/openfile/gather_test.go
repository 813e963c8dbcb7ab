package openfile_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"tresor/index/format"
)

// TestGather writes small pieces all over a file, out of order: every block is read, hashed and stored once, however many pieces it got.
func TestGather(t *testing.T) {
	const block, blocks, pieces = 32 << 10, 12, 9
	for _, workers := range []int{0, 2} {
		r := newMemory(t, format.CreateOptions{Hash: "TIGER", BlockSize: block, Size: 100 * block, Overflow: 1.3}, workers)
		h := r.file("a")
		want := pattern(1, blocks*block)
		r.write(h, want, 0)
		if err := h.Sync(false); err != nil {
			t.Fatal(err)
		}
		before := r.vol.Stats()
		random := rand.New(rand.NewPCG(seed(t), 1))
		for i, at := range random.Perm(blocks * pieces) {
			off := at/pieces*block + at%pieces*3000 + random.IntN(500)
			p := pattern(byte(i), 1+random.IntN(2000))
			r.write(h, p, int64(off))
			copy(want[off:], p)
			if i%10 == 0 {
				r.assertContent(h, want)
			}
		}
		if now := r.vol.Stats(); now.Hashed != before.Hashed {
			t.Errorf("workers %d: %d blocks were hashed before the flush", workers, now.Hashed-before.Hashed)
		}
		if h.File().Buffers() != blocks {
			t.Errorf("workers %d: %d block buffers, want %d", workers, h.File().Buffers(), blocks)
		}
		if err := h.Flush(); err != nil {
			t.Fatal(err)
		}
		after := r.vol.Stats()
		if n := after.Hashed - before.Hashed; n != blocks {
			t.Errorf("workers %d: %d blocks were hashed, want %d", workers, n, blocks)
		}
		// One sync serves what gathered while the one before ran, so there is one for each at most.
		if n := after.Syncs - before.Syncs; n == 0 || n > blocks {
			t.Errorf("workers %d: %d syncs for %d blocks that hold old bytes", workers, n, blocks)
		}
		if have := r.m.Counted(); have != 0 {
			t.Errorf("workers %d: %d bytes of block buffers are counted after the flush", workers, have)
		}
		r.assertContent(h, want)
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		r.close()
		if s, found := r.status(); s != 0 {
			t.Errorf("check: status %d, %q", s, found)
		}
	}
}

// TestFullestFirst: when there are too many block buffers in one file, those go that have gathered most.
func TestFullestFirst(t *testing.T) {
	r := newBudget(t, 2)
	h := r.file("a")
	want := pattern(1, 900*budgetBlock)
	r.write(h, want, 0)
	if err := h.Sync(false); err != nil {
		t.Fatal(err)
	}
	put := func(block, page int) {
		p := pattern(byte(block+page), 4096)
		off := block*budgetBlock + page*4096
		r.write(h, p, int64(off))
		copy(want[off:], p)
		assertBudget(t, r.m, "block")
	}
	for page := range 5 { // four blocks that gathered much
		for block := range 4 {
			put(block*7, page)
		}
	}
	small := 0
	for ; h.File().Buffers() == 4+small && small < 300; small++ {
		put(100+small, 0)
	}
	for range 8 { // the four have room for more than these
		put(100+small, 0)
		small++
	}
	if n := h.File().Buffers(); n < small || n >= small+4 {
		t.Errorf("%d block buffers are left of %d small and 4 full ones: not the full ones went", n, small)
	}
	r.assertContent(h, want)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	r.close()
}

// TestOldBuffersOfABusyFile: what was written long ago is stored although the file is being written to elsewhere.
func TestOldBuffersOfABusyFile(t *testing.T) {
	const age = 50 * time.Millisecond
	r := newMemory(t, tiny(), 2)
	h := r.file("a")
	for young := false; !young; { // a machine that stands still meanwhile has it grow old: once more
		r.write(h, pattern(1, 100), 0)
		time.Sleep(age)
		written := time.Now()
		r.write(h, pattern(2, 100), 3*4096)
		r.m.FlushOlder(age)
		young = time.Since(written) < age
	}
	if n := h.File().Buffers(); n != 1 {
		t.Errorf("%d block buffers are left, want that of the last write", n)
	}
	r.m.FlushOlder(0)
	if n := h.File().Buffers(); n != 0 {
		t.Errorf("%d block buffers are left, want none", n)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	r.close()
}
