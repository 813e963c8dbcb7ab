package aging

import (
	"encoding/binary"
	"math/rand/v2"
)

// image is a disk image that changes: what counts of a block is which content it has, so a number stands for it.
type image struct {
	content   []uint64
	next      uint64 // the next content that nothing has had yet
	blockSize int
	rnd       *rand.Rand
	pattern   []byte
}

func newImage(seed, number uint64, blocks, blockSize int) *image {
	m := &image{blockSize: blockSize, rnd: rand.New(rand.NewPCG(seed, number)), pattern: make([]byte, blockSize)}
	fill := rand.NewChaCha8([32]byte{byte(seed), byte(number)})
	_, _ = fill.Read(m.pattern)
	m.content = make([]uint64, blocks)
	for i := range m.content {
		m.content[i] = m.fresh()
	}
	return m
}

func (m *image) fresh() uint64 {
	m.next++
	return m.next
}

// change makes the next generation: a share of the blocks gets new content, in groups of 1 to 8, all over the image; a
// thousandth of it is appended; and a few extents move elsewhere, as when files are rewritten by a defragmentation or an update. It
// returns the content from which on everything is new.
func (m *image) change(share float64) (from uint64) {
	from = m.next + 1
	n := len(m.content)
	for left := int(share * float64(n)); left > 0; {
		group := min(1+m.rnd.IntN(8), left)
		at := m.rnd.IntN(n - group)
		for i := range group {
			m.content[at+i] = m.fresh()
		}
		left -= group
	}
	for range 4 {
		size := 1 + m.rnd.IntN(16)
		a, b := m.rnd.IntN(n-size), m.rnd.IntN(n-size)
		for i := range size {
			m.content[a+i], m.content[b+i] = m.content[b+i], m.content[a+i]
		}
	}
	for range max(n/1000, 1) {
		m.content = append(m.content, m.fresh())
	}
	return from
}

// put writes the content of the blocks from first on into p, whole blocks.
func (m *image) put(p []byte, first int) {
	for ; len(p) > 0; first++ {
		copy(p[:m.blockSize], m.pattern)
		for off := 0; off < m.blockSize; off += 512 {
			binary.LittleEndian.PutUint64(p[off:], m.content[first]*0x9e3779b97f4a7c15)
		}
		p = p[m.blockSize:]
	}
}
