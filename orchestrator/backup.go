package orchestrator

import (
	"fmt"
	"strings"
	"time"
)

// stamp is the end of a backup's name: 14 digits, UTC, so that no name comes twice when a clock is set back for winter.
const stamp = "20060102150405"

// Names inside a backup's directory that are ours, not the source's.
const (
	RecordFile   = "backup.json"   // Record
	ManifestFile = "manifest.json" // sums of all files
	SumsFile     = "checksum.crc"  // the predecessor's format
	SourceSums   = "checksum_source.crc"
	FailureMark  = "CRC-FAILURE" // the predecessor's mark of a backup that differs from its source
)

// BackupName is the name of a backup of machine that was begun at t.
func BackupName(machine string, t time.Time) string { return machine + "-" + t.UTC().Format(stamp) }

// ParseBackupName is the inverse of BackupName: the machine is what stands before the last hyphen. Names of the predecessor have the same form.
func ParseBackupName(name string) (machine string, t time.Time, err error) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return "", time.Time{}, fmt.Errorf("name of a backup %q: no hyphen, want MACHINE-YYYYMMDDHHMMSS", name)
	}
	t, err = time.ParseInLocation(stamp, name[i+1:], time.UTC)
	if err != nil || len(name)-i-1 != len(stamp) {
		return "", time.Time{}, fmt.Errorf("name of a backup %q: have %q after the last hyphen, want 14 digits of a date and a time", name, name[i+1:])
	}
	return name[:i], t, nil
}

// Verdict is what is known about the content of a backup.
type Verdict string

const (
	Unverified Verdict = ""         // nobody looked yet
	Verified   Verdict = "ok"       // both sides were read and are equal
	Mismatch   Verdict = "mismatch" // they differ
	Unreadable Verdict = "error"    // one side could not be read
	Skipped    Verdict = "skipped"  // somebody asked for none; Reason tells who
)

// Record is what is known about a backup, in its directory as RecordFile. Times are UTC.
type Record struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"` // of the job that made it
	Machine  string    `json:"machine"`
	Source   string    `json:"source"` // kind: dir, zfs, btrfs, lvm, …
	Begun    time.Time `json:"begun"`
	Copied   time.Time `json:"copied,omitzero"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`             // of all files, holes included
	NewBytes int64     `json:"new_bytes"`         // of blocks that the volume had not held before: the room that they take
	NewData  int64     `json:"new_data"`          // the content in them, never more than Bytes: the last block of a file is filled with zeros
	Partial  []string  `json:"partial,omitempty"` // what could not be backed up, and why; not empty: the backup is not whole

	Verdict  Verdict   `json:"verdict"`
	Reason   string    `json:"reason,omitempty"`
	Mode     string    `json:"mode,omitempty"` // of the verification: full, new
	Compared time.Time `json:"compared,omitzero"`
	Pinned   bool      `json:"pinned,omitempty"` // never pruned
}

// Backup is a backup as it was found in a folder of backups.
type Backup struct {
	Record
	Dir    string // absolute
	Legacy bool   // the predecessor made it: it has no record and Verdict comes from its marks, or one that was written when somebody pinned or verified it
}
