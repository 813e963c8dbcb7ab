package cli

import (
	"context"
	"errors"
	"io/fs"

	"tresor/index/format"
)

// Code is an exit status of the program.
type Code int

// The exit codes of every verb except fsck, whose codes are the original's.
const (
	ExitOK          Code = 0  // done
	ExitFailure     Code = 1  // an error without a code of its own
	ExitUsage       Code = 2  // the command line is wrong; nothing was touched
	ExitBusy        Code = 3  // the volume or mount point is in use
	ExitCorrupt     Code = 4  // the volume is damaged and needs fsck
	ExitNoSpace     Code = 5  // no room in the volume or on the disk below
	ExitNoVolume    Code = 6  // there is no volume, or nothing of ours is mounted there
	ExitUnsupported Code = 7  // a valid volume or request that this program cannot serve
	ExitInterrupted Code = 8  // stopped by SIGINT, SIGTERM or SIGHUP
	ExitNotClean    Code = 9  // unmounted and closed, but not cleanly: the next mount repairs
	ExitTimeout     Code = 10 // a deadline that the command line set has passed
)

// The exit codes that only tresor has.
const (
	ExitNoService Code = 11 // no service answers on the control socket
	ExitPartly    Code = 12 // done for some, failed for others
	ExitDiffers   Code = 13 // a backup is not what its source was, or cannot be read
	ExitConfig    Code = 14 // the configuration is wrong
	ExitWaits     Code = 15 // nothing is lost and not all is done: something waits for its next attempt
)

// The exit codes of fsck, which scripts written for the original read.
const (
	FsckOK       Code = 0   // no error, or everything repaired
	FsckErrors   Code = 1   // errors were found, or the command could not do its work
	FsckDamaged  Code = 2   // only lost blocks: the volume is sound, some files are damaged
	FsckNoVolume Code = 255 // there is no volume
)

// Meaning is one row of a verb's exit codes.
type Meaning struct {
	Code Code
	Text string // for help and docs/commands.md
}

// ExitError ends the program with a given code. Err may be nil: the command has said everything already.
type ExitError struct {
	Code Code
	Err  error
}

// Exit returns err with an exit code.
func Exit(code Code, err error) error { return &ExitError{Code: code, Err: err} }

func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// usageError is a wrong command line. It is a type of its own because its code is not the same for all verbs.
type usageError struct{ err error }

// Usage marks err as a wrong command line.
func Usage(err error) error { return &usageError{err} }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// hintError adds to an error what the user can do about it.
type hintError struct {
	err  error
	hint string
}

func (h *hintError) Error() string { return h.err.Error() }
func (h *hintError) Unwrap() error { return h.err }

// Hint returns err with advice that is printed on a line of its own. Hint of nil is nil.
func Hint(err error, hint string) error {
	if err == nil || hint == "" {
		return err
	}
	return &hintError{err: err, hint: hint}
}

// HintOf is the advice that goes with err, the outermost if there are several, or "".
func HintOf(err error) string {
	var h *hintError
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

// CodeOf is the exit code for the error a command ended with. A code that the command chose itself (Exit) wins over
// the error's class.
func CodeOf(err error) Code {
	var exit *ExitError
	var usage *usageError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &exit):
		return exit.Code
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, format.ErrBusy):
		return ExitBusy
	case errors.Is(err, format.ErrCorrupt):
		return ExitCorrupt
	case errors.Is(err, format.ErrNoSpace):
		return ExitNoSpace
	case errors.Is(err, format.ErrUnsupported):
		return ExitUnsupported
	case errors.Is(err, fs.ErrNotExist):
		return ExitNoVolume
	}
	return ExitFailure
}

// FsckCodeOf is CodeOf in the codes of fsck: every failure without a code of its own is 1, a wrong command line
// included, because 2 already says something about the volume.
func FsckCodeOf(err error) Code {
	var exit *ExitError
	switch {
	case err == nil:
		return FsckOK
	case errors.As(err, &exit):
		return exit.Code
	}
	return FsckErrors
}
