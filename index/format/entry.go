package format

import (
	"tresor/index/blockhash"
)

// Address is the number of a block in the block file.
type Address uint64

// Addresses with a meaning of their own (format page, section 6).
const (
	// AddressZero beside a hash stands for the zero block, and marks an empty
	// slot in the index.
	AddressZero Address = 0
	// AddressLost marks a block whose content is lost; the hash beside it stays.
	AddressLost Address = 1
	// FirstDataAddress is the first block that can hold data.
	FirstDataAddress Address = 2
)

// Slot is the position of an entry in the table of the index, from 0.
type Slot uint64

// Entry is what ddumbfs calls a node: a hash and where its block lies.
type Entry struct {
	Addr Address
	Hash blockhash.Hash // bytes past the volume's hash size are zero
}

// PutEntry encodes e into the first EntrySize bytes of dst: the address in
// AddrSize bytes, little-endian, then the hash. An address wider than AddrSize
// is a bug of the caller, who checks addresses against BlockCount.
func (g *Geometry) PutEntry(dst []byte, e *Entry) {
	dst = dst[:g.EntrySize]
	addr := e.Addr
	for i := range g.AddrSize {
		dst[i] = byte(addr)
		addr >>= 8
	}
	copy(dst[g.AddrSize:], e.Hash[:g.HashSize])
}

// GetEntry decodes the first EntrySize bytes of src into e. Any bytes are an
// entry; whether the address lies in the volume is for the caller to check.
func (g *Geometry) GetEntry(src []byte, e *Entry) {
	src = src[:g.EntrySize]
	e.Addr = g.Addr(src)
	n := copy(e.Hash[:], src[g.AddrSize:])
	clear(e.Hash[n:])
}

// Addr decodes only the address of the entry at the start of src.
func (g *Geometry) Addr(src []byte) Address {
	src = src[:g.AddrSize]
	var addr Address
	for i := len(src) - 1; i >= 0; i-- {
		addr = addr<<8 | Address(src[i])
	}
	return addr
}

// IsZeroBlock reports whether e stands for a block of zeros: address 0 beside
// the null hash or the hash of the zero block. Address 0 beside any other hash
// is damage, and so is either hash beside another address.
func (g *Geometry) IsZeroBlock(e *Entry) bool {
	return e.Addr == AddressZero && (e.Hash == blockhash.Hash{} || e.Hash == g.ZeroHash)
}

// InRange reports whether a is a block that can hold data in this volume.
func (g *Geometry) InRange(a Address) bool {
	return a >= FirstDataAddress && uint64(a) < g.BlockCount
}
