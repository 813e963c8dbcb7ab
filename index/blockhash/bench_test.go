package blockhash_test

import (
	"fmt"
	"testing"

	"tresor/index/blockhash"
)

// BenchmarkSum gives the rate of every hash on one core, for the smallest and the largest common block.
func BenchmarkSum(b *testing.B) {
	for _, name := range []string{"TIGER", "SHA1", "BLAKE3", "BLAKE3-256"} {
		for _, size := range []int{4096, 131072} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				k, block := lookup(b, name), pattern(size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					k.Sum(block)
				}
			})
		}
	}
}

// BenchmarkSumPair gives the rate where the caller has two blocks at hand.
func BenchmarkSumPair(b *testing.B) {
	for _, size := range []int{4096, 131072} {
		b.Run(fmt.Sprintf("TIGER/%d", size), func(b *testing.B) {
			k, x, y := lookup(b, "TIGER"), pattern(size), pattern(size)
			b.SetBytes(2 * int64(size))
			b.ReportAllocs()
			for b.Loop() {
				k.SumPair(x, y)
			}
		})
	}
}

// BenchmarkIsZero measures blocks of zeros in the cache and beyond it, and a block that is not zero.
func BenchmarkIsZero(b *testing.B) {
	for _, size := range []int{4096, 131072, 1 << 28} {
		b.Run(fmt.Sprint("zeros/", size), func(b *testing.B) {
			block := make([]byte, size)
			for i := 0; i < size; i += 4096 {
				block[i] = 0 // touch the page: untouched ones share one page of memory
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				if !blockhash.IsZero(block) {
					b.Fatal("zeros are not zero")
				}
			}
		})
	}
	b.Run("data", func(b *testing.B) {
		block := pattern(131072)
		for b.Loop() {
			if blockhash.IsZero(block) {
				b.Fatal("data is zero")
			}
		}
	})
}
