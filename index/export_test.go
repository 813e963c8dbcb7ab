package index

import (
	"time"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/table"
)

// What follows opens the table of a volume to the tests, so that they can work it harder than blocks on a disk allow.

// Publish enters an entry as a stored block does.
func (v *Volume) Publish(e *format.Entry) (format.Address, error) { return v.publish(e) }

// Retract removes an entry as a block found bad does.
func (v *Volume) Retract(e *format.Entry) bool { return v.retract(e) }

// Find looks a hash up.
func (v *Volume) Find(h *blockhash.Hash) (format.Address, bool) { return v.find(h) }

// Table is the table; nobody else may use the volume meanwhile.
func (v *Volume) Table() *table.Table { return v.idx.Table() }

// Stripes is the number of locks over the table.
func (v *Volume) Stripes() int { return len(v.slots.stripes) }

// TakeBlocks allocates n blocks as if they were stored and in files.
func (v *Volume) TakeBlocks(n int) {
	for n > 0 {
		a, k, err := v.alloc.take(0, n)
		if err != nil {
			panic(err)
		}
		v.alloc.stored(a, k)
		n -= k
	}
}

// GroupSync is groupSync.
type GroupSync struct{ g groupSync }

// NewGroupSync returns one that is ready.
func NewGroupSync() *GroupSync {
	s := &GroupSync{}
	s.g.init()
	return s
}

// Do is do.
func (s *GroupSync) Do(sync func() error) error { return s.g.do(sync) }

// SeenUntil makes the last answer of the disk below hold until then.
func (v *Volume) SeenUntil(t time.Time) { v.seen.until.Store(t.UnixNano()) }

// IndexKnown tells whether the content of the index is known without hashing it; nobody else may use the volume meanwhile.
func (v *Volume) IndexKnown() bool {
	known := true
	v.idx.Content(func(_, _ format.Slot, do func()) {
		known = false
		do()
	})
	return known
}
