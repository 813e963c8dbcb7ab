package pack_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"testing"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/pack"
)

// TestMoves holds the mapping against the words of the format page, address by address, on bitmaps of all kinds.
func TestMoves(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		n := 2 + rng.Uint64N(20)
		if rng.IntN(3) == 0 {
			n = 2 + rng.Uint64N(30_000)
		}
		used := bitmap.New(n)
		density := rng.Float64()
		for i := range n {
			if i < 2 || rng.Float64() < density {
				used.Set(i)
			}
		}
		checkMoves(t, used)
		if t.Failed() {
			t.Fatalf("%d blocks, %d used", n, used.Count())
		}
	}
}

func checkMoves(t *testing.T, used *bitmap.Bitmap) {
	t.Helper()
	u := used.Count()
	var free, above []uint64
	for i := range used.Len() {
		switch {
		case i < u && !used.Get(i):
			free = append(free, i)
		case i >= u && used.Get(i):
			above = append(above, i)
		}
	}
	first, total, to := pack.Moves(used)
	if first != u || total != uint64(len(above)) || len(free) != len(above) {
		t.Fatalf("have first %d, %d moves, want %d, %d (free %d)", first, total, u, len(above), len(free))
	}
	want := map[uint64]uint64{}
	list := pack.EachMove(used)
	for k := range above {
		want[above[k]] = free[k]
		if list[k] != [2]uint64{above[k], free[k]} {
			t.Fatalf("move %d: have %v, want %d to %d", k, list[k], above[k], free[k])
		}
	}
	for i := range used.Len() + 10 {
		w, moved := want[i]
		if have, ok := to(i); ok != moved || moved && have != w {
			t.Fatalf("block %d: have %d, %v, want %d, %v", i, have, ok, w, moved)
		}
	}
	after := pack.AfterMoves(used)
	for i := range used.Len() {
		if after.Get(i) != (i < u) {
			t.Fatalf("bitmap afterwards: block %d of %d is %v", i, u, after.Get(i))
		}
	}
}

func planBitmap() *bitmap.Bitmap {
	used := bitmap.New(300)
	for i := range uint64(300) {
		if i < 2 || i%3 == 0 {
			used.Set(i)
		}
	}
	return used
}

// TestPlan writes plans and reads them, whole, with any byte changed, cut, and made up with a right checksum.
func TestPlan(t *testing.T) {
	used := planBitmap()
	for _, copied := range []bool{false, true} {
		data := pack.MakePlan(used, 4096, copied, "/v/ddfsidx", "/dev/some\ndisk")
		have, is, again, err := pack.ParsePlan(data, 300, 4096)
		if err != nil || is != copied || !have.Equal(used) || !bytes.Equal(again, data) {
			t.Errorf("plan: have copied %v, %d used, %v", is, have.Count(), err)
		}
		for i := range data {
			bad := bytes.Clone(data)
			bad[i] ^= 0x10
			refused(t, bad)
			refused(t, data[:i])
			resealed := bytes.Clone(bad[:len(bad)-sha256.Size])
			sum := sha256.Sum256(resealed)
			// The checksum is right now: whatever is taken must be a plan of this volume.
			if used, _, _, err := pack.ParsePlan(append(resealed, sum[:]...), 300, 4096); err == nil && used.Len() != 300 {
				t.Errorf("byte %d changed: have a plan of %d blocks", i, used.Len())
			}
		}
		if _, _, _, err := pack.ParsePlan(data, 301, 4096); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("plan of another volume: have %v, want %v", err, format.ErrCorrupt)
		}
		if _, _, _, err := pack.ParsePlan(data, 300, 512); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("plan of another block size: have %v, want %v", err, format.ErrCorrupt)
		}
	}
}

func refused(t *testing.T, data []byte) {
	t.Helper()
	if _, _, _, err := pack.ParsePlan(data, 300, 4096); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("damaged plan: have %v, want %v", err, format.ErrCorrupt)
	}
}

// FuzzPlan feeds any bytes, with a right checksum behind them.
func FuzzPlan(f *testing.F) {
	data := pack.MakePlan(planBitmap(), 4096, true, "i", "b")
	f.Add(data[:len(data)-sha256.Size])
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		if used, _, _, err := pack.ParsePlan(append(data, sum[:]...), 300, 4096); err == nil && used.Len() != 300 {
			t.Errorf("have a plan of %d blocks", used.Len())
		}
	})
}
