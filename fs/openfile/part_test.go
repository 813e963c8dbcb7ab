package openfile

import (
	"math/rand/v2"
	"testing"
)

// TestAddPart draws parts and compares with a map of bytes.
func TestAddPart(t *testing.T) {
	const size = 40
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var parts []part
		var have [size + 1]bool
		for range random.IntN(12) {
			lo := random.IntN(size)
			hi := lo + 1 + random.IntN(min(6, size-lo))
			parts = addPart(parts, part{lo, hi})
			for i := lo; i < hi; i++ {
				have[i] = true
			}
			at := 0
			for _, p := range parts {
				for ; at < p.lo; at++ {
					if have[at] {
						t.Fatalf("%v lacks byte %d", parts, at)
					}
				}
				for ; at < p.hi; at++ {
					if !have[at] {
						t.Fatalf("%v has byte %d", parts, at)
					}
				}
				if have[at] {
					t.Fatalf("%v: parts touch at %d", parts, at)
				}
			}
			n := 0
			for n < size && have[n] {
				n++
			}
			if !coversTo(parts, int64(n)) && n > 0 || coversTo(parts, int64(n+1)) {
				t.Fatalf("%v: covers %d bytes", parts, n)
			}
		}
	}
}
