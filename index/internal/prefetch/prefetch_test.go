package prefetch_test

import (
	"math/rand/v2"
	"testing"

	"tresor/index/internal/prefetch"
)

// TestChangesNothing has memory fetched everywhere in a slice, its last byte included.
func TestChangesNothing(t *testing.T) {
	p, w := make([]byte, 1000), make([]uint64, 1000)
	for i := range p {
		p[i], w[i] = byte(i), uint64(i)
	}
	for i := range p {
		prefetch.Byte(&p[i])
		prefetch.Word(&w[i])
		prefetch.ToWrite(&p[i])
	}
	for i := range p {
		if p[i] != byte(i) || w[i] != uint64(i) {
			t.Fatalf("number %d has changed to %d and %d", i, p[i], w[i])
		}
	}
}

// BenchmarkLookups reads all over memory that no cache holds, with and without having it fetched before.
func BenchmarkLookups(b *testing.B) {
	const bits = 26 // 512 MiB
	memory := make([]uint64, 1<<bits)
	at := make([]uint32, 1<<16)
	for i := range at {
		at[i] = rand.Uint32() >> (32 - bits)
	}
	for name, ahead := range map[string]int{"waiting": 0, "fetched before": 16} {
		b.Run(name, func(b *testing.B) {
			var sum uint64
			for i := 0; b.Loop(); i++ {
				if ahead > 0 {
					prefetch.Word(&memory[at[(i+ahead)%len(at)]])
				}
				sum += memory[(uint64(at[i%len(at)])+sum)%uint64(len(memory))] // each waits for the one before
			}
		})
	}
}
