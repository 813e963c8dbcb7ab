package config

import (
	"time"
)

// Config is one file of settings. Fields without a tag are not in the file. Names of machines and volumes are exact: dc and dc-2 are two of them.
type Config struct {
	File  string `toml:"-" json:"file"` // where it was read; empty for Default
	notes []Note // what is legal and deserves a word

	Paths     Paths     `toml:"paths"`
	Backup    Backup    `toml:"backup"`
	Timeout   Timeout   `toml:"timeout"`
	Buffer    Buffer    `toml:"buffer"`
	Retention Retention `toml:"retention"`
	Verify    Verify    `toml:"verify"`
	Schedule  Schedule  `toml:"schedule"`
	Mail      Mail      `toml:"mail"`
	Webhook   Webhook   `toml:"webhook"`
	Ping      Ping      `toml:"ping"`
	Log       Log       `toml:"log"`
	Control   Control   `toml:"control"`

	Source  Sources  `toml:"source"`
	Borg    []Borg   `toml:"borg"`
	Volumes []Volume `toml:"volume"` // their order is the order of the rotation
	Servers []Server `toml:"server"`

	// The following are read, checked and kept for later releases.
	Restore Restore `toml:"restore"`
	Format  Format  `toml:"format"`
	UPS     UPS     `toml:"ups"`
}

// Paths are places of this machine, absolute.
type Paths struct {
	Buffer       string `toml:"buffer"`        // folder of backups on the fast disk; needed by sources with via = "buffer"
	VolumeMount  string `toml:"volume_mount"`  // mount point of the current volume
	SecondMount  string `toml:"second_mount"`  // mount point of a volume that is looked at read-only
	VolumeSubdir string `toml:"volume_subdir"` // folder of backups in a volume; one name
	Disks        string `toml:"disks"`         // a disk NAME is mounted at disks/NAME
	State        string `toml:"state"`         // jobs, queues, logs; survives everything
	Signals      string `toml:"signals"`       // folder of the predecessor's signal files; empty: none is watched
	Spool        string `toml:"spool"`         // the predecessor's jobs; kept, not read
	Index        string `toml:"index"`         // indexes of the volumes, UUID.idx each, on a fast disk
	Socket       string `toml:"socket"`        // of tresor's other verbs
	Temporary    string `toml:"temporary"`     // mount points of snapshots; must be empty at the start
}

// Backup is what a round does.
type Backup struct {
	DirectRuns      int           `toml:"direct_runs_before_async"` // -1: always into the volume, 0: always by the buffer, n: n of the one, then one of the other
	PauseAfterRound bool          `toml:"pause_after_round"`        // false: the next round begins at once, and no disk is changed unasked
	Attempts        int           `toml:"attempts"`                 // of a job, the first included
	RetryAfter      time.Duration `toml:"retry_after"`              // doubled after each attempt
	Overdue         time.Duration `toml:"overdue"`                  // no good backup of a machine for so long is told; 0: never
	Between         time.Duration `toml:"between_rounds"`           // that follow each other without a pause
	AfterFailure    time.Duration `toml:"after_failure"`            // the same after a round that was not ok
	VolumeWait      time.Duration `toml:"volume_wait"`              // without a volume: then a machine has failed in this round, its job stays; 0: it waits
	FailOvers       int           `toml:"fail_overs"`               // automatic changes of a dead disk within the next; -1: as many as there are volumes
	FailOverWithin  time.Duration `toml:"fail_over_within"`
	Stalled         time.Duration `toml:"stalled"` // nothing moves for so long, though something is being done, is told; 0: never
}

// Control is about the machine that the service runs on.
type Control struct {
	RebootCommand []string `toml:"reboot_command"` // program and arguments, no shell
}

// Timeout has the deadlines of what is done with volumes: nothing waits for ever.
type Timeout struct {
	Step    time.Duration `toml:"step"`    // mounting and unmounting the disk, a look at what is there
	Mount   time.Duration `toml:"mount"`   // of the volume, with the check or repair that it needs
	Index   time.Duration `toml:"index"`   // reading or copying of an index
	Drain   time.Duration `toml:"drain"`   // until jobs let go of the volume
	Idle    time.Duration `toml:"idle"`    // until the queue is empty, at a soft switch
	Unmount time.Duration `toml:"unmount"` // with all tries while it is in use
	Alive   time.Duration `toml:"alive"`   // a write into the volume, to see whether it is there
}

