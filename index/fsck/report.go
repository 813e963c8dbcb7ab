package fsck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"tresor/index/disk"
	"tresor/index/format"
)

// reportRotations is how many older reports are kept, as corrupted.txt.1 to .5.
const reportRotations = 5

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
	Err     error // why it could not be read or written; nil where that is not the trouble
}

// MarshalJSON gives letters and error as text.
func (f *FileReport) MarshalJSON() ([]byte, error) {
	out := struct {
		Path    string `json:"path"`
		Letters string `json:"letters"`
		Error   string `json:"error,omitempty"`
	}{Path: f.Path, Letters: f.Letters.String()}
	if f.Err != nil {
		out.Error = f.Err.Error()
	}
	return json.Marshal(out)
}

// Damaged tells whether the file is left damaged.
func (f *FileReport) Damaged() bool { return f.Letters.Corrupt != 0 }

// String is the line in corrupted.txt. A line end in the path is written as \n.
func (f *FileReport) String() string {
	return f.Letters.String() + " " + strings.ReplaceAll(f.Path, "\n", `\n`)
}

func compareReports(a, b FileReport) int { return strings.Compare(a.Path, b.Path) }

// writeReports renews corrupted.txt in the special directory. A repair that fixed nothing and finds the same files damaged as the
// list in place leaves that as it is.
func (v *Volume) writeReports(reports []FileReport) error {
	dir := filepath.Join(v.Root, format.SpecialName)
	name := filepath.Join(dir, format.CorruptedName)
	var text strings.Builder
	fixed, damaged := false, map[string]bool{}
	for i := range reports {
		r := &reports[i]
		line := r.String()
		text.WriteString(line + "\n")
		if r.Damaged() {
			damaged[line[len("FCSL "):]] = true
		}
		fixed = fixed || r.Letters.Fixed != 0 || r.Letters.Size == 's' || r.Letters.Length == 'l'
	}
	old, err := v.oldReports(name)
	if err != nil {
		return err
	}
	if !fixed && sameDamage(old, damaged) {
		return nil
	}
	if err := v.FS.Mkdir(dir, 0o700); err != nil && !errors.Is(err, iofs.ErrExist) {
		return fmt.Errorf("write %s: %w", format.CorruptedName, err)
	}
	if err := v.rotate(name); err != nil {
		return fmt.Errorf("write %s: %w", format.CorruptedName, err)
	}
	if err := disk.WriteFileAtomic(v.FS, name, []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", format.CorruptedName, err)
	}
	return nil
}

// oldReports reads the list in place; none is an empty one.
func (v *Volume) oldReports(name string) (string, error) {
	f, err := v.FS.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size > 1<<30 {
		return "", err
	}
	data := make([]byte, size)
	return string(data), disk.ReadFull(f, data, 0)
}

// sameDamage tells whether a list names exactly these files as damaged.
func sameDamage(list string, damaged map[string]bool) bool {
	n := 0
	for line := range strings.Lines(list) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) < len("FCSL ") || line[1] == ' ' {
			continue
		}
		if !damaged[line[len("FCSL "):]] {
			return false
		}
		n++
	}
	return n == len(damaged)
}

// rotate moves the older reports one on; the oldest goes.
func (v *Volume) rotate(name string) error {
	for i := reportRotations - 1; i >= 0; i-- {
		from := name
		if i > 0 {
			from = fmt.Sprintf("%s.%d", name, i)
		}
		if err := v.FS.Rename(from, fmt.Sprintf("%s.%d", name, i+1)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return nil
}
