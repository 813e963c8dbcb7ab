package index

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// PanicError is a panic in one work on a volume, such as a copy or a reclaim, a bug of this program, as the error of that work: a process that serves the
// volume has others to serve. Whoever serves it has to tell the volume (Volume.Halfway), since what was left half done nobody knows. A panic while blocks
// or entries are stored is no PanicError: it has stopped the volume already (Volume.Bug).
type PanicError struct {
	Value any
	Stack []byte // of the goroutine that fell
}

// Error does not have the stack: that is for a log.
func (e *PanicError) Error() string { return fmt.Sprintf("a bug in this program: panic: %v", e.Value) }

// Caught does a piece of work, and makes an error of a panic of it.
func Caught(work func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return work()
}

// PanicOf is the panic that an error comes from, nil if it comes from none.
func PanicOf(err error) *PanicError {
	var p *PanicError
	if errors.As(err, &p) {
		return p
	}
	return nil
}
