package query

import (
	"bytes"
	"slices"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// matcher tells which entries are wanted. It is not changed once files are read.
type matcher struct {
	g      *format.Geometry
	addrs  []format.Address
	hashes map[blockhash.Hash]bool
	prefix []byte // of a hash; nil: none
}

// add makes address and hash of an entry wanted.
func (m *matcher) add(e format.Entry) {
	if !slices.Contains(m.addrs, e.Addr) {
		m.addrs = append(m.addrs, e.Addr)
	}
	if m.hashes == nil {
		m.hashes = map[blockhash.Hash]bool{}
	}
	if !e.Hash.IsNull() {
		m.hashes[e.Hash] = true
	}
}

// raw tells by what a raw entry is wanted.
func (m *matcher) raw(p []byte) (byAddr, byHash bool) {
	byAddr = slices.Contains(m.addrs, m.g.Addr(p))
	hash := p[m.g.AddrSize:m.g.EntrySize]
	if m.prefix != nil && bytes.HasPrefix(hash, m.prefix) {
		return byAddr, true
	}
	if len(m.hashes) > 0 {
		var h blockhash.Hash
		copy(h[:], hash)
		byHash = m.hashes[h]
	}
	return byAddr, byHash
}

// entry is raw for an entry of the index.
func (m *matcher) entry(e *format.Entry) bool {
	return slices.Contains(m.addrs, e.Addr) || m.hashes[e.Hash] || m.prefix != nil && bytes.HasPrefix(e.Hash[:m.g.HashSize], m.prefix)
}
