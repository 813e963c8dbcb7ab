package fsck

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Letters say what a repair did to a file, in the original's code. Zero stands for a blank.
type Letters struct {
	Fixed   byte // 'F': it was changed and is whole
	Corrupt byte // 'C': blocks are lost or unreadable; 'H': the header is unusable
	Size    byte // 's': the size was set right; 'S': it is wrong
	Length  byte // 'l': length or entries were set right; 'L': they are wrong
}

// What is said of files that are left alone.
var (
	badHeader      = Letters{Corrupt: 'H'}
	unreadableFile = Letters{Corrupt: 'C', Length: 'L'}
)

func (l *Letters) corrupt(yes bool) {
	if yes {
		l.Corrupt, l.Fixed = 'C', 0
	}
}

func (l *Letters) fixed() {
	if l.Corrupt == 0 {
		l.Fixed = 'F'
	}
}

func (l *Letters) length()    { l.Length = 'l'; l.fixed() }
func (l *Letters) size()      { l.Size = 's'; l.fixed() }
func (l *Letters) sizeWrong() { l.Size = 'S'; l.corrupt(true) }

// String is the letters with blanks between.
func (l Letters) String() string {
	b := []byte{l.Fixed, l.Corrupt, l.Size, l.Length}
	return string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
}

// FileReport is a file that a repair fixed, or could not.
type FileReport struct {
	Path    string // relative to the root
	Letters Letters
	Place   string // where in the parent directory it was moved, for the quarantine; empty: it is where it was
	Err     error  // why it could not be read or written, or what is wrong with its header; nil where that is not the trouble
}

// MarshalJSON gives letters and error as text.
func (f *FileReport) MarshalJSON() ([]byte, error) {
	out := struct {
		Path    string `json:"path"`
		Letters string `json:"letters"`
		Place   string `json:"place,omitempty"`
		Error   string `json:"error,omitempty"`
	}{Path: f.Path, Letters: f.Letters.String(), Place: f.Place}
	if f.Err != nil {
		out.Error = f.Err.Error()
	}
	return json.Marshal(out)
}

// Damaged tells whether the file is left damaged.
func (f *FileReport) Damaged() bool { return f.Letters.Corrupt != 0 }

// String is the line in corrupted.txt. A line end in the path is written as \n.
func (f *FileReport) String() string {
	return f.Letters.String() + " " + onOneLine(f.Path)
}

// Moved is the line with the new place of a file that went to the quarantine.
func (f *FileReport) Moved() string {
	if f.Place == "" {
		return f.String()
	}
	return f.String() + " -> " + onOneLine(f.Place)
}

// onOneLine writes a line end in a path as \n: a name must not forge a line.
func onOneLine(path string) string { return strings.ReplaceAll(path, "\n", `\n`) }

func compareReports(a, b FileReport) int { return strings.Compare(a.Path, b.Path) }
