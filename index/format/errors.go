package format

import (
	"errors"
	"fmt"
)

// The error classes of the whole project. A layer marks an error with its
// class (Mark) and keeps its own words; callers ask with errors.Is.
var (
	// ErrCorrupt: bytes on the disk are not what the format allows.
	ErrCorrupt = errors.New("volume is corrupt")
	// ErrNoSpace: no free block, no free slot or no room on the disk below.
	ErrNoSpace = errors.New("no space left")
	// ErrBusy: another process has the volume open or mounted.
	ErrBusy = errors.New("volume is in use")
	// ErrReadOnly: the volume was opened for reading only.
	ErrReadOnly = errors.New("volume is read-only")
	// ErrUnsupported: a valid volume or call that this program cannot serve.
	ErrUnsupported = errors.New("not supported")
	// ErrIO: a block is lost, cannot be read, or is not what was written.
	ErrIO = errors.New("block is lost or unreadable")
)

// Mark gives err a class: errors.Is(Mark(class, err), class) holds, and so does
// whatever held for err. The text stays that of err. Mark of nil is nil.
func Mark(class, err error) error {
	if err == nil {
		return nil
	}
	return &markedError{class: class, err: err}
}

type markedError struct{ class, err error }

func (m *markedError) Error() string        { return m.err.Error() }
func (m *markedError) Unwrap() error        { return m.err }
func (m *markedError) Is(target error) bool { return target == m.class }

// CorruptError says which bytes are wrong. It is of class ErrCorrupt.
type CorruptError struct {
	File   string // path, empty where the decoder does not know it
	Offset int64  // in bytes from the start of the file
	What   string // the structure or field, e.g. "file header magic"
	Want   string // what the format asks for
	Have   string // what was found
}

// Error names structure, file, offset, and what was wanted and found.
func (e *CorruptError) Error() string {
	file := e.File
	if file == "" {
		file = "data"
	}
	return fmt.Sprintf("corrupt %s in %s at offset %d: want %s, have %s",
		e.What, file, e.Offset, e.Want, e.Have)
}

// Is makes every CorruptError one of class ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// InFile returns err with the file's name and base added, where err is a
// CorruptError of a decoder that knew only its own bytes: base is the offset in
// the file at which those bytes begin. Any other error is returned as it is.
func InFile(file string, base int64, err error) error {
	var c *CorruptError
	if !errors.As(err, &c) || c.File != "" {
		return err
	}
	d := *c
	d.File = file
	d.Offset += base
	return &d
}
