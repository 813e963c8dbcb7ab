package bitmap_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"tresor/index/bitmap"
)

// lengths cover the places where bytes and words end.
var lengths = []uint64{0, 1, 2, 7, 8, 9, 63, 64, 65, 71, 72, 127, 128, 129, 200, 1000}

// TestDiskOrder pins the byte layout: the most significant bit of the first byte is block 0 (format page, section 5).
func TestDiskOrder(t *testing.T) {
	tests := []struct {
		bit  uint64
		want []byte
	}{{0, []byte{0x80, 0, 0}}, {1, []byte{0x40, 0, 0}}, {7, []byte{0x01, 0, 0}}, {8, []byte{0, 0x80, 0}}, {19, []byte{0, 0, 0x10}}}
	for _, tc := range tests {
		b := bitmap.New(20)
		b.Set(tc.bit)
		if !bytes.Equal(b.Bytes(), tc.want) {
			t.Errorf("bit %d of 20: have bytes %x, want %x", tc.bit, b.Bytes(), tc.want)
		}
		a := bitmap.NewAtomic(20)
		a.Set(tc.bit)
		if have := a.Bitmap().Bytes(); !bytes.Equal(have, tc.want) {
			t.Errorf("bit %d of 20, atomic: have bytes %x, want %x", tc.bit, have, tc.want)
		}
	}
	b, err := bitmap.FromBytes(16, []byte{0xC0, 0})
	if err != nil || !b.Get(0) || !b.Get(1) || b.Get(2) || b.Count() != 2 {
		t.Errorf("new volume, C0 00: have %v, count %d, error %v; want blocks 0 and 1", b, b.Count(), err)
	}
}

// fill sets about one bit in every sparse of b and of model.
func fill(rng *rand.Rand, b *bitmap.Bitmap, model []bool, sparse int) {
	for i := range model {
		if rng.IntN(sparse) == 0 {
			b.Set(uint64(i))
			model[i] = true
		}
	}
}

// checkModel compares everything that can be asked of b with a slice of bools.
func checkModel(t *testing.T, what string, b *bitmap.Bitmap, model []bool) {
	t.Helper()
	n := uint64(len(model))
	var count uint64
	for i, want := range model {
		if want {
			count++
		}
		if have := b.Get(uint64(i)); have != want {
			t.Fatalf("%s: bit %d of %d: have %v, want %v", what, i, n, have, want)
		}
	}
	if b.Count() != count || b.Len() != n || uint64(len(b.Bytes())) != (n+7)/8 {
		t.Fatalf("%s: have count %d, length %d, %d bytes; want %d, %d, %d", what, b.Count(), b.Len(), len(b.Bytes()), count, n, (n+7)/8)
	}
	for from := uint64(0); from <= n+1; from++ {
		for _, set := range []bool{true, false} {
			want := from
			for want < n && model[want] != set {
				want++
			}
			have, ok := b.NextClear(from)
			if set {
				have, ok = b.NextSet(from)
			}
			if ok != (want < n) || ok && have != want {
				t.Fatalf("%s: next bit %v from %d of %d: have %d, %v; want %d", what, set, from, n, have, ok, want)
			}
		}
	}
}

// checkRuns compares ClearRun with a plain walk.
func checkRuns(t *testing.T, what string, b *bitmap.Bitmap, model []bool) {
	t.Helper()
	n := uint64(len(model))
	for from := uint64(0); from <= n+1; from++ {
		for _, most := range []uint64{0, 1, 2, 63, 64, 65, 300, ^uint64(0)} {
			start := from
			for start < n && model[start] {
				start++
			}
			end := start
			for end < n && !model[end] && end-start < most {
				end++
			}
			haveStart, have := b.ClearRun(from, most)
			if want := end - min(start, end); have != want || have > 0 && haveStart != start {
				t.Fatalf("%s: run of up to %d from %d of %d: have %d at %d, want %d at %d", what, most, from, n, have, haveStart, want, start)
			}
		}
	}
}

