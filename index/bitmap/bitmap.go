// Package bitmap owns bit sets over block numbers: Bitmap, which has the byte layout of the used-block map on disk and
// knows its population, and Atomic, which many goroutines may mark at once.
//
// Bit i of a Bitmap is bit 7-i%8 of byte i/8: the most significant bit of the first byte is block 0 (format page,
// section 5). Searches look at 64 blocks at a time. Bits past the last block, which the last byte may have, are never
// reported, counted or changed. Numbers out of range are no error: such a bit is clear and stays so.
package bitmap

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// wordBytes and wordBits are the size of the unit of searches.
const (
	wordBytes = 8
	wordBits  = 64
)

// Bitmap is a set of the numbers below Len. It is not safe for concurrent use.
type Bitmap struct {
	bytes []byte // exactly bytesFor(n)
	n     uint64 // bits
	count uint64 // bits set, kept up to date by every change
}

// bytesFor returns the bytes that n bits take.
func bytesFor(n uint64) uint64 { return n/8 + (n%8+7)/8 }

// New returns an empty set of n numbers.
func New(n uint64) *Bitmap { return &Bitmap{bytes: make([]byte, bytesFor(n)), n: n} }

// FromBytes returns a set of n numbers over b, which it aliases and which may be longer than needed. It counts once; who
// changes b otherwise calls Recount. The error of a short b names both lengths.
func FromBytes(n uint64, b []byte) (*Bitmap, error) {
	need := bytesFor(n)
	if uint64(len(b)) < need {
		return nil, fmt.Errorf("bitmap of %d bits: want %d bytes, have %d", n, need, len(b))
	}
	m := &Bitmap{bytes: b[:need:need], n: n}
	m.Recount()
	return m, nil
}

// Len returns the number of bits.
func (b *Bitmap) Len() uint64 { return b.n }

// Count returns the number of bits set, at no cost.
func (b *Bitmap) Count() uint64 { return b.count }

// Bytes returns the set as stored on disk, (Len+7)/8 bytes, aliased.
func (b *Bitmap) Bytes() []byte { return b.bytes }

// Get tells whether bit i is set.
func (b *Bitmap) Get(i uint64) bool {
	return i < b.n && b.bytes[i/8]&(0x80>>(i%8)) != 0
}

// Set sets bit i and tells whether it was clear.
func (b *Bitmap) Set(i uint64) bool {
	if i >= b.n || b.Get(i) {
		return false
	}
	b.bytes[i/8] |= 0x80 >> (i % 8)
	b.count++
	return true
}

// Clear clears bit i and tells whether it was set.
func (b *Bitmap) Clear(i uint64) bool {
	if !b.Get(i) {
		return false
	}
	b.bytes[i/8] &^= 0x80 >> (i % 8)
	b.count--
	return true
}

// words returns the number of words that cover all bits.
func (b *Bitmap) words() uint64 { return b.n/wordBits + (b.n%wordBits+wordBits-1)/wordBits }

// mask returns the bits of word w that are numbers of the set.
func (b *Bitmap) mask(w uint64) uint64 {
	if rest := b.n - w*wordBits; rest < wordBits {
		return ^(^uint64(0) >> rest)
	}
	return ^uint64(0)
}

// load returns word w, the first of its numbers in the most significant bit. Bits past the end are clear.
func (b *Bitmap) load(w uint64) uint64 {
	p := b.bytes[w*wordBytes:]
	if len(p) >= wordBytes {
		return binary.BigEndian.Uint64(p) & b.mask(w)
	}
	var last [wordBytes]byte
	copy(last[:], p)
	return binary.BigEndian.Uint64(last[:]) & b.mask(w)
}

// store writes the numbers of word w, and leaves foreign bits of the last byte as they are.
func (b *Bitmap) store(w, v uint64) {
	var word [wordBytes]byte
	p := b.bytes[w*wordBytes:]
	n := copy(word[:], p)
	m := b.mask(w)
	binary.BigEndian.PutUint64(word[:], binary.BigEndian.Uint64(word[:])&^m|v&m)
	copy(p[:n], word[:n])
}

// Recount counts the bits again, after the bytes were changed from outside.
func (b *Bitmap) Recount() {
	var n int
	for w := range b.words() {
		n += bits.OnesCount64(b.load(w))
	}
	b.count = uint64(n)
}
