package fsck

import (
	"bytes"
	"errors"
	"io"

	"tresor/index/blockhash"
	"tresor/index/format"
)

const (
	// decayed is how many bytes of a stored hash may be wrong for it still to be taken for the hash of the block at its address. The others, 14 at
	// least, are right only if it was.
	decayed = 2
	// tornHash is how many bytes of the hash must stand on the side of the address where an entry was torn. Equal by chance are they
	// once in 2^64.
	tornHash = 8
	// sector is what a disk writes whole or not at all, in bytes.
	sector = 512
)

// mend corrects entry number n of the file, whose hash nobody knows, where its own block tells what it was: the hash has decayed in a few bits, or a
// power cut left the entry half old and half new, with the address of the one whose hash begins in it. The content decides here as
// well: what the entry gets is the hash that it has.
func (f *fileRepair) mend(n uint64, p []byte) bool {
	r, g := f.r, f.r.v.Geometry
	a := g.Addr(p)
	if !g.InRange(a) || uint64(a) >= r.whole || r.unreadable.Get(uint64(a)) {
		return false
	}
	if f.block == nil {
		f.block = make([]byte, g.BlockSize)
	}
	if err := r.blocks.Read(a, f.block); err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			r.unreadable.Set(uint64(a)) // it was hashed, and may be what was meant another day
		}
		return false
	}
	sum := g.Kind.Sum(f.block)
	if !f.meant(n, p[g.AddrSize:], sum[:g.HashSize]) {
		return false
	}
	have, _, ok := r.idx.Table().Lookup(&sum)
	if !ok {
		return false
	}
	r.inUse.Set(uint64(have))
	g.PutEntry(p, &format.Entry{Addr: have, Hash: sum})
	return true
}

// meant tells whether a damaged hash in entry number n was this one.
func (f *fileRepair) meant(n uint64, hash, sum []byte) bool {
	if blockhash.IsZero(hash) {
		return false // a hole says nothing of its address
	}
	wrong := 0
	for i := range sum {
		if hash[i] != sum[i] {
			wrong++
		}
	}
	if wrong <= decayed {
		return true
	}
	g := f.r.v.Geometry
	off := g.EntryOffset(n)
	whole := int((off/sector+1)*sector-off) - g.AddrSize // bytes of the hash in the sector of the address
	return whole >= tornHash && whole < g.HashSize && bytes.Equal(hash[:whole], sum[:whole])
}
