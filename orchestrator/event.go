package orchestrator

import (
	"slices"
	"strings"
	"time"
)

// Severity of an event.
type Severity string

const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Failure Severity = "error"
)

// Event is something that people are told. A failure says what, where, why and what to do: Lacks holds it against that.
type Event struct {
	Time     time.Time `json:"time"`
	Severity Severity  `json:"severity"`
	Kind     string    `json:"kind"`             // one of the kinds below
	Subject  string    `json:"subject"`          // one line: what
	Body     string    `json:"body,omitempty"`   // plain text: why
	Advice   string    `json:"advice,omitempty"` // what to do
	Run      string    `json:"run,omitempty"`    // id of the run whose log goes with it
	Machine  string    `json:"machine,omitempty"`
	Volume   string    `json:"volume,omitempty"`
}

// Kinds of events.
const (
	Started      = "start"       // the service has started, or could not
	RunEnded     = "run"         // a round over all machines, with one line for each
	CopyFailed   = "copy-failed" // a job has used up its attempts
	VerifyFailed = "verify-failed"
	SwitchEnded  = "switch"    // with the report
	NoVolume     = "no-volume" // no disk can be used
	NoSpace      = "no-space"
	ScrubFound   = "scrub"         // damage
	ScrubOverdue = "scrub-overdue" // a volume was not proved for too long
	Overdue      = "overdue"       // no good backup of a machine for too long
	Stalled      = "stalled"       // nothing moves
	Recovered    = "recovered"     // what was told by one of the last three kinds is over
	SignalStuck  = "signal"        // a file of the predecessor's signals was served and cannot be removed
	RebootFailed = "reboot"        // the machine was to be started anew, and is not
	StepFailed   = "step-failed"   // something that the service does by itself, such as pruning, went wrong
	TestMail     = "test"
)

// Kinds are all of them.
func Kinds() []string {
	return []string{Started, RunEnded, CopyFailed, VerifyFailed, SwitchEnded, NoVolume, NoSpace, ScrubFound, ScrubOverdue, Overdue, Stalled, Recovered, StepFailed, SignalStuck, RebootFailed,
		TestMail}
}

// Lacks is what is missing of what a failure or a warning has to say: what, where, why, what to do. Every message names the machine on which the service
// runs: that is the place of what concerns the service as a whole. Elsewhere it is a machine, a volume, a run, or a path in the text.
func (e Event) Lacks() (list []string) {
	if strings.TrimSpace(e.Subject) == "" {
		list = append(list, "what")
	}
	if e.Severity == Info {
		return list
	}
	whole := slices.Contains([]string{Started, NoVolume, SwitchEnded, Stalled, StepFailed, RebootFailed}, e.Kind)
	if !whole && e.Machine+e.Volume+e.Run == "" && !strings.Contains(e.Subject+e.Body, "/") {
		list = append(list, "where")
	}
	if strings.TrimSpace(e.Body) == "" {
		list = append(list, "why")
	}
	if strings.TrimSpace(e.Advice) == "" {
		list = append(list, "what to do")
	}
	return list
}

// Notifier takes events. It never blocks a backup: what it cannot deliver it keeps, and tries again.
type Notifier interface {
	Notify(e Event) error // an error: it could not even be kept
}
