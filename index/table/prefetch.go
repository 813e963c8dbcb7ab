package table

import (
	"encoding/binary"

	"tresor/index/blockhash"
	"tresor/index/internal/prefetch"
)

// Ahead is how many look-ups before its own a Prefetch pays most: enough for memory to arrive, few enough not to be displaced again.
const Ahead = 16

// Prefetch has the processor fetch what a Search of h will read first. It reads nothing of the table and needs no lock.
func (t *Table) Prefetch(h *blockhash.Hash) { t.fetch(t.g.Ideal(h)) }

// PrefetchRaw is Prefetch for a hash as it stands in an entry, eight bytes at least.
func (t *Table) PrefetchRaw(hash []byte) {
	var h blockhash.Hash
	binary.BigEndian.PutUint64(h[:], binary.BigEndian.Uint64(hash)) // its position derives from these
	t.fetch(t.g.Ideal(&h))
}

func (t *Table) fetch(s Slot) {
	at := int(s) * t.size
	prefetch.Byte(&t.b[at])
	prefetch.Byte(&t.b[min(at+prefetch.LineBytes, len(t.b)-1)])
}
