package disk

import (
	"errors"
	"io"
)

// NextStretch is the first stretch at or after off, within size, that is no hole; io.EOF, unwrapped, where there is none.
func NextStretch(f File, off, size int64) (from, to int64, err error) {
	if from, err = f.NextData(off); err != nil {
		return 0, 0, err
	}
	if to, err = f.NextHole(from); errors.Is(err, io.EOF) {
		to, err = size, nil
	}
	if from >= size {
		return 0, 0, io.EOF
	}
	return from, min(max(to, from+1), size), err
}
