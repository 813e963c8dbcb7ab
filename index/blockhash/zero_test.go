package blockhash_test

import (
	"testing"

	"tresor/index/blockhash"
)

// TestIsZero puts one bit at every place of blocks of many lengths, within larger memory that is not zero.
func TestIsZero(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 15, 16, 17, 63, 64, 65, 511, 512, 4095, 4096, 4097, 8192, 12293} {
		for _, start := range []int{0, 1, 5} {
			outside := make([]byte, start+size+9)
			for i := range outside {
				outside[i] = 0xFF
			}
			block := outside[start : start+size]
			clear(block)
			if !blockhash.IsZero(block) {
				t.Errorf("%d zeros at %d: have not zero, want zero", size, start)
			}
			for i := range block {
				block[i] = 1 << (i % 8)
				if blockhash.IsZero(block) {
					t.Errorf("%d zeros at %d with bit %d of byte %d set: have zero, want not zero", size, start, i%8, i)
				}
				block[i] = 0
			}
		}
	}
}

// TestNullHash covers what the null hash and the order of hashes mean to the index.
func TestNullHash(t *testing.T) {
	var h blockhash.Hash
	if !h.IsNull() || h.Prefix() != 0 {
		t.Errorf("null hash: have IsNull %v, prefix %d; want true, 0", h.IsNull(), h.Prefix())
	}
	for i := range h {
		var h blockhash.Hash
		h[i] = 0x80
		if h.IsNull() {
			t.Errorf("hash with byte %d set: have null, want not null", i)
		}
		if have := h.Compare(blockhash.Hash{}); have != 1 {
			t.Errorf("hash with byte %d set against the null hash: have %d, want 1", i, have)
		}
	}
	h = blockhash.Hash{1, 2, 3, 4, 5, 6, 7, 8, 9}
	if have, want := h.Prefix(), uint64(0x0102030405060708); have != want {
		t.Errorf("prefix of %x: have %#x, want %#x", h, have, want)
	}
	if a, b := (blockhash.Hash{0, 0xFF}), (blockhash.Hash{1}); a.Compare(b) != -1 || b.Compare(a) != 1 || a.Compare(a) != 0 {
		t.Errorf("compare %x and %x: have %d, %d, want -1, 1", a, b, a.Compare(b), b.Compare(a))
	}
}
