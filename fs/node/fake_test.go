package node_test

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/node"
	"tresor/index/format"
)

// fakeManager keeps the content of files in memory, by id, and only the header
// in the underlying file. It outlives a mount, as a volume would.
type fakeManager struct {
	mu   sync.Mutex
	open map[uint64]*fakeFile
	kept map[uint64][]byte

	fail  error // what writes and reads of data return
	syncs int   // calls of Handle.Sync

	// Called without locks: before a write changes anything, after it did, and
	// after a read has its data but before it returns.
	beforeWrite, afterWrite, afterRead hook

	shows atomic.Pointer[func(n int, off int64) node.Shown] // what View does, nil: nothing
}

// hook is a function that may be set while others call it.
type hook struct{ f atomic.Pointer[func()] }

func (h *hook) set(f func()) { h.f.Store(&f) }
func (h *hook) clear()       { h.f.Store(nil) }

func (h *hook) call() {
	if f := h.f.Load(); f != nil {
		(*f)()
	}
}

// broken sets the error of all following reads and writes.
func (m *fakeManager) broken(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *fakeManager) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fail
}

func (m *fakeManager) synced() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

func newFake() *fakeManager {
	return &fakeManager{open: map[uint64]*fakeFile{}, kept: map[uint64][]byte{}}
}

func (m *fakeManager) Open(id uint64, open func() (int, error)) (node.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.open[id]; f != nil {
		f.refs++
		return f, nil
	}
	fd, err := open()
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	f := &fakeFile{m: m, id: id, fd: fd, refs: 1}
	if st.Size > 0 {
		var buf [format.FileHeaderSize]byte
		n, _ := unix.Pread(fd, buf[:], 0)
		size, err := format.GetFileHeader(buf[:n])
		if err != nil {
			unix.Close(fd)
			return nil, err
		}
		f.data = append(f.data, m.kept[id]...)
		f.data = append(f.data, make([]byte, max(0, int(size)-len(f.data)))...)[:size]
	}
	m.open[id] = f
	return f, nil
}

func (m *fakeManager) OpenReset(id uint64, open func() (int, error)) (node.File, error) {
	return m.Open(id, open)
}

func (m *fakeManager) Find(id uint64) node.File {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.open[id]
	if f == nil {
		return nil
	}
	f.refs++
	return f
}

func (m *fakeManager) openFiles() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

type fakeFile struct {
	m    *fakeManager
	id   uint64
	fd   int
	refs int // under m.mu

	mu    sync.Mutex
	data  []byte
	dirty bool
	at    time.Time
}

func (f *fakeFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.refs--; f.refs > 0 {
		return nil
	}
	err := f.Drain()
	f.m.kept[f.id] = f.data
	delete(f.m.open, f.id)
	unix.Close(f.fd)
	return err
}

func (f *fakeFile) NewHandle() node.Handle {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.refs++
	return &fakeHandle{f}
}

func (f *fakeFile) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.data))
}

func (f *fakeFile) Modified() (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, f.dirty
}

func (f *fakeFile) touchLocked() { f.dirty, f.at = true, time.Now() }

func (f *fakeFile) Drain() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dirty {
		return nil
	}
	var buf [format.FileHeaderSize]byte
	format.PutFileHeader(buf[:], uint64(len(f.data)))
	if _, err := unix.Pwrite(f.fd, buf[:], 0); err != nil {
		return err
	}
	// The time that Modified told stays, and Modified tells it until it does.
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(f.at.UnixNano())}
	err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", f.fd), times, 0)
	f.dirty = false
	return err
}

func (f *fakeFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size > 1<<30 {
		return unix.EFBIG
	}
	f.resizeLocked(size)
	f.touchLocked()
	return nil
}

func (f *fakeFile) resizeLocked(size int64) {
	if n := size - int64(len(f.data)); n > 0 {
		f.data = append(f.data, make([]byte, n)...)
	}
	f.data = f.data[:size]
}

func (f *fakeFile) Allocate(mode uint32, off, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 && off+n > int64(len(f.data)) {
		f.resizeLocked(off + n)
	}
	if mode&unix.FALLOC_FL_PUNCH_HOLE != 0 {
		clear(f.data[min(off, int64(len(f.data))):min(off+n, int64(len(f.data)))])
	}
	f.touchLocked()
	return nil
}

func (f *fakeFile) Seek(off int64, whence int) (int64, error) {
	size := f.Size()
	if off >= size {
		return 0, unix.ENXIO
	}
	if whence == unix.SEEK_HOLE {
		return size, nil
	}
	return off, nil
}

func (f *fakeFile) CopyFrom(src node.File, srcOff, dstOff, n int64) (int64, error) {
	s := src.(*fakeFile)
	s.mu.Lock()
	part := bytes.Clone(s.data[min(srcOff, int64(len(s.data))):min(srcOff+n, int64(len(s.data)))])
	s.mu.Unlock()
	done, err := (&fakeHandle{f}).WriteAt(part, dstOff)
	return int64(done), err
}

type fakeHandle struct{ f *fakeFile }

func (h *fakeHandle) View(n int, off int64) node.Shown {
	if show := h.f.m.shows.Load(); show != nil {
		return (*show)(n, off)
	}
	return nil
}
func (h *fakeHandle) ReadAhead(int, int64) node.Shown { return nil }
func (h *fakeHandle) ReadKept(p []byte, off int64) (int, error) {
	return h.ReadAt(p, off)
}

func (h *fakeHandle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.f.m.failure(); err != nil {
		return 0, err
	}
	defer h.f.m.afterRead.call()
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if off >= int64(len(h.f.data)) {
		return 0, nil
	}
	return copy(p, h.f.data[off:]), nil
}

func (h *fakeHandle) WritePages(p []byte, off int64) (int, error) { return h.WriteAt(p, off) }

func (h *fakeHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.f.m.failure(); err != nil {
		return 0, err
	}
	h.f.m.beforeWrite.call()
	defer h.f.m.afterWrite.call()
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if end := off + int64(len(p)); end > int64(len(h.f.data)) {
		h.f.resizeLocked(end)
	}
	copy(h.f.data[off:], p)
	h.f.touchLocked()
	return len(p), nil
}

func (h *fakeHandle) Sync(bool) error {
	h.f.m.mu.Lock()
	h.f.m.syncs++
	h.f.m.mu.Unlock()
	if err := h.f.Drain(); err != nil {
		return err
	}
	return unix.Fsync(h.f.fd)
}
func (h *fakeHandle) Flush() error { return nil }
func (h *fakeHandle) Close() error { return h.f.Close() }

// fakeSpecial counts how often each file was opened.
type fakeSpecial struct {
	mu sync.Mutex
	n  map[string]int
}

func (s *fakeSpecial) Open(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = map[string]int{}
	}
	s.n[name]++
	return fmt.Appendf(nil, "%s %d\n", name, s.n[name]), nil
}

// fakeMover remembers the inode numbers that moved.
type fakeMover struct {
	mu    sync.Mutex
	moves []uint64
}

func (m *fakeMover) Begin() (end func()) { return func() {} }

func (m *fakeMover) Moved(fd int, _ bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moves = append(m.moves, st.Ino)
	return nil
}

func (m *fakeMover) take() []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	moves := m.moves
	m.moves = nil
	return moves
}
