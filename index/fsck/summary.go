package fsck

import (
	"fmt"
	"io"
)

// Status is the verdict of a check or a repair, and the exit status of the tools (format page, section 9).
type Status int

// The values are exit statuses.
const (
	// OK: nothing is wrong.
	OK Status = 0
	// Errors: something is wrong that a repair would put right; or, of a repair, it could not be done.
	Errors Status = 1
	// Lost: files are damaged and known to be (lost blocks, unusable headers); the volume itself is sound.
	Lost Status = 2
)

// Summary is the result of a check in numbers. Blocks 0 and 1 count as used, in the index and in files, as they do in the
// original's numbers. A file counts once for each of its names.
type Summary struct {
	Total    uint64 `json:"total"`     // blocks of the volume
	Used     uint64 `json:"used"`      // allocated
	LastUsed uint64 `json:"last_used"` // highest allocated address
	Usage    string `json:"usage"`     // a sign for each tenth of the volume: '.' empty, '*' full, else how many tenths of it are used

	Slots       uint64 `json:"slots"` // slots looked at
	IndexErrors uint64 `json:"index_errors"`
	IndexBlocks uint64 `json:"index_blocks"` // different addresses in the index
	IndexTwice  uint64 `json:"index_twice"`  // of those, in several entries
	Hashed      uint64 `json:"hashed"`       // blocks hashed by CheckOptions.Hashes
	BlockErrors uint64 `json:"block_errors"`

	Files      uint64 `json:"files"`
	FileErrors uint64 `json:"file_errors"`
	BadHeaders uint64 `json:"bad_headers"` // of those, files whose header is unusable: no repair can help
	FileBlocks uint64 `json:"file_blocks"` // different addresses in files
	LostBlocks uint64 `json:"lost_blocks"` // entries with address 1
	// Quarantined is how many files lie in the quarantine. They are not among Files, what they refer to is in FileBlocks.
	Quarantined uint64 `json:"quarantined"`

	Tested uint64 `json:"tested"` // blocks newer than the snapshot, after an unclean stop
	Wrong  uint64 `json:"wrong"`

	IndexNotFiles  uint64 `json:"index_not_files"`
	FilesNotIndex  uint64 `json:"files_not_index"`
	FilesAndIndex  uint64 `json:"files_and_index"`
	BlocksNotFiles uint64 `json:"blocks_not_files"`
	FilesNotBlocks uint64 `json:"files_not_blocks"`
}

// Status is the verdict.
func (s *Summary) Status() Status {
	switch {
	case s.IndexErrors+s.IndexTwice+s.BlockErrors+(s.FileErrors-s.BadHeaders)+s.Wrong+s.FilesNotIndex+s.FilesNotBlocks > 0:
		return Errors
	case s.LostBlocks+s.BadHeaders > 0:
		return Lost
	}
	return OK
}

// StatusText is the verdict in the words of the original.
func (s *Summary) StatusText() string {
	switch {
	case s.Status() == Errors:
		return "ERROR"
	case s.Status() == Lost:
		return "WARNING (files were already corrupted)"
	case s.IndexNotFiles+s.BlocksNotFiles > 0:
		return "OK blocks can be reclaimed"
	}
	return "OK "
}

// Print writes the summary as the original does, label by label: scripts read it.
func (s *Summary) Print(w io.Writer) error {
	p := printer{w: w}
	p.line("== Summary   ")
	p.count("Used blocks", s.Used, "", "")
	p.count("Free blocks", s.Total-s.Used, "", "")
	p.count("Last used blocks", s.LastUsed, "", "")
	p.count("Total blocks", s.Total, "", "")
	p.line(fmt.Sprintf("%-25s: %s", "Blocks usage", s.Usage))
	p.count("Index errors", s.IndexErrors, " OK", " ERR")
	p.count("Index blocks", s.IndexBlocks, "", "")
	p.count("Index blocks dup", s.IndexTwice, " OK", " ERR")
	p.count("Block errors", s.BlockErrors, " OK", " ERR")
	p.count("Files", s.Files, "", "")
	p.count("Files errors", s.FileErrors, " OK", " ERR")
	p.count("Files blocks", s.FileBlocks, "", "")
	p.count("Files lost blocks", s.LostBlocks, " OK", " WAR")
	p.count("Tested hashes", s.Tested, "", "")
	p.count("Wrong hashes", s.Wrong, " OK", " ERR")
	p.count("in index & not in files", s.IndexNotFiles, " OK", " OK can be reclaimed")
	p.count("in files & not in index", s.FilesNotIndex, " OK", " ERR corrupted index")
	p.count("in files & in index", s.FilesAndIndex, "", "")
	p.count("in blocks & not in files", s.BlocksNotFiles, " OK", " OK can be reclaimed")
	p.count("in files & not in blocks", s.FilesNotBlocks, " OK", " ERR corrupted block list")
	p.line(fmt.Sprintf("%-25s: %s", "Filesystem status", s.StatusText()))
	return p.err
}

// printer keeps the first error of several lines.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(text string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, text)
	}
}

func (p *printer) count(label string, n uint64, zero, more string) {
	if n > 0 {
		zero = more
	}
	p.line(fmt.Sprintf("%-25s: %10d%s", label, n, zero))
}
