package recipe

import (
	"errors"
	"fmt"
	"io"
)

// readAt fills p as far as the file goes and returns how much that is. A read that ends before the file does is no end of the file: the rest is asked for
// once more, and if nothing comes then, it is an error (io.ErrUnexpectedEOF). Else a disk that delivers less than it has would have blocks
// count as unused. A file that is cut meanwhile ends where it then ends.
func (r *File) readAt(p []byte, off int64) (int, error) {
	for done := 0; ; {
		n, err := r.f.ReadAt(p[done:], off+int64(done))
		done += n
		if done == len(p) {
			return done, nil
		}
		if !errors.Is(err, io.EOF) {
			return done, err
		}
		length, err := r.f.Size()
		if err != nil {
			return done, err
		}
		if length <= off+int64(done) {
			return done, nil
		}
		if n == 0 {
			return done, fmt.Errorf("read %s at offset %d of %d: %w", r.f.Name(), off+int64(done), length, io.ErrUnexpectedEOF)
		}
	}
}
