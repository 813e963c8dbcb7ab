package service

import (
	"context"
	"time"

	"tresor/orchestrator"
)

// Parts are what stays the same as long as the service runs.
type Parts struct {
	Dir   string // of the state; only one service may use it
	Clock orchestrator.Clock
	// Load reads the configuration and makes the parts that hang on it: at the start and at each reload. After an error the old ones stay.
	Load  func(ctx context.Context) (*Snapshot, error)
	Jobs  Jobs
	NewID func() string // of rounds
	Log   Log
	// Changed is called after each change of the state, to tell the service manager; it must not block. May be nil.
	Changed func(text string)
	// Served is called when a switch was tried, before that is noted: whoever asked for it in a way of his own hears of it. May be nil.
	Served func()
}

// Log tells what happens to whoever reads logs. A run is the id of a round.
type Log interface {
	BeginRun(id, title string)
	EndRun(id string, ok bool)
	Say(s orchestrator.Severity, run, text string)
}

// Snapshot is one configuration, and the parts that were made by it. It is never changed.
type Snapshot struct {
	Machines []Machine // in the order of their backups
	Settings Settings
	Volumes  Volumes
	Buffer   Buffer // nil: there is none
	Keeper   Keeper
	Targets  []Target
	Notifier orchestrator.Notifier
	Times    []Timer
	// Use is called when the snapshot takes the place of another one, or is the first. After an error it is not used. May be nil.
	Use func() error
	// Trend is what is known of the backups of a machine; nil beside a nil error: nothing. The field may be nil.
	Trend func(machine string) (*Trend, error)
	// ScrubDue tells whether a planned scrub has anything to do on a volume. nil: it always has.
	ScrubDue func(now time.Time, volume string, note VolumeNote) bool
	// Close gives back what the parts hold, when another snapshot has taken its place or the service ends. May be nil.
	Close func() error
}

// Settings are numbers and switches of the loop. The zero value is a loop that waits for requests.
type Settings struct {
	DirectRuns       int           // for machines that go over the buffer, see chooseWay
	PauseAfterRound  bool          // after a round everything waits for a schedule or a person; without it rounds follow each other
	SwitchAfterRound bool          // with that: the disk is changed as soon as all copies are done
	Continuous       bool          // with that: the pause ends with the change of the disk
	Between          time.Duration // two rounds of continuous mode
	AfterFailure     time.Duration // the same after a round in which a machine failed
	Reserve          int64         // bytes that a backup leaves free on the buffer
	FirstNeed        int64         // bytes that are expected of a machine that was never backed up
	AdmissionWarn    time.Duration // of waiting for room on the buffer
	AdmissionLimit   time.Duration // of the same: the machine has failed then
	VolumeLimit      time.Duration // without a volume: a machine that goes straight into it has failed then, its job stays; 0: none
	Poll             time.Duration // between two tries, and two looks at what cannot be waited for
	Overdue          time.Duration // a machine without a good backup for so long is reported; 0: never
	ScrubLimit       time.Duration // of one scrub; 0: the whole volume
	DrainLimit       time.Duration // for work that was cut off to end
	IdleLimit        time.Duration // for jobs to be done before a soft switch: then it comes anyway; 0: none
	CloseLimit       time.Duration // for the volume to be closed at the end
	FailOverLimit    int           // automatic changes of a dead disk within FailOverWithin
	FailOverWithin   time.Duration
}

// Machine is what is backed up under one name.
type Machine struct {
	Name    string
	Source  orchestrator.Source
	Way     Way
	Blocked interface{ Blocked(t time.Time) bool } // hours in which it is left alone; nil: none
	Overdue time.Duration                          // instead of the one of Settings, if not 0
	Targets []string                               // names of further targets that get it too
}

// Kinds of timers.
const (
	TimerStart  = "start"  // a round begins, and a pause after a round ends
	TimerSwitch = "switch" // a soft switch
	TimerPrune  = "prune"
	TimerScrub  = "scrub"
)

// Timer says when something is due. Names are unique: under them it is remembered when it was served.
type Timer struct {
	Name, Kind string
	When       interface {
		Next(after time.Time) time.Time // the first moment after; zero: never
	}
}

// Volume is one that is mounted and can be written.
type Volume struct {
	Name  string // as in the configuration
	ID    string // that it keeps
	Store orchestrator.Store
}

// Volumes are the disks of the rotation. One is in use at a time. Methods return soon after their ctx ends; what they have begun with a disk may go on then, and is
// waited for, or with Close cut off, by the next one.
type Volumes interface {
	// Open returns the volume that is in use; if there is none it mounts the one that was used last, or the first that can be.
	Open(ctx context.Context) (Volume, error)
	// Check proves that the volume is still there and can be written.
	Check(ctx context.Context, v Volume) error
	// Switch takes the volume in use away and mounts the next one, or the one named to. If no other one can be mounted it mounts the old one again.
	Switch(ctx context.Context, to string) (Switched, error)
	// Close unmounts what is in use.
	Close(ctx context.Context) error
	// Disks tells what is known about every disk. It changes nothing.
	Disks(ctx context.Context) ([]Disk, error)
}

// Switched is what a switch did, also beside an error.
type Switched struct {
	From, To string   // To is empty if nothing is mounted now
	FellBack bool     // To is From, because no other one could be mounted
	Tried    []string // "name: why not"
	Take     []string // disks that can be taken away now
}

