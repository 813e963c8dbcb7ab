// Package blockhash owns the hash functions that name blocks: their names in ddfs.cfg, their sizes and their digests as
// stored on disk (format page, section 3), and the test for a block of zeros.
//
// It promises that a digest never changes for a name: volumes last longer than programs. TIGER, TIGER160, TIGER128 and
// SHA1 are those of the original; BLAKE3 and BLAKE3-256 are ours, and the original refuses volumes that name them.
// Everything here is pure, allocates nothing and is safe for concurrent use.
package blockhash

import (
	"crypto/sha1"
	"errors"
	"fmt"
)

// ErrUnknown is what Lookup wraps for a name that is none of Names and no alias.
var ErrUnknown = errors.New("unknown hash")

// Kind is one hash function. It is a small comparable value. The zero Kind is none: its name is empty and its size 0.
type Kind struct{ id id }

type id uint8

const (
	none id = iota
	tiger192
	tiger160
	tiger128
	sha1Sum
	blake3Short
	blake3Full
	kinds // number of ids
)

// names holds the canonical on-disk names.
var names = [kinds]string{
	tiger192:    "TIGER",
	tiger160:    "TIGER160",
	tiger128:    "TIGER128",
	sha1Sum:     "SHA1",
	blake3Short: "BLAKE3",
	blake3Full:  "BLAKE3-256",
}

// sizes holds the digest bytes stored. BLAKE3 keeps 24 of its bytes so that an index has the size of a TIGER one.
var sizes = [kinds]int{
	tiger192:    24,
	tiger160:    20,
	tiger128:    16,
	sha1Sum:     sha1.Size,
	blake3Short: 24,
	blake3Full:  32,
}

// tigerAlias is the second name that the original accepts for TIGER.
const tigerAlias = "TIGER192"

// Lookup returns the kind of an on-disk name, which is case-sensitive; TIGER192 is TIGER. The error of any other name
// is ErrUnknown and lists the names there are.
func Lookup(name string) (Kind, error) {
	if name == tigerAlias {
		return Kind{tiger192}, nil
	}
	for i := none + 1; i < kinds; i++ {
		if names[i] == name {
			return Kind{i}, nil
		}
	}
	return Kind{}, fmt.Errorf("look up hash %q: %w, want one of %v", name, ErrUnknown, Names())
}

// Default returns the kind of new volumes: BLAKE3.
func Default() Kind { return Kind{blake3Short} }

// Names returns the canonical names of all kinds, the original's first. The slice is the caller's.
func Names() []string { return append([]string(nil), names[none+1:]...) }

// Name returns the canonical on-disk name.
func (k Kind) Name() string { return names[k.id] }

// String returns the name, for messages.
func (k Kind) String() string { return k.Name() }

// Size returns the digest bytes stored: 16 to MaxSize.
func (k Kind) Size() int { return sizes[k.id] }

// Sum returns the hash of block, of any length; volumes hash whole blocks only. It allocates nothing and is safe for
// concurrent use. The sum of the zero Kind panics: any value it could return would pass for a hash and lose data.
func (k Kind) Sum(block []byte) (h Hash) {
	switch k.id {
	case tiger192, tiger160, tiger128:
		d := tigerSum(block)
		copy(h[:], d[:k.Size()])
	case sha1Sum:
		d := sha1.Sum(block)
		copy(h[:], d[:])
	case blake3Short:
		d := blake3Sum(block)
		copy(h[:], d[:24])
	case blake3Full:
		h = blake3Sum(block)
	default:
		panic("blockhash: sum of the zero Kind")
	}
	return h
}

// SumPair returns the hashes of two blocks. For the TIGER kinds and blocks of one length it takes about two thirds
// of the time of two calls of Sum; for the others it is two calls. It allocates nothing and is safe for concurrent use.
func (k Kind) SumPair(x, y []byte) (g, h Hash) {
	if k.pairs() && len(x) == len(y) {
		d, e := tigerSum2(x, y)
		copy(g[:], d[:k.Size()])
		copy(h[:], e[:k.Size()])
		return g, h
	}
	return k.Sum(x), k.Sum(y)
}

// SumAll sets out[i] to the hash of block i of blocks, of size bytes each, wherever want says so, and to the null hash elsewhere; want is called
// once for each block, in order, and nil wants all. It takes two blocks at once where SumPair is faster. len(blocks) is len(out)*size. It
// allocates nothing and is safe for concurrent use.
func (k Kind) SumAll(blocks []byte, size int, out []Hash, want func(i int, block []byte) bool) {
	first := -1 // waits for a second one
	for i := range out {
		block := blocks[i*size : (i+1)*size]
		out[i] = Hash{}
		switch {
		case want != nil && !want(i, block):
		case !k.pairs():
			out[i] = k.Sum(block)
		case first < 0:
			first = i
		default:
			out[first], out[i] = k.SumPair(blocks[first*size:(first+1)*size], block)
			first = -1
		}
	}
	if first >= 0 {
		out[first] = k.Sum(blocks[first*size : (first+1)*size])
	}
}

// pairs tells whether SumPair is faster than two calls of Sum.
func (k Kind) pairs() bool { return k.id == tiger192 || k.id == tiger160 || k.id == tiger128 }
