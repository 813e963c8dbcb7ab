package resize

import (
	"tresor/index/blockhash"
	"tresor/index/format"
)

// recoder gives entries another width of address.
type recoder struct{ from, to *format.Geometry }

// entry encodes one entry anew. A null entry stays one. An address that no block of the new volume can have is only in damaged files: it
// becomes a lost block, whose hash stays so that a repair can find it, or a block of zeros where the hash says so.
func (c recoder) entry(dst, src []byte, e *format.Entry) {
	c.from.GetEntry(src, e)
	if uint64(e.Addr) >= c.to.BlockCount {
		e.Addr = format.AddressLost
		if e.Hash == (blockhash.Hash{}) || e.Hash == c.to.ZeroHash {
			e.Addr = format.AddressZero
		}
	}
	c.to.PutEntry(dst, e)
}

// minHole is the shortest run of null entries that becomes a hole, in bytes of their new form.
const minHole = 2 * format.IndexPage

// runs encodes whole entries, the first of which has number first: null ones in holes where there are many in a row.
func (c recoder) runs(first uint64, raw []byte) (list []run) {
	size := c.from.EntrySize
	n := len(raw) / size
	null := func(i int) bool { return blockhash.IsZero(raw[i*size : (i+1)*size]) }
	start := 0
	for i := 0; i < n; {
		end := i
		for end < n && null(end) {
			end++
		}
		if hole := int64(end-i) * int64(c.to.EntrySize); hole >= minHole {
			list = c.data(list, first, raw, start, i)
			list = append(list, run{off: c.to.EntryOffset(first + uint64(i)), hole: hole})
			start = end
		}
		i = max(end, i+1)
	}
	return c.data(list, first, raw, start, n)
}

// data adds the entries [from, to) of raw as one run.
func (c recoder) data(list []run, first uint64, raw []byte, from, to int) []run {
	if from == to {
		return list
	}
	var e format.Entry
	out := make([]byte, (to-from)*c.to.EntrySize)
	for i := from; i < to; i++ {
		c.entry(out[(i-from)*c.to.EntrySize:], raw[i*c.from.EntrySize:], &e)
	}
	return append(list, run{off: c.to.EntryOffset(first + uint64(from)), data: out})
}
