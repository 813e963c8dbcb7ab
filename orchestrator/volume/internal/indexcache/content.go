package indexcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/statefile"
)

// chunk is what is read at a time; the context is asked in between.
const chunk = 4 << 20

// pump reads all of r in chunks and returns length and sum. w may be nil.
func pump(ctx context.Context, w io.Writer, r io.Reader) (size int64, sum string, err error) {
	h := xxhash.New()
	buf := make([]byte, chunk)
	for {
		if ctx.Err() != nil {
			return size, "", context.Cause(ctx)
		}
		n, err := io.ReadFull(r, buf)
		h.Write(buf[:n]) // it never fails
		size += int64(n)
		if w != nil {
			if _, err := w.Write(buf[:n]); err != nil {
				return size, "", err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return size, fmt.Sprintf("%016x", h.Sum64()), nil
		}
		if err != nil {
			return size, "", err
		}
	}
}

// matches tells whether the index below root is there and has size and sum of the mark. What the disk does not deliver is no match: there may be another one.
func (j *job) matches(ctx context.Context, root *os.Root, want *Mark) (bool, error) {
	f, err := statefile.Open(root, j.name(), 1<<62)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // it was read only
	if info, err := f.Stat(); err != nil || info.Size() != want.Size {
		return false, err
	}
	size, sum, err := pump(ctx, nil, f)
	if errors.Is(err, unix.EIO) {
		return false, nil
	}
	return err == nil && size == want.Size && sum == want.Sum, err
}

// replace gives the index below root the content of from, as a whole, and reads it back from the disk.
func (j *job) replace(ctx context.Context, root *os.Root, from *os.File) (size int64, sum string, err error) {
	err = statefile.Replace(root, j.name(), 0o600, func(w io.Writer) error {
		size, sum, err = pump(ctx, w, from)
		return err
	})
	if err != nil {
		return 0, "", err
	}
	if err := j.readBack(ctx, root, size, sum); err != nil {
		return 0, "", errors.Join(err, statefile.Remove(root, j.name()))
	}
	return size, sum, nil
}

func (j *job) readBack(ctx context.Context, root *os.Root, size int64, sum string) error {
	f, err := statefile.Open(root, j.name(), 1<<62)
	if err != nil {
		return err
	}
	defer f.Close() // it was read only
	// A hint; where it is not followed the bytes come from the cache, and the sum is taken again at the next mount.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	haveSize, have, err := pump(ctx, nil, f)
	if err == nil && (haveSize != size || have != sum) {
		err = fmt.Errorf("read back %s: %d bytes with the sum %s, want %d with %s", j.name(), haveSize, have, size, sum)
	}
	return err
}
