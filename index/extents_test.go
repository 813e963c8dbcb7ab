package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"tresor/index/bitmap"
)

func newExtents(blocks uint64, blockSize int, lowest bool) (*extents, *bitmap.Bitmap) {
	used := bitmap.New(blocks)
	used.Set(0)
	used.Set(1)
	x := &extents{}
	x.init(used, blockSize, lowest)
	return x, used
}

// grab takes a run as the allocator does.
func grab(t *testing.T, x *extents, key, want uint64) (start, n uint64) {
	t.Helper()
	start, n = x.next(key, want)
	if n > want {
		t.Fatalf("wanted %d blocks, got %d", want, n)
	}
	for i := start; i < start+n; i++ {
		if !x.used.Set(i) {
			t.Fatalf("block %d was handed out twice, or does not exist", i)
		}
	}
	return start, n
}

// TestExtentsRandom takes and frees at random: every block handed out is free, and the volume is full only when no block is left.
func TestExtentsRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("TRESOR_SEED=%d", seed)
	for round := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, round))
		size := 2 + rnd.Uint64N(1<<(4+round%12))
		x, used := newExtents(size, 4096<<(round%6), round%5 == 0)
		for range 400 {
			if _, n := grab(t, x, rnd.Uint64N(24), 1+rnd.Uint64N(max(size/8, 2))); n == 0 && used.Count() < used.Len() {
				t.Fatalf("round %d: no block of %d, %d are free", round, size, used.Len()-used.Count())
			}
			for range rnd.IntN(3) {
				if size > 2 {
					used.Clear(2 + rnd.Uint64N(size-2))
				}
			}
			switch rnd.IntN(40) {
			case 0:
				for i := uint64(2); i < size; i++ {
					if rnd.IntN(2) == 0 {
						used.Clear(i)
					}
				}
				x.freed()
			case 1:
				x.rewind()
			}
		}
		for used.Count() < used.Len() {
			if _, n := grab(t, x, rnd.Uint64N(24), 7); n == 0 {
				t.Fatalf("round %d: not the last blocks: %d are free", round, used.Len()-used.Count())
			}
		}
	}
}

// TestLargeRunsFirst has holes of up to 8 blocks in the first half: they are filled only when the second is, and then they are.
func TestLargeRunsFirst(t *testing.T) {
	const size = 1 << 16
	x, used := newExtents(size, 128<<10, false)
	for i := uint64(2); i < size/2; i++ {
		if i%16 < 8 {
			used.Set(i)
		}
	}
	for used.Count() < size/4+size/2-64 {
		if start, n := grab(t, x, 0, 8); start < size/2-8 {
			t.Fatalf("a hole at %d (%d blocks) was filled while there was a run of %d blocks", start, n, size/2)
		}
	}
	for used.Count() < size {
		if _, n := grab(t, x, 0, 8); n == 0 {
			t.Fatalf("%d blocks are free, none was handed out", size-used.Count())
		}
	}
}

// TestLowestFirst is reuse_asap: after a reclaim the holes at the front come first.
func TestLowestFirst(t *testing.T) {
	x, used := newExtents(1<<12, 128<<10, true)
	for range 100 {
		grab(t, x, 5, 8)
	}
	used.Clear(7)
	used.Clear(40)
	x.rewind()
	for _, want := range []uint64{7, 40, 802} {
		if start, _ := grab(t, x, 5, 8); start != want {
			t.Errorf("have block %d, want %d", start, want)
		}
	}
}

// TestStreamsLieApart writes four files at once, a MiB each in turn: each lies in long runs.
func TestStreamsLieApart(t *testing.T) {
	const size, each = 1 << 14, 1 << 11
	x, _ := newExtents(size, 128<<10, false)
	var jumps, last [4]uint64
	for done := uint64(0); done < each; done += 8 {
		for s := range uint64(4) {
			for left := uint64(8); left > 0; {
				start, n := grab(t, x, s+1, left)
				if n == 0 {
					t.Fatal("no block left")
				}
				if start != last[s] {
					jumps[s]++
				}
				last[s], left = start+n, left-n
			}
		}
	}
	// 16 MiB in common, where each MiB is a run, then one each 8 MiB.
	if most := uint64(16 + each/64); max(jumps[0], jumps[1], jumps[2], jumps[3]) > most {
		t.Errorf("runs of the streams: have %v, want %d at most", jumps, most)
	}
}

// TestSmallFilesLieTogether: files too small to deserve room of their own follow one another.
func TestSmallFilesLieTogether(t *testing.T) {
	x, _ := newExtents(1<<16, 128<<10, false)
	for i := range uint64(5000) {
		for b := range uint64(3) {
			if start, _ := grab(t, x, i+1, 1); start != 2+3*i+b {
				t.Fatalf("block %d of file %d is at %d, want %d", b, i, start, 2+3*i+b)
			}
		}
	}
}

// TestSearchIsBounded takes the worst volume, in which every other block is free, and one that is full but for its end.
func TestSearchIsBounded(t *testing.T) {
	const size = 1 << 20
	for name, free := range map[string]func(i uint64) bool{
		"every other": func(i uint64) bool { return i%2 == 0 },
		"by fours":    func(i uint64) bool { return i%64 < 4 },
		"the end":     func(i uint64) bool { return i > size-1000 },
	} {
		t.Run(fmt.Sprint(name), func(t *testing.T) {
			x, used := newExtents(size, 4096, false)
			for i := range uint64(size) {
				if i > 1 && !free(i) {
					used.Set(i)
				}
			}
			taken := uint64(0)
			for used.Count() < size {
				before := x.looked
				if _, n := grab(t, x, 1+taken%3, 16); n == 0 {
					t.Fatal("no block, and the volume is not full")
				}
				if n := x.looked - before; n > 2*searchSteps {
					t.Fatalf("one search looked at %d runs, want %d at most", n, 2*searchSteps)
				}
				taken++
			}
			if x.looked > 16*taken+64*searchSteps {
				t.Errorf("%d searches looked at %d runs", taken, x.looked)
			}
		})
	}
}
