package bitmap

// Clone returns a copy with memory of its own.
func (b *Bitmap) Clone() *Bitmap {
	return &Bitmap{bytes: append([]byte(nil), b.bytes...), n: b.n, count: b.count}
}

// And removes the numbers that are not in o. Numbers past the end of o are not in o.
func (b *Bitmap) And(o *Bitmap) { b.combine(o, func(x, y uint64) uint64 { return x & y }) }

// AndNot removes the numbers that are in o.
func (b *Bitmap) AndNot(o *Bitmap) { b.combine(o, func(x, y uint64) uint64 { return x &^ y }) }

// Or adds the numbers of o, as far as they are below Len.
func (b *Bitmap) Or(o *Bitmap) { b.combine(o, func(x, y uint64) uint64 { return x | y }) }

// combine replaces every word by op of it and that of o, and counts again.
func (b *Bitmap) combine(o *Bitmap, op func(x, y uint64) uint64) {
	for w := range b.words() {
		b.store(w, op(b.load(w), o.word(w)))
	}
	b.Recount()
}

// word returns word w, or 0 past the end.
func (b *Bitmap) word(w uint64) uint64 {
	if w >= b.words() {
		return 0
	}
	return b.load(w)
}

// Equal tells whether both sets have the same length and the same numbers. Foreign bits of the last byte do not matter.
func (b *Bitmap) Equal(o *Bitmap) bool {
	if b.n != o.n || b.count != o.count {
		return false
	}
	for w := range b.words() {
		if b.load(w) != o.load(w) {
			return false
		}
	}
	return true
}
