package orchestrator

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// SumSegment is the length in bytes of the parts of a file that have a BLAKE3 sum of their own: a sum of all of a file could not be gone on with after a
// restart, and a sum of a part tells where a file differs.
const SumSegment = 64 << 20

// Path names something in a backup, relative to its directory. A name of a file is any bytes but NUL, and JSON is UTF-8: a byte that is none is written
// as \xNN there, a backslash as two.
type Path string

// MarshalText writes the form of JSON.
func (p Path) MarshalText() ([]byte, error) {
	var b []byte
	for rest := string(p); rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, rest[0])
		case r == '\\':
			b = append(b, `\\`...)
		default:
			b = append(b, rest[:n]...)
		}
		rest = rest[n:]
	}
	return b, nil
}

// UnmarshalText is the inverse of MarshalText.
func (p *Path) UnmarshalText(text []byte) error {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		rest := text[i+1:]
		var one [1]byte
		switch {
		case len(rest) >= 1 && rest[0] == '\\':
			b.WriteByte('\\')
			i++
		case len(rest) >= 3 && rest[0] == 'x' && decoded(one[:], rest[1:3]):
			b.WriteByte(one[0])
			i += 3
		default:
			return fmt.Errorf(`path %q: at byte %d want \\ or \x and two digits after the backslash`, text, i)
		}
	}
	*p = Path(b.String())
	return nil
}

func decoded(dst, src []byte) bool {
	_, err := hex.Decode(dst, src)
	return err == nil
}

// Digest is a BLAKE3 sum of 32 bytes; hexadecimal as text.
type Digest [32]byte

// MarshalText writes 64 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText is the inverse of MarshalText.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) || !decoded(d[:], text) {
		return fmt.Errorf("digest %q: want %d hexadecimal digits", text, hex.EncodedLen(len(d)))
	}
	return nil
}

// FileSum is what is known about the content of one name of a regular file as it was read from the source. Holes count as zeros. A backup has one for
// each name, in the order of the names' bytes.
type FileSum struct {
	Path  Path      `json:"path"`
	Size  int64     `json:"size"`
	Mtime time.Time `json:"mtime"`
	Cksum uint32    `json:"cksum"` // POSIX; the size goes with it
	XXH64 uint64    `json:"xxh64"`
	// Segments are the BLAKE3 sums of the parts of SegmentSize bytes, the last one shorter; none for an empty file.
	SegmentSize int64    `json:"segment_size"`
	Segments    []Digest `json:"segments,omitempty"`
	// Blake3 of all of the file; nil where it was not read in one go.
	Blake3 *Digest `json:"blake3,omitempty"`
	// Link is another name of the same file in the same backup, which has its content: the first one that was met.
	Link Path `json:"link,omitempty"`
	// Fresh are the blocks that the volume had not held before this copy: what a verification of mode "new" reads. Whole says that this is not known
	// of all of the file, and all of it is to be read.
	Fresh []Blocks `json:"fresh,omitempty"`
	Whole bool     `json:"whole,omitempty"`
}

// Verification is the outcome of comparing a copy with the sums of its source.
type Verification struct {
	Verdict  Verdict      `json:"verdict"`
	Mode     string       `json:"mode,omitempty"`   // full, new
	Reason   string       `json:"reason,omitempty"` // in one line: why it is not Verified; of a verified one what mode new did not read
	Compared time.Time    `json:"compared"`
	Differ   []Difference `json:"differ,omitempty"` // at most some
	// Differences is how many there are, those included that Differ has no room for.
	Differences int `json:"differences,omitempty"`
	// Read are blocks that were read back and proved. Known are those that mode new did not read, because an earlier copy had stored them; Scrubbed is
	// when they were proved last, zero: never.
	Read     uint64    `json:"read,omitempty"`
	Known    uint64    `json:"known,omitempty"`
	Scrubbed time.Time `json:"scrubbed,omitzero"`
	// Changed is what was changed in a living source since it was copied, what its buffer lost since, and what a copy that is not whole lacks: at most some.
	// None of it says anything against the copy. Changes is how many there are.
	Changed []Difference `json:"changed,omitempty"`
	Changes int          `json:"changes,omitempty"`
}

// Difference is a file whose copy is not what was read from the source.
type Difference struct {
	Path   Path     `json:"path"`
	Reason string   `json:"reason"` // what differs: wanted and found
	Have   *FileSum `json:"have,omitempty"`
	Bad    []Blocks `json:"bad,omitempty"` // that the engine could not prove
}
