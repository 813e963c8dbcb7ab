package orchestrator

import "time"

// Severity of an event.
type Severity string

const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Failure Severity = "error"
)

// Event is something that people are told. A failure says what, where, why and what to do.
type Event struct {
	Time     time.Time `json:"time"`
	Severity Severity  `json:"severity"`
	Kind     string    `json:"kind"`             // one of the kinds below
	Subject  string    `json:"subject"`          // one line
	Body     string    `json:"body,omitempty"`   // plain text
	Advice   string    `json:"advice,omitempty"` // what to do
	Run      string    `json:"run,omitempty"`    // id of the run whose log goes with it
	Machine  string    `json:"machine,omitempty"`
	Volume   string    `json:"volume,omitempty"`
}

// Kinds of events.
const (
	RunEnded     = "run"         // a round over all machines, with one line for each
	CopyFailed   = "copy-failed" // a job has used up its attempts
	VerifyFailed = "verify-failed"
	SwitchEnded  = "switch"    // with the report
	NoVolume     = "no-volume" // no disk can be used
	NoSpace      = "no-space"
	ScrubFound   = "scrub"   // damage
	Overdue      = "overdue" // no good backup of a machine for too long
	TestMail     = "test"
)

// Notifier takes events. It never blocks a backup: what it cannot deliver it keeps, and tries again.
type Notifier interface {
	Notify(e Event) error // an error: it could not even be kept
}
