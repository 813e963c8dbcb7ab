package command

import (
	"bytes"
	"encoding/binary"
)

// pattern is content that can be computed at any place by itself and that never repeats, unless the mask says so: 64-bit words of a table, each
// changed by a key that depends on place, file and seed. That costs little more than copying, so that the disk is what is measured.
type pattern struct {
	seed    uint64
	request int64  // bytes whose number the mask is laid over
	mask    uint64 // all ones: no two requests are the same
	table   *patternTable
}

// patternTable is the same for all places.
type patternTable [patternWords]uint64

// patternWords is how many words have the same key: 512 bytes, the smallest block of a volume.
const patternWords = 64

func newPattern(seed uint64, request int64, mask uint64) pattern {
	p := pattern{seed: seed, request: request, mask: mask, table: new(patternTable)}
	for i := range p.table {
		p.table[i] = mix(seed + uint64(i+1)*golden)
	}
	return p
}

// golden spreads counters over all 64 bits.
const golden = 0x9e3779b97f4a7c15

// fill computes the content of a file from off on.
func (p pattern) fill(b []byte, file int, off int64) {
	for len(b) > 0 {
		number, in := uint64(off/p.request)&p.mask, off%p.request
		n := min(int64(len(b)), p.request-in)
		key := mix(p.seed + golden*uint64(file+1))
		if p.mask != ^uint64(0) {
			key = mix(p.seed) // what is to be a duplicate is one in all files
		}
		p.table.fill(b[:n], mix(key+number), uint64(in))
		b, off = b[n:], off+n
	}
}

// fill writes the bytes from in on of the sequence of a key.
func (t *patternTable) fill(b []byte, key, in uint64) {
	for len(b) > 0 {
		group := mix(key + in/(8*patternWords)*golden)
		i := in / 8 % patternWords
		if odd := in % 8; odd != 0 || len(b) < 8 {
			var w [8]byte
			binary.LittleEndian.PutUint64(w[:], t[i]^group)
			n := copy(b, w[odd:])
			b, in = b[n:], in+uint64(n)
			continue
		}
		words := t[i:min(patternWords, i+uint64(len(b)/8))]
		for _, w := range words {
			binary.LittleEndian.PutUint64(b, w^group)
			b = b[8:]
		}
		in += uint64(8 * len(words))
	}
}

// mix is the finish of SplitMix64: every bit of x changes half of the result.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// differs returns the first place where two equally long pieces differ, -1 if none.
func differs(have, want []byte) int {
	if bytes.Equal(have, want) {
		return -1
	}
	for i := range have {
		if have[i] != want[i] {
			return i
		}
	}
	return -1
}
