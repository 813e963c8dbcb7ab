package transfer

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// memory is what another process sent to be stored, an anonymous file. It is sealed against getting shorter, so that no byte of it can vanish; its
// content may change all the same, so whatever is stored of it is copied before. It is mapped until its last holder drops it.
type memory struct {
	b       []byte
	holders atomic.Int32
}

// mapMemory shows all of a descriptor as memory. What is no sealed memory, such as a file of a disk, is refused: it could hang.
func mapMemory(d Held) (*memory, error) {
	refuse := func(text string, args ...any) error {
		return format.Mark(format.ErrUnsupported, fmt.Errorf("the descriptor "+text, args...)) //nolint:govet // constant texts
	}
	seals, err := unix.FcntlInt(uintptr(d.FD()), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, refuse("is no memory that is sealed against shrinking (memfd_create, F_SEAL_SHRINK)")
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.FD(), &st); err != nil {
		return nil, refuse("cannot be looked at: %w", err)
	}
	if st.Size < 1 || st.Size > MaxRange {
		return nil, refuse("has %d bytes, want between 1 and %d", st.Size, MaxRange)
	}
	b, err := unix.Mmap(d.FD(), 0, int(st.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, refuse("cannot be mapped: %w", err)
	}
	m := &memory{b: b}
	m.holders.Store(1)
	return m, nil
}

func (m *memory) hold() { m.holders.Add(1) }

func (m *memory) drop() {
	if m.holders.Add(-1) == 0 {
		_ = unix.Munmap(m.b) // can fail for wrong arguments only
	}
}

// read copies from offset at. Memory that the kernel cannot bring back is an error and not the end of the process.
func (m *memory) read(p []byte, at int64) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read the memory at offset %d: %v", at, r)
		}
	}()
	if at > int64(len(m.b))-int64(len(p)) {
		return fmt.Errorf("read the memory at offset %d: %w", at, io.ErrUnexpectedEOF)
	}
	copy(p, m.b[at:])
	return nil
}

// memoryFeed hands out a part of a memory that goes to offset off of a file.
type memoryFeed struct {
	m        *memory
	from     int64
	off, end int64 // in the file
	bs       int64

	mu sync.Mutex // guards at; leaf, no I/O
	at int64      // in the file: what was handed out
}

func (q *memoryFeed) known() int64 { return q.end - q.off }
func (q *memoryFeed) size() int64  { return q.end }
func (*memoryFeed) cut() error     { return nil }

func (q *memoryFeed) next(func() []byte) (span, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.at >= q.end {
		return span{}, io.EOF
	}
	// Small ones near the end, so that all workers have something to do.
	window := max((q.end-q.at)/int64(2*workersOf())/pieceIn*pieceIn, pieceIn, q.bs)
	s := span{off: q.at, n: min(window, max(windowIn, q.bs), q.end-q.at)}
	q.at += s.n
	return s, nil
}

func (q *memoryFeed) read(p []byte, off int64) error { return q.m.read(p, q.from+off-q.off) }

func (q *memoryFeed) mapped(off, n int64) []byte { return q.m.b[q.from+off-q.off:][:n] }
func (q *memoryFeed) unmap([]byte)               {}

var errNoMemory = errors.New("it has bytes, and no memory came")
