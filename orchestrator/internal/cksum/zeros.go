package cksum

import "hash/crc32"

// matrix is a linear map of 32 bits: row i is what bit i becomes.
type matrix [32]uint32

func (m *matrix) apply(v uint32) uint32 {
	var sum uint32
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

// Zeros returns the sum that has n zero bytes behind it, in time that grows with the logarithm of n: a zero byte maps the CRC linearly, and the map
// of twice as many bytes is the map applied twice.
func (s State) Zeros(n uint64) State {
	s.Bytes += n
	var step matrix // one zero byte
	for i := range step {
		bit := uint32(1) << i
		step[i] = bit>>8 ^ crc32.IEEETable[byte(bit)]
	}
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			s.CRC = step.apply(s.CRC)
		}
		var twice matrix
		for i := range twice {
			twice[i] = step.apply(step[i])
		}
		step = twice
	}
	return s
}
