package blockhash_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"tresor/index/blockhash"
)

// TestSumAll compares with Sum, block by block, for every choice among up to five blocks.
func TestSumAll(t *testing.T) {
	const size, most = 192, 5
	blocks := make([]byte, most*size)
	for i := range blocks {
		blocks[i] = byte(i * i >> 3)
	}
	for _, name := range blockhash.Names() {
		kind, err := blockhash.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			for n := range most + 1 {
				for choice := range 1 << n {
					out := slices.Repeat([]blockhash.Hash{{1}}, n)
					var asked []int
					kind.SumAll(blocks[:n*size], size, out, func(i int, block []byte) bool {
						asked = append(asked, i)
						if !bytes.Equal(block, blocks[i*size:(i+1)*size]) {
							t.Errorf("block %d: not its content", i)
						}
						return choice>>i&1 != 0
					})
					for i := range n {
						var want blockhash.Hash
						if choice>>i&1 != 0 {
							want = kind.Sum(blocks[i*size : (i+1)*size])
						}
						if out[i] != want {
							t.Errorf("%d blocks, choice %b: hash %d is %x, want %x", n, choice, i, out[i], want)
						}
					}
					if fmt.Sprint(asked) != fmt.Sprint([]int{0, 1, 2, 3, 4}[:n]) {
						t.Errorf("%d blocks: asked for %v", n, asked)
					}
				}
			}
			all := make([]blockhash.Hash, most)
			if kind.SumAll(blocks, size, all, nil); all[3] != kind.Sum(blocks[3*size:4*size]) {
				t.Error("without want: not all are hashed")
			}
			if n := testing.AllocsPerRun(3, func() { kind.SumAll(blocks, size, all, nil) }); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
