package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path/filepath"
	"time"

	"tresor/index/disk"
)

// Stream is an Output that writes everything in order, zeros included: a pipe or a device. It ends with ctx.
func Stream(ctx context.Context, w io.Writer) Output { return &stream{ctx: ctx, w: w} }

type stream struct {
	ctx   context.Context
	w     io.Writer
	zeros []byte
}

// WriteAt implements Output. The offset is where the last call ended.
func (s *stream) WriteAt(p []byte, _ int64) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

// Zero implements Output.
func (s *stream) Zero(off, n int64) error {
	if s.zeros == nil {
		s.zeros = make([]byte, pieceBytes)
	}
	for n > 0 {
		k, err := s.WriteAt(s.zeros[:min(n, int64(len(s.zeros)))], off)
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// sparse is an Output that leaves holes where zeros are; the file must be new.
type sparse struct{ disk.File }

// Zero implements Output.
func (sparse) Zero(int64, int64) error { return nil }

// FileOptions say what a regular file outside gets besides content.
type FileOptions struct {
	Mode     iofs.FileMode // permissions
	Modified time.Time     // zero: now
}

// Replace puts a stored file into a regular file outside, which is replaced as a whole if it exists: whatever goes wrong, it has the old
// content or the new one. Zeros become holes. With OutOptions.Force a file with bad blocks is put there as well. Errors and the result are
// those of CopyOut; nil for fs is the operating system's. Several may be under way to one name: the last one to end wins.
func (s *Source) Replace(ctx context.Context, path string, fs disk.FS, name string, f FileOptions, o OutOptions) (*Read, error) {
	if fs == nil {
		fs = disk.OS()
	}
	sweep(fs, filepath.Dir(name))
	tmp, err := newOutside(fs, name)
	if err != nil {
		return &Read{Bad: []Range{}}, err
	}
	r, err := s.CopyOut(ctx, path, sparse{tmp.f}, o)
	if err == nil {
		err = tmp.f.Truncate(r.Bytes)
	}
	if err == nil {
		err = dress(tmp.f, f)
	}
	if err == nil {
		err = tmp.f.SyncAll()
	}
	if err == nil {
		err = tmp.publish(name)
	}
	if err != nil {
		return r, errors.Join(err, tmp.drop())
	}
	return r, errors.Join(fs.SyncDir(filepath.Dir(name)), tmp.f.Close())
}

// Input is what is copied into a volume.
type Input interface {
	// feed puts the content, in order, and returns the size. Ranges that are left out are zeros.
	feed(ctx context.Context, put putFunc) (size int64, err error)
	// size is what is known of it before, 0 if nothing.
	size() (int64, error)
}

// putFunc takes what read fills in at off, a multiple of every block size: it calls read once with memory for as much as may be put, and returns
// what read did, or why it could not be taken.
type putFunc func(off int64, read func(p []byte) (int, error)) (int, error)

// FromReader is an Input of unknown length, as a pipe.
func FromReader(r io.Reader) Input { return &reader{r} }

type reader struct{ r io.Reader }

func (*reader) size() (int64, error) { return 0, nil }

func (r *reader) feed(ctx context.Context, put putFunc) (int64, error) {
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return off, err
		}
		var end, broken error
		n, err := put(off, func(p []byte) (int, error) {
			n, err := io.ReadFull(r.r, p)
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				end = io.EOF
			} else {
				broken = err
			}
			return n, nil
		})
		off += int64(n)
		switch {
		case err != nil:
			return off, err
		case broken != nil:
			return off, fmt.Errorf("read the input at offset %d: %w", off, broken)
		case end != nil:
			return off, nil
		}
	}
}

// feedStep is where what follows a hole may begin: a multiple of every block size and of what is put at a time.
const feedStep = 2 << 20

// FromFile is an Input with holes: a regular file, or a block device. It must not get shorter meanwhile.
func FromFile(f disk.File) Input { return &file{f} }

type file struct{ f disk.File }

func (f *file) size() (int64, error) { return f.f.Size() }

func (f *file) feed(ctx context.Context, put putFunc) (int64, error) {
	size, err := f.f.Size()
	if err != nil {
		return 0, err
	}
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return size, err
		}
		if off%feedStep == 0 {
			next, err := f.f.NextData(off)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return size, err
			}
			// What is read too much is the end of a hole.
			if off = max(off, next/feedStep*feedStep); off >= size {
				break
			}
		}
		n, err := put(off, func(p []byte) (int, error) {
			p = p[:min(int64(len(p)), size-off)]
			n, err := f.f.ReadAt(p, off)
			if n == len(p) {
				return n, nil
			}
			if errors.Is(err, io.EOF) {
				err = errors.New("it became shorter meanwhile")
			}
			return n, fmt.Errorf("read %s at offset %d: %w", f.f.Name(), off+int64(n), err)
		})
		if err != nil {
			return size, err
		}
		off += int64(n)
	}
	return size, nil
}
