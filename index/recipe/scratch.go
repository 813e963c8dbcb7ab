package recipe

import "sync"

// maxScratch is the largest buffer that is kept for reuse, in bytes, and the
// most that is read at once.
const maxScratch = 1 << 20

// smallScratch serves headers and short runs of entries; larger requests come
// from a second pool, so that a header does not drag a megabyte along.
const smallScratch = 16 << 10

// scratch is a buffer for one call. A buffer on the stack would escape through
// the disk.File interface and be allocated each time.
type scratch struct {
	b    []byte // as long as was asked for
	pool *sync.Pool
}

// The pools hold nothing but unused memory, so they do not tie volumes together.
var (
	small = sync.Pool{New: func() any { return &scratch{b: make([]byte, smallScratch)} }}
	large = sync.Pool{New: func() any { return &scratch{b: make([]byte, maxScratch)} }}
)

// getScratch returns a buffer of n bytes with undefined content.
func getScratch(n int) *scratch {
	pool := &small
	switch {
	case n > maxScratch:
		return &scratch{b: make([]byte, n)}
	case n > smallScratch:
		pool = &large
	}
	s := pool.Get().(*scratch)
	s.b, s.pool = s.b[:n], pool
	return s
}

// release gives the buffer back; it must not be used afterwards.
func (s *scratch) release() {
	if s.pool == nil {
		return
	}
	s.b = s.b[:cap(s.b)]
	s.pool.Put(s)
}
