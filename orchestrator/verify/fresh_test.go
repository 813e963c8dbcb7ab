package verify

import (
	"math/rand/v2"
	"slices"
	"testing"

	"tresor/orchestrator"
)

// TestSplit: the parts of a list are the list, and none is longer than asked for.
func TestSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var list []orchestrator.Blocks
		var want []uint64
		at := uint64(0)
		for range r.IntN(6) {
			b := orchestrator.Blocks{First: at + uint64(r.IntN(3)), Count: 1 + r.Uint64N(9)}
			at = b.First + b.Count
			list = append(list, b)
			for n := range b.Count {
				want = append(want, b.First+n)
			}
		}
		before := slices.Clone(list)
		n := 1 + r.Uint64N(12)
		var have []uint64
		for rest := list; len(rest) > 0; {
			var part []orchestrator.Blocks
			part, rest = split(rest, n)
			if c := count(part); c == 0 || c > n || c < n && len(rest) > 0 {
				t.Fatalf("%v in parts of %d: a part of %d", list, n, c)
			}
			for _, b := range part {
				for i := range b.Count {
					have = append(have, b.First+i)
				}
			}
		}
		if !slices.Equal(have, want) || !slices.Equal(list, before) {
			t.Fatalf("%v in parts of %d: have %v", before, n, have)
		}
	}
}
