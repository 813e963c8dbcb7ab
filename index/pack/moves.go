package pack

import (
	"encoding/binary"
	"math/bits"
	"sort"

	"tresor/index/bitmap"
	"tresor/index/format"
)

// stride is how many blocks lie between two counts that are kept: a look at one address counts that many bits at most.
const stride = 4096

// moves is what goes where: the k-th used block at or past first to the k-th free address below it, for all k below limit. It is
// immutable but for limit and may be asked by many goroutines.
type moves struct {
	used  *bitmap.Bitmap
	first uint64 // number of used blocks: the first address that is to be free
	total uint64 // used blocks at or past first, which are as many as there are free ones below it
	limit uint64 // how many of them move in this round
	// counts has the number of used blocks before every stride-th address.
	counts []uint64
}

// newMoves plans for a bitmap, which must not change any more.
func newMoves(used *bitmap.Bitmap) *moves {
	m := &moves{used: used, first: used.Count()}
	for at := uint64(0); at < used.Len(); at += stride {
		m.counts = append(m.counts, 0)
		if n := len(m.counts); n > 1 {
			m.counts[n-1] = m.counts[n-2] + m.population(at-stride, at)
		}
	}
	m.total = m.first - m.usedBefore(m.first)
	m.limit = m.total
	return m
}

// population counts the used blocks in [from, to); from is a multiple of 64.
func (m *moves) population(from, to uint64) uint64 {
	data := m.used.Bytes()
	n := 0
	for ; from+64 <= to; from += 64 {
		n += bits.OnesCount64(binary.BigEndian.Uint64(data[from/8:]))
	}
	for ; from < to; from += 8 {
		b := data[from/8]
		if rest := to - from; rest < 8 {
			b &= ^(byte(0xFF) >> rest)
		}
		n += bits.OnesCount8(b)
	}
	return uint64(n)
}

// usedBefore counts the used blocks below i.
func (m *moves) usedBefore(i uint64) uint64 {
	if i >= m.used.Len() {
		return m.used.Count()
	}
	at := i / stride
	return m.counts[at] + m.population(at*stride, i)
}

// free returns the k-th free address, from 0.
func (m *moves) free(k uint64) uint64 {
	// The last stride that has no more than k free addresses before it.
	at := uint64(sort.Search(len(m.counts), func(i int) bool { return uint64(i)*stride-m.counts[i] > k })) - 1
	k -= at*stride - m.counts[at]
	data := m.used.Bytes()
	i := at * stride
	for {
		n := uint64(bits.OnesCount8(^data[i/8]))
		if n > k {
			break
		}
		k -= n
		i += 8
	}
	for b := ^data[i/8]; ; b <<= 1 {
		if b&0x80 != 0 {
			if k == 0 {
				return i
			}
			k--
		}
		i++
	}
}

// to is where block a goes; false: it stays.
func (m *moves) to(a format.Address) (format.Address, bool) {
	i := uint64(a)
	if i < m.first || !m.used.Get(i) {
		return a, false
	}
	k := m.usedBefore(i) - m.usedBefore(m.first)
	if k >= m.limit {
		return a, false
	}
	return format.Address(m.free(k)), true
}

// each calls fn for every move of this round, ascending, until it returns false.
func (m *moves) each(fn func(k uint64, from, to uint64) bool) {
	from, to := m.first, uint64(0)
	for k := range m.limit {
		from, _ = m.used.NextSet(from)
		to, _ = m.used.NextClear(to)
		if !fn(k, from, to) {
			return
		}
		from++
		to++
	}
}

// after is the bitmap when this round is done.
func (m *moves) after() *bitmap.Bitmap {
	b := m.used.Clone()
	m.each(func(_, from, to uint64) bool {
		b.Clear(from)
		b.Set(to)
		return true
	})
	return b
}