// Disk is what is known about a disk.
type Disk struct {
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Use      string    `json:"use,omitempty"` // rotation, or its day
	Current  bool      `json:"current"`
	Attached bool      `json:"attached"`
	Take     bool      `json:"take_away"` // it can be taken away
	Next     bool      `json:"next,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Note     string    `json:"note,omitempty"` // what keeps it, or what went wrong when it was looked at
}

// Order is what a new job is made of.
type Order struct {
	Backup, Machine string
	Kind            string // of the source
	Begun           time.Time
	Roots           []orchestrator.Root // of a source; none: it comes from the buffer
	Token           string              // of the source's snapshot
	Buffer          string              // directory of the backup on the buffer
}

// Job is what the loop knows of a job.
type Job struct {
	ID       string    `json:"id"`
	Backup   string    `json:"backup"`
	Machine  string    `json:"machine"`
	Way      Way       `json:"way"`
	State    string    `json:"state"`
	Token    string    `json:"-"`
	Volume   string    `json:"volume,omitempty"` // on which it was begun
	Attempts int       `json:"attempts"`
	After    time.Time `json:"not_before,omitzero"`
	Made     time.Time `json:"made"`
	Bytes    int64     `json:"bytes"`
	Done     int64     `json:"done"`
	New      int64     `json:"new_bytes"` // as in orchestrator.Record, and NewData
	NewData  int64     `json:"new_data"`
	Recopies int       `json:"recopies,omitempty"` // after a copy that differed
	Error    string    `json:"error,omitempty"`

	Verdict   orchestrator.Verdict `json:"verdict,omitempty"`
	Partial   []string             `json:"partial,omitempty"`
	Running   bool                 `json:"running,omitempty"` // it is being worked off just now
	Ended     bool                 `json:"ended"`             // nothing more will be done for it
	Published bool                 `json:"published"`         // ended well
	Dropped   bool                 `json:"dropped"`           // ended on an operator\'s word
}

// Jobs is the durable queue of copies into the volume. It tells people of jobs that failed or whose copy differs.
type Jobs interface {
	// List returns all jobs of the journal in the order in which they are worked off; ended ones as long as the journal keeps them.
	List() ([]Job, error)
	// Add makes a job. One for the same backup that exists already is returned as it is.
	Add(ctx context.Context, o Order) (Job, error)
	// Work does the rest of a job, as far as it comes in one attempt. tree is where a source is to be read, ignored for the buffer. After an error, the
	// end of ctx included, the job says what becomes of it; only an error beside a zero Job says that not even that is known.
	Work(ctx context.Context, id string, v Volume, tree []orchestrator.Root) (Job, error)
	// SetToken notes the snapshot that a job reads from now on.
	SetToken(ctx context.Context, id, token string) error
	// Drop ends a job on an operator's word; its source is released. Retry makes a failed one begin again.
	Drop(ctx context.Context, id string) error
	Retry(ctx context.Context, id string) error
}

// Buffer is the fast disk that machines are backed up to first.
type Buffer interface {
	// Free is the room in bytes, and its share in use in percent.
	Free(ctx context.Context) (free int64, percent int, err error)
	// List are the backups that are complete, oldest first.
	List(ctx context.Context) ([]orchestrator.Backup, error)
	// Make copies a tree to the buffer. When it returns nil the backup is complete and durable. What an earlier try of the same name left is replaced.
	Make(ctx context.Context, name string, m Machine, roots []orchestrator.Root) (orchestrator.Record, error)
	// Discard removes what is there of a backup that did not become whole.
	Discard(ctx context.Context, name string) error
	// Dir is where a backup lies.
	Dir(name string) string
	// Release notes durably that a verified copy is on a volume, so that the backup may be removed.
	Release(ctx context.Context, name string, v orchestrator.Verdict) error
	// Remove removes one backup.
	Remove(ctx context.Context, name string) error
	// Plan says which of the backups that may be removed the rules of retention remove.
	Plan(ctx context.Context, list []orchestrator.Backup) ([]string, error)
	// Full is the share of use in percent above which released backups go at once; 0: never.
	Full() int
}

// Keeper looks after the backups on a volume.
type Keeper interface {
	Backups(ctx context.Context, v Volume) ([]orchestrator.Backup, error)
	// Prune removes what the rules do not keep, and nothing that busy names. dry tells only. atSwitch: the limit of the volume is calculated anew before.
	Prune(ctx context.Context, v Volume, busy []string, atSwitch, dry bool) (Pruned, error)
	// Verify proves a published backup again and notes the outcome.
	Verify(ctx context.Context, v Volume, backup string) (orchestrator.Verification, error)
	// Corrupted are the lines that a repair has left about files that lost something, at most max of them.
	Corrupted(ctx context.Context, v Volume, max int) (lines []string, more bool, err error)
}

// Pruned is what was removed, or would be.
type Pruned struct {
	Removed []string `json:"removed"`
	Kept    int      `json:"kept"`
	Text    string   `json:"text"`           // the plan with its reasons
	Limit   string   `json:"limit"`          // for the report of a switch
	Plan    any      `json:"plan,omitempty"` // the same with all that is known of each backup
}

// Target gets the machines as well, by means of its own.
type Target interface {
	Name() string
	// Backup stores the machine. An error is told and nothing more.
	Backup(ctx context.Context, machine string, roots []orchestrator.Root) error
	// Maintain checks and prunes, after a round.
	Maintain(ctx context.Context) error
}
