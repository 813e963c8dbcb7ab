package transfer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"tresor/index/disk"
)

// Input is what is copied into a volume: FromReader, FromFile or FromDescriptor.
type Input interface {
	// open begins at the start, for blocks of bs bytes.
	open(bs int64) (feeder, error)
	// again tells whether it can be opened more than once.
	again() bool
	// hold keeps the input usable until drop: work that waits for a source that hangs may outlast its copy.
	hold()
	drop()
}

// feeder hands out the ranges of an input. Safe for concurrent use.
type feeder interface {
	// known is the size as far as it is known before, in bytes.
	known() int64
	// next is the next range, which begins with a block; io.EOF behind the last one. Of a stream it is in the caller's memory then, of a file it is to be
	// read. What lies between two ranges is zeros.
	next(memory func() []byte) (span, error)
	// read fills p from off; what is missing is an error.
	read(p []byte, off int64) error
	// mapped shows whole blocks as memory, nil where that cannot be, until unmap.
	mapped(off, n int64) []byte
	unmap(p []byte)
	// cut is an error where the input has become shorter: mapped memory has zeros behind its end, up to that of the page.
	cut() error
	// size is that of the whole, in bytes, once next has returned io.EOF.
	size() int64
}

// span is a range of an input, in bytes.
type span struct {
	off, n int64
	filled bool // it is in the buffer already
}

const (
	// pieceIn is how much is read and stored at a time (one block, where that is larger): it stays in a processor's cache.
	pieceIn = 1 << 20
	// windowIn is how much of a file a worker takes at a time, and maps at once: little, so that blocks lie in the order of the file, and as much as a huge page, which the
	// kernel can map in one step.
	windowIn = 2 << 20
)

// FromReader is an Input of unknown length, as a pipe.
func FromReader(r io.Reader) Input { return &reader{r: r} }

// reader is read by one worker at a time, each into its own buffer, while the others hash and store.
type reader struct {
	// mu guards the fields. The input is read under it (I/O, which may wait for long); nothing else is taken.
	mu  sync.Mutex
	r   io.Reader
	at  int64
	err error // io.EOF: it was read to the end
}

func (*reader) hold()       {}
func (*reader) drop()       {}
func (*reader) again() bool { return false }

func (r *reader) open(int64) (feeder, error) { return r, nil }

func (*reader) known() int64               { return 0 }
func (*reader) mapped(int64, int64) []byte { return nil }
func (*reader) unmap([]byte)               {}
func (*reader) cut() error                 { return nil }
func (r *reader) read([]byte, int64) error { return disk.ErrUnsupported }

func (r *reader) size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *reader) next(memory func() []byte) (span, error) {
	buf := memory()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return span{}, r.err
	}
	n, err := io.ReadFull(r.r, buf)
	s := span{off: r.at, n: int64(n), filled: true}
	r.at += s.n
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.err = io.EOF
		if n == 0 {
			return span{}, io.EOF
		}
	case err != nil:
		r.err = fmt.Errorf("read the input at offset %d: %w", r.at, err)
		return span{}, r.err
	}
	return s, nil
}

// FromFile is an Input with holes: a regular file, or a block device. It must not get shorter meanwhile.
func FromFile(f disk.File) Input { return &file{f: f} }

type file struct{ f disk.File }

func (*file) hold()       {}
func (*file) drop()       {}
func (*file) again() bool { return true }

func (f *file) open(bs int64) (feeder, error) {
	size, err := f.f.Size()
	if err != nil {
		return nil, err
	}
	return &fileFeed{f: f.f, bs: bs, total: size, maps: bs%int64(os.Getpagesize()) == 0 && !f.f.IsDevice()}, nil
}

// outsideFile is what a file that is read in its entirety can do.
type outsideFile interface {
	io.ReaderAt
	Size() (int64, error)
	Name() string
	NextData(off int64) (int64, error)
	NextHole(off int64) (int64, error)
}

type fileFeed struct {
	f     outsideFile
	bs    int64
	total int64
	maps  bool

	// mu guards the fields. Holes are looked for under it (I/O); nothing else is taken.
	mu   sync.Mutex
	at   int64 // what was handed out
	data int64 // up to here there is no hole
}

func (q *fileFeed) known() int64 { return q.total }
func (q *fileFeed) size() int64  { return q.total }

func (q *fileFeed) next(func() []byte) (span, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.at >= q.data {
		if err := q.skip(); err != nil {
			return span{}, err
		}
	}
	if q.at >= q.total {
		return span{}, io.EOF
	}
	window := int64(windowIn)
	if q.total-q.at <= 2*windowIn {
		window = pieceIn // so that all workers have something to do
	}
	s := span{off: q.at, n: min(max(window, q.bs), q.data-q.at)}
	q.at += s.n
	return s, nil
}

// skip steps over a hole: what is read too much is the rest of a block.
func (q *fileFeed) skip() error {
	if q.at >= q.total {
		return nil
	}
	from, err := q.f.NextData(q.at)
	if errors.Is(err, io.EOF) {
		q.at = q.total
		return q.cut()
	}
	if err != nil {
		return err
	}
	to, err := q.f.NextHole(max(from, q.at))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	q.at = max(q.at, from/q.bs*q.bs)
	q.data = min((max(to, q.at+1)+q.bs-1)/q.bs*q.bs, q.total)
	return nil
}

// cut is an error where the file was cut meanwhile: what looks like a hole at its end is none.
func (q *fileFeed) cut() error {
	size, err := q.f.Size()
	if err == nil && size < q.total {
		err = fmt.Errorf("read %s at offset %d: %w", q.f.Name(), size, errShorter)
	}
	return err
}

var errShorter = errors.New("it became shorter meanwhile")

func (q *fileFeed) read(p []byte, off int64) error {
	n, err := q.f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = errShorter
	}
	return fmt.Errorf("read %s at offset %d: %w", q.f.Name(), off+int64(n), err)
}

func (q *fileFeed) mapped(off, n int64) []byte {
	if !q.maps {
		return nil
	}
	var p []byte
	err := error(disk.ErrUnsupported)
	switch f := q.f.(type) {
	case disk.File:
		p, err = disk.MapShared(f, off, int(n))
	case *foreign:
		p, err = f.mapShared(off, int(n))
	}
	if err != nil {
		return nil // it is read instead
	}
	return p
}

func (*fileFeed) unmap(p []byte) { _ = disk.Unmap(p) } // can fail for wrong arguments only
