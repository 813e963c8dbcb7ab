package disktest

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// file is an open file. Guarded by FS.mu.
type file struct {
	m    *FS
	n    *inode
	name string
	site string // who opened it
	mode int    // O_RDONLY, O_WRONLY or O_RDWR
	gone bool   // closed
}

// begin takes the lock, counts the call and finds its fault. The caller
// unlocks, also after an error.
func (f *file) begin(kind Kind, off int64) (*Fault, error) {
	site := callSite()
	f.m.mu.Lock()
	fault := f.m.faults.next(kind, site)
	switch {
	case f.gone:
		return nil, fail(kind, f.name, off, fs.ErrClosed)
	case fault != nil && kind != Read && kind != Write:
		return nil, fail(kind, f.name, off, fault.cause(unix.EIO))
	}
	return fault, nil
}

// ReadAt implements disk.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	fault, err := f.begin(Read, off)
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case off < 0:
		return 0, fail(Read, f.name, off, unix.EINVAL)
	case f.mode == unix.O_WRONLY:
		return 0, fail(Read, f.name, off, unix.EBADF)
	}
	want := len(p)
	if fault != nil {
		p = p[:min(len(p), fault.Partial)]
	}
	done := f.n.read(p, off)
	switch {
	case fault != nil && fault.Err != nil:
		return done, fail(Read, f.name, off+int64(done), fault.Err)
	case done < want:
		return done, io.EOF
	}
	return done, nil
}

// WriteAt implements disk.File.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	fault, err := f.begin(Write, off)
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case off < 0:
		return 0, fail(Write, f.name, off, unix.EINVAL)
	case f.mode == unix.O_RDONLY:
		return 0, fail(Write, f.name, off, unix.EBADF)
	case off > math.MaxInt64-pageSize-int64(len(p)):
		return 0, fail(Write, f.name, off, unix.EFBIG)
	}
	want := len(p)
	if fault != nil {
		p = p[:min(len(p), fault.Partial)]
	}
	if f.n.device() {
		p = p[:min(int64(len(p)), max(f.n.size-off, 0))]
	}
	done := f.n.write(p, off, f.take)
	if done > 0 {
		f.m.change(record{op: Op{Kind: Write, Name: f.name, Off: off, Len: int64(done)}, node: f.n, data: p[:done]})
	}
	switch {
	case fault != nil:
		return done, fail(Write, f.name, off+int64(done), fault.cause(io.ErrShortWrite))
	case done < want:
		return done, fail(Write, f.name, off+int64(done), unix.ENOSPC)
	}
	return done, nil
}

// take gives the file a page, if the disk has one.
func (f *file) take() bool {
	if f.n.device() {
		return true
	}
	if f.m.capacity > 0 && (f.m.pages+1)*pageSize > f.m.capacity {
		return false
	}
	f.m.pages++
	return true
}

// Close implements disk.File. A close that was made to fail has closed it too.
func (f *file) Close() error {
	_, err := f.begin(Close, -1)
	defer f.m.mu.Unlock()
	if !f.gone {
		f.gone = true
		delete(f.m.files, f)
		f.n.opens--
		f.m.forget(f.n)
	}
	return err
}

func (f *file) Name() string   { return f.name }
func (f *file) IsDevice() bool { return f.n.device() }

// Size implements disk.File.
func (f *file) Size() (int64, error) {
	_, err := f.begin(Size, -1)
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.n.size, nil
}

// Truncate implements disk.File.
func (f *file) Truncate(size int64) error {
	_, err := f.begin(Truncate, size)
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return err
	case size < 0 || f.n.device() || f.mode == unix.O_RDONLY:
		return fail(Truncate, f.name, size, unix.EINVAL)
	case size > math.MaxInt64-pageSize:
		return fail(Truncate, f.name, size, unix.EFBIG)
	}
	f.m.change(record{op: Op{Kind: Truncate, Name: f.name, Off: size}, node: f.n})
	f.m.pages -= f.n.truncate(size)
	return nil
}

// Sync implements disk.File.
func (f *file) Sync() error { return f.sync() }

// SyncAll implements disk.File.
func (f *file) SyncAll() error { return f.sync() }

func (f *file) sync() error {
	site := callSite()
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.gone {
		return fail(Sync, f.name, -1, fs.ErrClosed)
	}
	return f.m.sync(Sync, f.name, site, f.n)
}

// Flush implements disk.File: write-out promises nothing, so there is nothing
// to do.
func (f *file) Flush(off, _ int64) error {
	_, err := f.begin(Flush, off)
	f.m.mu.Unlock()
	return err
}

// FlushWait implements disk.File: like Flush, with a failure that is a loss.
func (f *file) FlushWait(off, n int64) error { return f.Flush(off, n) }

// Allocate implements disk.File. It checks for room and reserves none.
func (f *file) Allocate(off, n int64) error {
	_, err := f.begin(Allocate, off)
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return err
	case off < 0 || n <= 0:
		return fail(Allocate, f.name, off, unix.EINVAL)
	case f.n.device():
		return fail(Allocate, f.name, off, unix.EOPNOTSUPP)
	case f.m.capacity == 0:
		return nil
	}
	missing := (n + pageSize - 1) / pageSize
	for i := range f.n.pages {
		if i >= off/pageSize && i < (off+n)/pageSize {
			missing--
		}
	}
	if missing > (f.m.capacity/pageSize)-f.m.pages {
		return fail(Allocate, f.name, off, unix.ENOSPC)
	}
	return nil
}

// Punch implements disk.File. On a device the range reads as zeros afterwards.
func (f *file) Punch(off, n int64) error {
	_, err := f.begin(Punch, off)
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return err
	case off < 0 || n <= 0 || off > math.MaxInt64-n:
		return fail(Punch, f.name, off, unix.EINVAL)
	case f.mode == unix.O_RDONLY:
		return fail(Punch, f.name, off, unix.EBADF)
	}
	f.m.change(record{op: Op{Kind: Punch, Name: f.name, Off: off, Len: n}, node: f.n})
	freed := f.n.punch(off, n)
	if !f.n.device() {
		f.m.pages -= freed
	}
	return nil
}

// NextData implements disk.File.
func (f *file) NextData(off int64) (int64, error) { return f.seek(off, true) }

// NextHole implements disk.File.
func (f *file) NextHole(off int64) (int64, error) { return f.seek(off, false) }

func (f *file) seek(off int64, data bool) (int64, error) {
	_, err := f.begin(Seek, off)
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case off < 0:
		return 0, fail(Seek, f.name, off, unix.EINVAL)
	}
	pos, ok := f.n.seek(off, data)
	if !ok {
		return 0, io.EOF
	}
	return pos, nil
}

// Free implements disk.File.
func (f *file) Free() (uint64, error) {
	_, err := f.begin(Free, -1)
	defer f.m.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case f.m.capacity == 0:
		return 1 << 60, nil
	}
	return uint64(max(f.m.capacity-f.m.pages*pageSize, 0)), nil
}

// OpenFiles lists the files and locks that are open, each with who opened it.
func (m *FS) OpenFiles() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for f := range m.files {
		list = append(list, fmt.Sprintf("%s opened by %s", f.name, f.site))
	}
	for _, l := range m.locks {
		list = append(list, fmt.Sprintf("%s locked", l.name))
	}
	slices.Sort(list)
	return list
}

// CheckLeaks fails the test for every file and lock that is open when the test
// ends. It is called at the start.
func (m *FS) CheckLeaks(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		t.Helper()
		for _, open := range m.OpenFiles() {
			t.Errorf("left open at the end of the test: %s", open)
		}
	})
}
