package index

import "tresor/index/format"

// Link is Put by hashes alone: entries have the hashes of blocks that the caller knows the content of (null entries stand for zeros), and get
// their addresses if the index knows all of them. Else, false, they are not valid, and nothing happened. The caller is between Enter and
// Leave as for Put. A volume that proves blocks before it links to them (VerifyLinks) knows only what it has proved.
func (w *Writer) Link(out []format.Entry) (known bool) {
	v := w.v
	defer func() {
		if v.caught(recover()) != nil {
			known = false // and Put says why
		}
	}()
	if v.Failed() != nil { // Put says so
		return false
	}
	zeros := uint64(0)
	for i := range out {
		v.soon(out, i)
		if out[i].Hash.IsNull() {
			zeros++
			continue
		}
		a, ok := v.find(&out[i].Hash)
		if !ok || v.opts.VerifyLinks && !v.proved.Get(uint64(a)) {
			return false
		}
		out[i].Addr = a
	}
	n := uint64(len(out))
	v.stats.hashed.Add(n)
	v.stats.zero.Add(zeros)
	v.stats.ghost.Add(n - zeros)
	return true
}

// Fresh is how many blocks the last Put has stored because nobody had them.
func (w *Writer) Fresh() int { return len(w.fresh) }
