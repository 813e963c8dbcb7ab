package scrub

// BadBlock is a block that does not hold what it should.
type BadBlock struct {
	Address uint64 `json:"address"`
	// Hash is that of the content it should have, in hex.
	Hash string `json:"hash"`
	// Found is when, in seconds since 1970.
	Found      int64 `json:"found"`
	Unreadable bool  `json:"unreadable"`
}

// Damage is a block of a file that is lost until its content is written again.
type Damage struct {
	Path string `json:"path"` // relative to the root of the users' tree, or of the quarantine
	// Quarantine: the file lies in the quarantine.
	Quarantine bool   `json:"quarantine,omitempty"`
	Offset     uint64 `json:"offset"` // in the file, in bytes
	Address    uint64 `json:"address"`
}

// Status is what is known of the volume from all runs so far.
type Status struct {
	// Regions of RegionBytes each; only those with blocks count. Never is how many were never wholly verified.
	Regions     int    `json:"regions"`
	Never       int    `json:"regions_never_verified"`
	RegionBytes uint64 `json:"region_bytes"`
	// Oldest is when the region was verified that was not for the longest time, in seconds since 1970; 0: there is none.
	Oldest int64 `json:"oldest"`
	// Cursor is the address where the next run goes on, 0 at the beginning.
	Cursor uint64 `json:"cursor"`
	// BadBlocks are bad and not healed yet, as far as is known; MoreBad are not listed.
	BadBlocks []BadBlock `json:"bad_blocks"`
	MoreBad   uint64     `json:"more_bad_blocks"`
	Notes     []string   `json:"notes,omitempty"`
}

// Report is the outcome of a run.
type Report struct {
	// Blocks and Bytes were read and hashed.
	Blocks uint64 `json:"blocks"`
	Bytes  uint64 `json:"bytes"`
	// Bad and Unreadable count what was found by this run or before, and is not healed.
	Bad        uint64 `json:"bad"`
	Unreadable uint64 `json:"unreadable"`
	// New is how many of them this run has found.
	New uint64 `json:"new"`
	// Files lists what is lost in files; MoreDamage places are not listed. AffectedFiles is the number of files.
	Files         []Damage `json:"files"`
	MoreDamage    uint64   `json:"more_damage"`
	AffectedFiles uint64   `json:"affected_files"`
	// Complete: everything that was to be verified was. Stopped says why not: "time", "interrupted", "error".
	Complete bool    `json:"complete"`
	Stopped  string  `json:"stopped,omitempty"`
	Seconds  float64 `json:"seconds"`
	Status
}

// Damaged tells whether there are blocks that are bad and not healed.
func (r *Report) Damaged() bool { return r.Bad+r.Unreadable > 0 }

// Rate is the average in bytes a second.
func (r *Report) Rate() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return float64(r.Bytes) / r.Seconds
}
