// Package cksum computes the sum of the POSIX program cksum, which files checksum.crc hold: CRC-32 with the polynomial 0x04C11DB7, highest bit
// first, over the bytes and then the digits of their number, complemented.
//
// A running sum is a value of 12 bytes: it can be stored, and gone on with after a restart. Long runs of zeros cost nothing.
//
// How it is fast: that CRC is the mirror image of the one of the standard library, which uses the processor's carry-less multiplication. So the
// bits of each byte are mirrored, eight bytes at a time, and the sum is kept mirrored until somebody asks for it.
package cksum

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// State is a running sum. The zero value is that of no bytes. It may be copied, compared and stored.
type State struct {
	CRC   uint32 `json:"crc"`   // mirrored, without the length
	Bytes uint64 `json:"bytes"` // that are in it
}

// Update returns the sum that has p behind it.
func (s State) Update(p []byte) State {
	s.Bytes += uint64(len(p))
	var mirrored [4096]byte
	for len(p) > 0 {
		n := min(len(p), len(mirrored))
		mirror(mirrored[:n], p[:n])
		s.CRC = ^crc32.Update(^s.CRC, crc32.IEEETable, mirrored[:n])
		p = p[n:]
	}
	return s
}

// Sum is what cksum prints first; it prints Bytes second.
func (s State) Sum() uint32 {
	var length [8]byte
	n := 0
	for left := s.Bytes; left > 0; left >>= 8 { // lowest byte first, as many as are needed
		length[n] = byte(left)
		n++
	}
	return ^bits.Reverse32(s.Update(length[:n]).CRC)
}

// Sum of p.
func Sum(p []byte) uint32 { return State{}.Update(p).Sum() }

// mirror reverses the bits of each byte.
func mirror(dst, src []byte) {
	const m1, m2, m4 = 0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f
	for len(src) >= 8 {
		x := binary.LittleEndian.Uint64(src)
		x = x>>1&m1 | x&m1<<1
		x = x>>2&m2 | x&m2<<2
		x = x>>4&m4 | x&m4<<4
		binary.LittleEndian.PutUint64(dst, x)
		dst, src = dst[8:], src[8:]
	}
	for i, b := range src {
		dst[i] = bits.Reverse8(b)
	}
}
