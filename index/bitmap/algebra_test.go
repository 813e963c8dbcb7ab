package bitmap_test

import (
	"math/rand/v2"
	"testing"

	"tresor/index/bitmap"
)

// TestAlgebra compares And, AndNot and Or of sets of all pairs of lengths with slices of bools. Numbers past the end of
// the other set are not in it.
func TestAlgebra(t *testing.T) {
	const seed = 99
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ops := []struct {
		name  string
		apply func(b, o *bitmap.Bitmap)
		model func(x, y bool) bool
	}{
		{"and", (*bitmap.Bitmap).And, func(x, y bool) bool { return x && y }},
		{"and not", (*bitmap.Bitmap).AndNot, func(x, y bool) bool { return x && !y }},
		{"or", (*bitmap.Bitmap).Or, func(x, y bool) bool { return x || y }},
	}
	for _, op := range ops {
		for _, n := range lengths {
			for _, m := range lengths {
				b, x := bitmap.New(n), make([]bool, n)
				o, y := bitmap.New(m), make([]bool, m)
				fill(rng, b, x, 2)
				fill(rng, o, y, 2)
				clone := b.Clone()
				op.apply(b, o)
				for i := range x {
					x[i] = op.model(x[i], i < len(y) && y[i])
				}
				checkModel(t, op.name, b, x)
				checkModel(t, op.name+", the other", o, y)
				if last := b.Bytes(); n%8 != 0 && last[len(last)-1]<<(n%8) != 0 {
					t.Fatalf("%s of %d and %d: have last byte %#x, want no bit past the end", op.name, n, m, last[len(last)-1])
				}
				clone.Or(b)
				clone.And(b)
				if !clone.Equal(b) {
					t.Fatalf("%s of %d and %d: have a clone that differs after or and and, want it equal", op.name, n, m)
				}
			}
		}
	}
}

// TestEqual: length and every bit matter.
func TestEqual(t *testing.T) {
	for _, n := range lengths {
		a, b := bitmap.New(n), bitmap.New(n)
		if !a.Equal(b) || a.Equal(bitmap.New(n+1)) {
			t.Errorf("empty sets of %d: want equal, and not to one of %d", n, n+1)
		}
		for i := range n {
			a.Set(i)
			if a.Equal(b) {
				t.Errorf("sets of %d that differ in bit %d: have equal, want not", n, i)
			}
			b.Set((i + 1) % n)
			if n > 1 && a.Equal(b) {
				t.Errorf("sets of %d with bits %d and %d: have equal, want not", n, i, (i+1)%n)
			}
			a.Clear(i)
			b.Clear((i + 1) % n)
		}
	}
}

// TestCloneIsApart: changes of a clone are not seen in its origin, nor the other way round.
func TestCloneIsApart(t *testing.T) {
	a := bitmap.New(70)
	a.Set(3)
	b := a.Clone()
	b.Set(69)
	a.Clear(3)
	if a.Count() != 0 || b.Count() != 2 || a.Get(69) || !b.Get(3) {
		t.Errorf("clone: have counts %d and %d, want 0 and 2", a.Count(), b.Count())
	}
}
