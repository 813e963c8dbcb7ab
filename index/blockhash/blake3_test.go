package blockhash

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/blake3"
)

// Both ways to hash give the same for every length that has both.
func TestBlake3Wide(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, 40*subtreeBytes)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for n := subtreeBytes; n <= len(data); n += subtreeBytes {
		at := r.IntN(len(data) - n + 1) // no alignment
		if have, want := blake3Wide(data[at:at+n]), blake3.Sum256(data[at:at+n]); have != want {
			t.Fatalf("seed %d: %d bytes at %d: have %x, want %x", seed, n, at, have, want)
		}
	}
}

func BenchmarkBlake3(b *testing.B) {
	for _, n := range []int{16 << 10, 64 << 10, 128 << 10, 1 << 20} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * 7 >> 3)
		}
		for name, sum := range map[string]func([]byte) [32]byte{"wide": blake3Wide, "zeebo": func(p []byte) [32]byte { return blake3.Sum256(p) }} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					sum(data)
				}
			})
		}
	}
}
