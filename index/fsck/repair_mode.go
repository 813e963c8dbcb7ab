package fsck

import (
	"fmt"
	"strings"
)

// Mode is what a repair relies on.
type Mode uint8

// The modes, by their options of the original (format page, section 9).
const (
	// Normal (-n) hashes what is in doubt, and relies on the rest of the index.
	Normal Mode = iota
	// Trusting (-N) takes over without hashing what the entries of all files say with one voice. What files disagree about, and what only a
	// file with an unusable header says, is hashed. Content that has decayed, and entries that are wrong in all files alike, stay unnoticed.
	Trusting
	// Rebuild (-r) relies on nothing: the index is made anew from the blocks that files refer to, all of which are hashed.
	Rebuild
	// RebuildAll (-R) hashes every block of the block file, holes left out.
	RebuildAll
)

// Rebuilds tells whether the index is made anew whatever state it is in.
func (m Mode) Rebuilds() bool { return m == Rebuild || m == RebuildAll }

// String is the option that stands for the mode.
func (m Mode) String() string {
	if int(m) < len("nNrR") {
		return "-" + string("nNrR"[m])
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// MarshalText makes the mode its option in JSON.
func (m Mode) MarshalText() ([]byte, error) { return []byte(strings.TrimPrefix(m.String(), "-")), nil }
