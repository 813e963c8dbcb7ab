package disk

import (
	"errors"
	"fmt"
	"io"
)

// Error is a failed operation on a file: fs.PathError with an offset.
type Error struct {
	Op   string // "read", "write", "open", ...
	Name string // the file
	Off  int64  // the offset in bytes, -1 for operations without one
	Err  error  // the cause, often a syscall.Errno
}

// Error is "op name: cause" or "op name offset N: cause".
func (e *Error) Error() string {
	if e.Off < 0 {
		return e.Op + " " + e.Name + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s %s offset %d: %v", e.Op, e.Name, e.Off, e.Err)
}

// Unwrap returns the cause, so that errors.Is finds the errno.
func (e *Error) Unwrap() error { return e.Err }

// ShortError is a transfer that ended early. It unwraps to io.ErrUnexpectedEOF
// for reads and to io.ErrShortWrite for writes.
type ShortError struct {
	Want, Have int // bytes
	Err        error
}

// Error says how much of the transfer happened.
func (e *ShortError) Error() string {
	return fmt.Sprintf("short transfer: want %d bytes, have %d: %v", e.Want, e.Have, e.Err)
}

// Unwrap returns io.ErrUnexpectedEOF or io.ErrShortWrite.
func (e *ShortError) Unwrap() error { return e.Err }

// fail wraps a cause; nil stays nil.
func fail(op, name string, off int64, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Off: off, Err: err}
}

// ReadFull fills p from off. The end of the file before that is an *Error that
// matches io.ErrUnexpectedEOF and tells how much there was.
func ReadFull(f File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fail("read", f.Name(), off, &ShortError{Want: len(p), Have: n, Err: io.ErrUnexpectedEOF})
	}
	return err
}

// WriteFull writes all of p at off, or returns an error that tells how much
// arrived.
func WriteFull(f File, p []byte, off int64) error {
	n, err := f.WriteAt(p, off)
	if err == nil && n != len(p) {
		err = fail("write", f.Name(), off, &ShortError{Want: len(p), Have: n, Err: io.ErrShortWrite})
	}
	return err
}
