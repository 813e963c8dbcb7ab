package index

import (
	"bytes"

	"tresor/index/format"
)

// link finds the block that the index has for the content of block, whose hash is e.Hash. With VerifyLinks, one that was not proved since the
// volume was opened is read and compared: new data is not linked to a block that has decayed unseen. Such a block leaves the index, and the
// caller, who has the content in memory, stores it again. The caller is between Enter and Leave, so the address stays what it is.
func (w *Writer) link(e *format.Entry, block []byte) (format.Address, bool) {
	v := w.v
	a, ok := v.find(&e.Hash)
	if !ok || !v.opts.VerifyLinks || v.proved.Get(uint64(a)) {
		return a, ok
	}
	if len(w.stored) < len(block) {
		w.stored = make([]byte, len(block))
	}
	w.pass() // nobody is to wait for the disk
	stored := w.stored[:len(block)]
	v.stats.read.Add(1)
	if err := v.blocks.Read(a, stored); err != nil {
		v.warn("read block %d, to which new data is about to be linked: %v", a, err)
	} else if bytes.Equal(stored, block) {
		v.Prove(a, &e.Hash)
		return a, true
	}
	v.dismiss(&format.Entry{Addr: a, Hash: e.Hash})
	return 0, false
}