// TestModel drives sets of awkward lengths beside a slice of bools.
func TestModel(t *testing.T) {
	const seed = 1234
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, n := range lengths {
		for _, sparse := range []int{1, 2, 40} {
			b, model := bitmap.New(n), make([]bool, n)
			fill(rng, b, model, sparse)
			for range n {
				i, set := rng.Uint64N(n), rng.IntN(2) == 0
				change := b.Clear
				if set {
					change = b.Set
				}
				if have, want := change(i), model[i] != set; have != want {
					t.Fatalf("seed %d: change of bit %d of %d to %v: have changed %v, want %v", seed, i, n, set, have, want)
				}
				model[i] = set
			}
			checkModel(t, "after changes", b, model)
			checkRuns(t, "after changes", b, model)
		}
	}
}

// TestBorrowedBytes: bits past the end and bytes past the need are neither counted, found nor changed.
func TestBorrowedBytes(t *testing.T) {
	for _, n := range lengths {
		memory := bytes.Repeat([]byte{0xFF}, int(n/8)+12)
		b, err := bitmap.FromBytes(n, memory)
		if err != nil {
			t.Fatal(err)
		}
		model := make([]bool, n)
		for i := range model {
			model[i] = true
		}
		checkModel(t, "all set", b, model)
		empty := bitmap.New(n)
		b.And(empty)
		checkModel(t, "all cleared", b, make([]bool, n))
		if !b.Equal(empty) || !empty.Equal(b) {
			t.Errorf("cleared set of %d with foreign bits: have not equal to an empty one, want equal", n)
		}
		for i := n; i < uint64(len(memory))*8; i++ {
			if memory[i/8]&(0x80>>(i%8)) == 0 {
				t.Errorf("set of %d over borrowed bytes: foreign bit %d was cleared, want it kept", n, i)
			}
		}
		if have := b.Clone(); !have.Equal(b) || !bytes.Equal(have.Bytes(), b.Bytes()) {
			t.Errorf("clone of a set of %d: have another set, want an equal one", n)
		}
		if n > 0 {
			memory[0] |= 0x80
			if b.Count() != 0 {
				t.Errorf("set of %d: have count %d before Recount, want the old one, 0", n, b.Count())
			}
			if b.Recount(); b.Count() != 1 || !b.Get(0) {
				t.Errorf("set of %d after a change from outside: have count %d, bit 0 %v; want 1, true", n, b.Count(), b.Get(0))
			}
		}
	}
}

// TestShortBytes: a bitmap cut off on the disk is an error, not a panic later.
func TestShortBytes(t *testing.T) {
	for _, tc := range []struct {
		n  uint64
		b  int
		ok bool
	}{{0, 0, true}, {1, 0, false}, {8, 1, true}, {9, 1, false}, {^uint64(0), 1000, false}, {^uint64(0) - 7, 0, false}} {
		if _, err := bitmap.FromBytes(tc.n, make([]byte, tc.b)); (err == nil) != tc.ok {
			t.Errorf("%d bits over %d bytes: have error %v, want success %v", tc.n, tc.b, err, tc.ok)
		}
	}
}

// TestOutOfRange: numbers past the end are clear and stay so.
func TestOutOfRange(t *testing.T) {
	b, a := bitmap.New(13), bitmap.NewAtomic(13)
	for _, i := range []uint64{13, 14, 15, 16, 64, 1 << 40, ^uint64(0)} {
		if b.Get(i) || b.Set(i) || b.Clear(i) || b.Get(i) || b.Count() != 0 {
			t.Errorf("bit %d of 13: have it set or changed, want clear", i)
		}
		if a.Get(i) || a.Set(i) || a.Clear(i) || a.Get(i) || a.Count() != 0 {
			t.Errorf("bit %d of 13, atomic: have it set or changed, want clear", i)
		}
		if _, ok := b.NextClear(i); ok {
			t.Errorf("next clear bit from %d of 13: have one, want none", i)
		}
		a.Each(i, func(i uint64) bool { t.Errorf("each from past the end: have bit %d, want none", i); return true })
	}
	if !bytes.Equal(b.Bytes(), []byte{0, 0}) {
		t.Errorf("after changes out of range: have %x, want zeros", b.Bytes())
	}
}
