package openfile_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"tresor/index/format"
)

// TestFreshReads: a read never shows less than the writes that were complete when it began, while parts of a block go from
// its buffer into the pipeline under it. A writer numbers the parts of two blocks; readers compare.
func TestFreshReads(t *testing.T) {
	const parts, size, writes = 16, 512, 30000
	r := newRig(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: parts / 2 * size, Size: 200 << 20, Overflow: 1.3}, 2)
	h := r.file("file")
	defer h.Close()
	var complete [parts]atomic.Uint64
	var stop atomic.Bool
	var readers sync.WaitGroup
	for seed := range uint64(3) {
		readers.Go(func() {
			random, p := rand.New(rand.NewPCG(seed, 0)), make([]byte, size)
			for !stop.Load() {
				i := random.IntN(parts)
				want := complete[i].Load()
				n, err := h.ReadAt(p, int64(i)*size)
				if err != nil || n < size && want > 0 {
					t.Errorf("read part %d: %d bytes, %v, want %d", i, n, err, size)
					return
				}
				if have := binary.LittleEndian.Uint64(p); n == size && have < want {
					t.Errorf("read part %d: write number %d, want %d or later", i, have, want)
					return
				}
			}
		})
	}
	random, p := rand.New(rand.NewPCG(9, 0)), make([]byte, size)
	for n := uint64(1); n <= writes && !t.Failed(); n++ {
		i := random.IntN(parts)
		binary.LittleEndian.PutUint64(p, n)
		if _, err := h.WriteAt(p, int64(i)*size); err != nil {
			t.Errorf("write part %d: %v", i, err)
			break
		}
		complete[i].Store(n)
	}
	stop.Store(true)
	readers.Wait()
}
