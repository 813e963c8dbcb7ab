package verify

import (
	"slices"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// Kind says what is wrong with a range of a file.
type Kind string

const (
	// Lost: the content was lost before, its hash is known.
	Lost Kind = "lost"
	// Mismatch: the block does not hold what the entry's hash says.
	Mismatch Kind = "mismatch"
	// Unreadable: the disk does not give the block back.
	Unreadable Kind = "unreadable"
	// Impossible: the entry names no block of the volume, or a block of zeros with the hash of something else.
	Impossible Kind = "impossible entry"
	// Missing: the file is longer than its entries reach.
	Missing Kind = "missing entry"
	// Differs: the outside file has something else there.
	Differs Kind = "differs"
	// OnlyStored and OnlyOutside: one of the files is longer.
	OnlyStored  Kind = "only in the volume"
	OnlyOutside Kind = "only outside"
)

// maxFindings bounds the list of findings; what is beyond is counted.
const maxFindings = 1000

// Finding is a range of the file with one thing wrong.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Offset uint64 `json:"offset"` // in bytes
	Length uint64 `json:"length"`
	// Address of the first block concerned, 0 where there is none.
	Address uint64 `json:"address,omitempty"`
	Text    string `json:"text,omitempty"` // what the disk said
}

// Report is the outcome for one file.
type Report struct {
	// Size of the file in bytes, and of the outside file if there is one.
	Size        uint64  `json:"size"`
	OutsideSize *uint64 `json:"outside_size,omitempty"`
	// Entries were compared; of them Zero are blocks of zeros that are not stored.
	Entries uint64 `json:"entries"`
	Zero    uint64 `json:"zero"`
	// Read is how many bytes were read and hashed.
	Read uint64 `json:"bytes_read"`
	// IndexChecked: the stored blocks were not read, but the index has the hash of every entry at the entry's address, or the block was
	// read after all. Without it what the stored blocks hold is not known from a comparison with an outside file.
	IndexChecked bool `json:"index_checked"`
	// Changing is how many entries changed whenever they were looked at, or came or went meanwhile; nothing is known of them.
	Changing uint64 `json:"changing"`
	// Findings are in the order of offsets; More are not listed.
	Findings []Finding `json:"findings"`
	More     uint64    `json:"more_findings"`
}

// Good tells whether all of the file was looked at and nothing was found.
func (r *Report) Good() bool { return !r.Damaged() && r.Changing == 0 }

// Damaged tells whether something was found. A file that is neither good nor damaged was being written.
func (r *Report) Damaged() bool { return len(r.Findings) > 0 || r.More > 0 }

// Target is the stored file.
type Target struct {
	FS       disk.FS
	Geometry *format.Geometry
	// Blocks is the path of the block file, File that of the underlying file.
	Blocks, File string
	// Refresh stores what the serving process still holds of the file; nil where it is not served.
	Refresh func() error
	// Known is where the index has the block with a hash; nil where there is no index at hand. It is called by several goroutines at once.
	Known func(h *blockhash.Hash) (format.Address, bool)
}

// Options of a verification.
type Options struct {
	// Workers is how many blocks are hashed at once, 0 for some more than there are processors.
	Workers int
	// Progress is called with bytes; nil drops it.
	Progress progress.Func
}

// sorted puts the findings in order, joins neighbours of one kind and cuts the list.
func (r *Report) sorted() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(int64(a.Offset) - int64(b.Offset)) })
	joined := append([]Finding{}, r.Findings[:0]...) // not nil: programs read a list
	for _, f := range r.Findings {
		last := len(joined) - 1
		if last >= 0 && joined[last].Kind == f.Kind && joined[last].Offset+joined[last].Length == f.Offset && (f.Kind == Differs || f.Kind == Lost) {
			joined[last].Length += f.Length
			continue
		}
		joined = append(joined, f)
	}
	r.Findings = joined
	if n := len(joined) - maxFindings; n > 0 {
		r.More += uint64(n)
		r.Findings = joined[:maxFindings]
	}
}