// Buffer is the fast disk.
type Buffer struct {
	EmergencyPercent int           `toml:"emergency_percent"` // above it verified copies are released at once; 0: never
	Reserve          int64         `toml:"reserve"`           // bytes that a backup leaves free
	FirstBackup      int64         `toml:"first_backup"`      // bytes that are to be free for a machine whose size is not known yet; 0: ten times Reserve
	WaitWarn         time.Duration `toml:"wait_warn"`         // of waiting for room: then it is told; 0: never
	WaitLimit        time.Duration `toml:"wait_limit"`        // of the same: then the machine has failed in this round; 0: it waits
}

// Retention says what is kept. Counts are per machine. With any of the four calendar rules the backups that they choose are kept beside those of the count.
type Retention struct {
	BufferVersions       int `toml:"buffer_versions"`
	VolumeVersions       int `toml:"volume_versions"` // at most; the fill control may lower it
	FillMaxPercent       int `toml:"fill_max_percent"`
	MinVersions          int `toml:"min_versions"`            // the fill control goes no lower
	UnverifiedMaxAgeDays int `toml:"unverified_max_age_days"` // 0: they stay
	EvidenceDays         int `toml:"evidence_days"`           // of copies that differed from their source; 0: they stay
	Daily                int `toml:"daily"`
	Weekly               int `toml:"weekly"` // ISO weeks
	Monthly              int `toml:"monthly"`
	Yearly               int `toml:"yearly"`
}

// Keep overrides Retention for one machine or one volume; nil is what stands above.
type Keep struct {
	BufferVersions       *int `toml:"buffer_versions"`
	VolumeVersions       *int `toml:"volume_versions"`
	FillMaxPercent       *int `toml:"fill_max_percent"`
	MinVersions          *int `toml:"min_versions"`
	UnverifiedMaxAgeDays *int `toml:"unverified_max_age_days"`
	EvidenceDays         *int `toml:"evidence_days"`
	Daily                *int `toml:"daily"`
	Weekly               *int `toml:"weekly"`
	Monthly              *int `toml:"monthly"`
	Yearly               *int `toml:"yearly"`
}

// Modes of verification.
const (
	VerifyFull = "full" // all of the copy is read back from the disk
	VerifyNew  = "new"  // only the blocks that the copy added
)

// Verify says how copies are proved.
type Verify struct {
	Mode           string        `toml:"mode"`
	SourceAgain    bool          `toml:"source_again"`    // the source is read a second time
	SourceParallel bool          `toml:"source_parallel"` // that is done while the target is read, not before
	TargetAsync    bool          `toml:"target_async"`    // the next copy may begin before the last is proved
	Workers        int           `toml:"workers"`         // that read and hash, each a file of its own; 0: two
	IdleIO         bool          `toml:"idle_io"`         // reading gives way to others
	ScrubMaxAge    time.Duration `toml:"scrub_max_age"`   // of the scrub that mode new relies on; 0: any
	Scrub          []string      `toml:"scrub"`           // calendar expressions: when stored blocks are read and proved
	ScrubLimit     time.Duration `toml:"scrub_limit"`     // of one scrub, which goes on where the last one ended; 0: the whole volume
	ScrubEvery     time.Duration `toml:"scrub_every"`     // no planned scrub of a volume whose last complete one is younger; 0: at each time of Scrub
	ScrubAlert     time.Duration `toml:"scrub_alert"`     // a volume whose last complete scrub is older is told; 0: never
}

// Schedule says when rounds begin. Its expressions are those of orchestrator/schedule.
type Schedule struct {
	Start            []string `toml:"start"`              // of a round; empty: only by `tresor run`
	TimeZone         string   `toml:"time_zone"`          // as in "Europe/Berlin"; "Local": the machine's
	Continuous       bool     `toml:"continuous"`         // the pause after a round ends with the change of the disk
	Switch           []string `toml:"switch"`             // changes of the disk at fixed times, after the jobs are done
	SwitchAfterRound bool     `toml:"switch_after_round"` // with Backup.PauseAfterRound
	Prune            []string `toml:"prune"`              // beside those at each change of a disk
}

// Log is about the logs of runs.
type Log struct {
	Dir        string `toml:"dir"`          // empty: runs in the state directory
	Level      string `toml:"level"`        // debug, info, warning, error
	KeepRuns   int    `toml:"keep_runs"`    // 0: any number
	MaxAgeDays int    `toml:"max_age_days"` // 0: any age
	MaxSize    int64  `toml:"max_size"`     // bytes of all logs; 0: any
	Journal    bool   `toml:"journal"`      // to journald as well
}

// Note is something about a file that is legal, and that its writer should know.
type Note struct {
	Line int    `json:"line,omitempty"` // 0: none in particular
	Text string `json:"text"`
}

// Notes are what `config check` says of a file without mistakes.
func (c *Config) Notes() []Note { return append([]Note(nil), c.notes...) }
