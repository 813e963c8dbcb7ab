package bitmap_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"tresor/index/bitmap"
)

// TestAtomicModel compares with a slice of bools, one goroutine.
func TestAtomicModel(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, n := range lengths {
		a, model := bitmap.NewAtomic(n), make([]bool, n)
		for range 3 * n {
			i := rng.Uint64N(n)
			if set := rng.IntN(3) > 0; set {
				if have := a.Set(i); have == model[i] {
					t.Fatalf("set bit %d of %d: have changed %v, want %v", i, n, have, !model[i])
				}
				model[i] = true
			} else {
				if have := a.Clear(i); have != model[i] {
					t.Fatalf("clear bit %d of %d: have changed %v, want %v", i, n, have, model[i])
				}
				model[i] = false
			}
		}
		checkModel(t, "copy of an atomic set", a.Bitmap(), model)
		for from := uint64(0); from <= n+1; from++ {
			var want, have []uint64
			for i := from; i < n; i++ {
				if model[i] {
					want = append(want, i)
				}
			}
			a.Each(from, func(i uint64) bool { have = append(have, i); return true })
			if !slices.Equal(have, want) {
				t.Fatalf("each from %d of %d: have %v, want %v", from, n, have, want)
			}
		}
		if a.Len() != n || a.Count() != a.Bitmap().Count() {
			t.Errorf("set of %d: have length %d, count %d, want count %d", n, a.Len(), a.Count(), a.Bitmap().Count())
		}
	}
}

// TestEachStops: the walk ends where the function says so.
func TestEachStops(t *testing.T) {
	a := bitmap.NewAtomic(200)
	for _, i := range []uint64{3, 60, 61, 130, 199} {
		a.Set(i)
	}
	var have []uint64
	a.Each(4, func(i uint64) bool { have = append(have, i); return i < 130 })
	if want := []uint64{60, 61, 130}; !slices.Equal(have, want) {
		t.Errorf("each from 4, up to 130: have %v, want %v", have, want)
	}
}

// TestAtomicConcurrent lets goroutines race for every bit: exactly one of them sets it, exactly one clears it.
func TestAtomicConcurrent(t *testing.T) {
	const n, workers = 5000, 8
	a := bitmap.NewAtomic(n)
	race := func(change func(uint64) bool) (won int64) {
		var total atomic.Int64
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range uint64(n) {
					if change((i + uint64(w)*7) % n) {
						total.Add(1)
					}
				}
			})
		}
		wg.Wait()
		return total.Load()
	}
	if won := race(a.Set); won != n || a.Count() != n {
		t.Errorf("set by %d goroutines: have %d winners, count %d, want %d", workers, won, a.Count(), n)
	}
	if won := race(a.Clear); won != n || a.Count() != 0 {
		t.Errorf("cleared by %d goroutines: have %d winners, count %d, want %d and 0", workers, won, a.Count(), n)
	}
}
