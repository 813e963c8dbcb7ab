package transfer

import (
	"context"
	"errors"
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
	r := &Read{Bad: []Range{}}
	err := ReplaceFrom(fs, name, f, func(tmp disk.File) (err error) {
		if r, err = s.CopyOut(ctx, path, sparse{tmp}, o); err == nil {
			err = tmp.Truncate(r.Bytes)
		}
		return err
	})
	return r, err
}

// ReplaceFrom puts what fill writes into a new, empty file into a regular file outside; the promises are those of Source.Replace.
func ReplaceFrom(fs disk.FS, name string, f FileOptions, fill func(tmp disk.File) error) error {
	if fs == nil {
		fs = disk.OS()
	}
	sweep(fs, filepath.Dir(name))
	tmp, err := newOutside(fs, name)
	if err != nil {
		return err
	}
	err = fill(tmp.f)
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
		return errors.Join(err, tmp.drop())
	}
	return errors.Join(fs.SyncDir(filepath.Dir(name)), tmp.f.Close())
}
