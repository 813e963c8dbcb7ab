package blockhash

import (
	"bytes"
	"encoding/binary"
)

// MaxSize is the size in bytes of the longest digest of any Kind, and so of a Hash.
const MaxSize = 32

// Hash is the digest of one block. The first Kind.Size() bytes are the digest as stored on disk, the rest are zero,
// so two hashes of one kind may be compared with ==. The zero value is the null hash, which stands for no data.
type Hash [MaxSize]byte

// IsNull tells whether every byte is zero. Null hashes stand for address 0 in underlying files and for an empty slot
// in the index; no kind gives one for any block in practice.
func (h *Hash) IsNull() bool { return *h == Hash{} }

// Prefix returns the first eight bytes as a big-endian number. The position of an entry in the index derives from it
// (format page, section 5), and it orders hashes as Compare does except where two prefixes are equal.
func (h *Hash) Prefix() uint64 { return binary.BigEndian.Uint64(h[:8]) }

// Compare returns -1, 0 or 1 in the order of bytes.Compare, which is the order of the index.
func (h Hash) Compare(o Hash) int { return bytes.Compare(h[:], o[:]) }
