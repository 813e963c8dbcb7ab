package source

import (
	"errors"
	"fmt"
	"strings"
)

// Steps of a source's way, as an Error names them.
const (
	StepLook    = "look"     // are the paths there?
	StepFind    = "find"     // list the snapshots
	StepCreate  = "snapshot" // make one
	StepMount   = "mount"
	StepUnmount = "unmount"
	StepDestroy = "destroy" // the snapshot
	StepSweep   = "sweep"   // what an earlier run left mounted
)

// Error is what went wrong with one source. The others are not concerned: whoever has several goes on with the next.
type Error struct {
	Machine string
	Kind    string
	Step    string
	Err     error
	Left    []string // what we made and could not undo; Clean tries again
	Undo    error    // why not
}

func (e *Error) Error() string {
	text := fmt.Sprintf("source %s (%s): %s: %v", e.Machine, e.Kind, e.Step, e.Err)
	if len(e.Left) > 0 {
		text += fmt.Sprintf("; left behind: %s: %v", strings.Join(e.Left, ", "), e.Undo)
	}
	return text
}

// Unwrap gives the cause, and why what is left could not be undone.
func (e *Error) Unwrap() []error {
	if e.Undo == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Undo}
}

// ErrBusy is a tree of a machine that is open already.
var ErrBusy = errors.New("it is open already")
