package copier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Plain is a target that is an ordinary directory, such as that of a buffer disk. It may be used concurrently.
type Plain struct{ Dir string }

// PlainBlock is the unit in which a Plain counts, in bytes.
const PlainBlock = 4096

// Root implements Target.
func (p Plain) Root() string { return p.Dir }

// Put implements Target: within the kernel where it can, durable when it returns. Everything counts as new.
func (p Plain) Put(ctx context.Context, path string, src *os.File, off, n int64) (orchestrator.Added, error) {
	var a orchestrator.Added
	if !filepath.IsLocal(path) {
		return a, fmt.Errorf("store %q: it is no path below %s", path, p.Dir)
	}
	dst, err := os.OpenFile(filepath.Join(p.Dir, path), os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return a, err
	}
	for at, end := off, off+n; at < end && err == nil; {
		data, hole := nextData(src, at, end)
		for at = data; at < hole && err == nil; {
			if err = context.Cause(ctx); err == nil {
				var k int64
				k, err = copyRange(dst, src, at, min(hole-at, 8*piece))
				at += k
				a.New += uint64((k + PlainBlock - 1) / PlainBlock)
			}
		}
		if at = hole; data == hole {
			break
		}
	}
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return orchestrator.Added{}, fmt.Errorf("store %s at %d: %w", path, off, err)
	}
	return a, nil
}

// copyRange copies up to n bytes at the same place of both files, at least one.
func copyRange(dst, src *os.File, at, n int64) (int64, error) {
	from, to := at, at
	k, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, int(n), 0)
	if err == nil && k > 0 {
		return int64(k), nil
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO) {
		return 0, err
	}
	buf := make([]byte, min(n, piece)) // between two file systems, or what the kernel cannot copy
	k, err = src.ReadAt(buf, at)
	if k == 0 {
		return 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	k, err = dst.WriteAt(buf[:k], at)
	return int64(k), err
}
