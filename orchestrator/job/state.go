package job

import (
	"fmt"
	"slices"
)

// State is how far a job is.
type State string

// The states of a job.
const (
	Held      State = "held"       // somebody else uses its source; see Lease
	Queued    State = "queued"     // waits for its turn, a volume, or its next attempt
	Copying   State = "copying"    // has a partial directory on Volume
	Copied    State = "copied"     // all is in bazaar.tmp/<backup>
	Verifying State = "verifying"  // the copy is being read back
	CRCFailed State = "crc_failed" // the copy differs from what was read
	Verified  State = "verified"   // may be published
	Published State = "published"  // ended: it is in bazaar
	Failed    State = "failed"     // ended: LastError says why, Dropped who wanted it
)

// transitions are all that there are.
func transitions() map[State][]State {
	return map[State][]State{
		Held:      {Queued, Failed},
		Queued:    {Held, Copying, Failed},
		Copying:   {Copied, Queued, Failed},                      // queued: another volume
		Copied:    {Verifying, Verified, Queued, Failed},         // verified: skipped with a reason; queued: another volume, or the copy is gone
		Verifying: {Verified, CRCFailed, Copied, Queued, Failed}, // copied: it failed; queued: another volume, or the copy is gone
		CRCFailed: {Queued, Failed},                              // queued: copied anew, once
		Verified:  {Published, Copied, Queued, Failed},           // copied: the volume was mounted anew; queued: another volume
		Published: {},
		Failed:    {Queued}, // an operator's retry
	}
}

// Ended tells whether nothing more is done for a job in this state.
func (s State) Ended() bool { return s == Published || s == Failed }

// Active tells whether a job in this state has something on its volume.
func (s State) Active() bool {
	return s == Copying || s == Copied || s == Verifying || s == CRCFailed || s == Verified
}

// TransitionError is a change of state that is none: a bug, or a record that somebody wrote by hand.
type TransitionError struct{ From, To State }

func (e *TransitionError) Error() string {
	return fmt.Sprintf("state of a job: from %q to %q: want one of %q", e.From, e.To, transitions()[e.From])
}

// may returns nil if a job may go from one state to the other.
func may(from, to State) error {
	if from == to || slices.Contains(transitions()[from], to) {
		return nil
	}
	return &TransitionError{from, to}
}
