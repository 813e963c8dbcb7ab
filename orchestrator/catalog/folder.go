package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

const (
	deleting = ".deleting-" // before the name of a backup that is being removed
	partial  = ".partial"   // behind the name of one that is being made
	keepFile = "KEEPVERSIONS"
	noSkip   = "noskipcrc"
	keepKey  = "KEEPVERSIONSONFINALTARGET"
	unmarked = "NOT_MOUNTED" // lies below a mount point: who sees it looks at the empty directory under a volume that is not mounted

	maxRecord = 16 << 20 // bytes of a record that is believed
	maxKeep   = 4 << 10
)

// ErrNotMounted is a folder below which the volume is missing.
var ErrNotMounted = errors.New("nothing is mounted there (" + unmarked + " is visible)")

// Folder is a folder of backups. It holds nothing open between calls, so that a volume can be unmounted. It may be used concurrently; the same backup is
// changed by one caller at a time.
type Folder struct{ dir string }

// Open is the folder dir, an absolute path. It need not exist yet.
func Open(dir string) *Folder { return &Folder{dir: dir} }

// Dir is its path.
func (f *Folder) Dir() string { return f.dir }

// root opens the folder for one operation: what happens below it cannot leave it.
func (f *Folder) root() (*os.Root, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, fmt.Errorf("folder of backups: %w", err)
	}
	if _, err := root.Lstat(unmarked); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("folder of backups %s: %w", f.dir, ErrNotMounted), root.Close())
	}
	return root, nil
}

// Listing is what lies in a folder. All lists are in the order of names.
type Listing struct {
	Backups    []orchestrator.Backup
	Marks      map[string]Marks // of the predecessor, by the names of backups that have some
	Partial    []string         // unfinished backups: NAME.partial
	Leftovers  []string         // of deletions that did not end: names of backups
	Foreign    []string         // entries that are none of ours
	Problems   []Problem        // what could not be read as it should be
	NoSkipSums bool             // the file noskipcrc lies in the folder: also an NFS volume is verified
}

// Problem is a backup whose record or marks cannot be read. It is listed, and pinned.
type Problem struct {
	Name string `json:"name"`
	Err  error  `json:"-"`
	Text string `json:"problem"`
}

// Marks are the predecessor's files in a backup.
type Marks struct {
	Status   string // ok, warn, error; empty: no such file
	Sums     bool   // checksum.crc
	Failure  bool   // CRC-FAILURE
	Released bool   // ASYNC.OK: in a buffer, that it was copied, or that somebody gave up copying it
}

func (m Marks) none() bool { return m == Marks{} }

// List looks at the whole folder. A folder that does not exist is an error of class fs.ErrNotExist.
func (f *Folder) List(ctx context.Context) (Listing, error) {
	l := Listing{Marks: map[string]Marks{}}
	root, err := f.root()
	if err != nil {
		return l, err
	}
	defer root.Close() // nothing is written through it
	names, err := entries(root)
	if err != nil {
		return l, fmt.Errorf("list %s: %w", f.dir, err)
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return l, fmt.Errorf("list %s: %w", f.dir, err)
		}
		f.add(&l, root, name)
	}
	return l, nil
}

// entries are the names in the folder, sorted.
func entries(root *os.Root) ([]string, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, d.Close())
}

// add puts one entry of the folder in the list where it belongs.
func (f *Folder) add(l *Listing, root *os.Root, name string) {
	if base, ok := strings.CutPrefix(name, deleting); ok && isBackupName(base) {
		l.Leftovers = append(l.Leftovers, base)
		return
	}
	if base, ok := strings.CutSuffix(name, partial); ok && isBackupName(base) {
		l.Partial = append(l.Partial, name)
		return
	}
	switch name {
	case noSkip:
		l.NoSkipSums = true
		return
	case keepFile, statefile.Temporary(keepFile):
		return
	}
	b, marks, err := f.look(root, name)
	if errors.Is(err, errForeign) {
		l.Foreign = append(l.Foreign, name)
		return
	}
	if err != nil {
		l.Problems = append(l.Problems, Problem{Name: name, Err: err, Text: err.Error()})
	}
	if !marks.none() {
		l.Marks[name] = marks
	}
	l.Backups = append(l.Backups, b)
}

func isBackupName(name string) bool {
	_, _, err := orchestrator.ParseBackupName(name)
	return err == nil && !strings.ContainsAny(name, "/\x00") && !strings.HasPrefix(name, deleting)
}

// Find is one backup. An error of class fs.ErrNotExist: there is none of that name.
func (f *Folder) Find(name string) (orchestrator.Backup, error) {
	root, err := f.root()
	if err != nil {
		return orchestrator.Backup{}, err
	}
	defer root.Close() // nothing is written through it
	b, _, err := f.look(root, name)
	if errors.Is(err, errForeign) {
		err = fmt.Errorf("find backup %q in %s: %w", name, f.dir, fs.ErrNotExist)
	}
	return b, err
}

// KeepVersions is what the file KEEPVERSIONS says: how many versions of each machine this volume holds. 0: there is no such file.
func (f *Folder) KeepVersions() (int, error) {
	root, err := f.root()
	if err != nil {
		return 0, err
	}
	defer root.Close() // nothing is written through it
	text, err := statefile.Read(root, keepFile, maxKeep)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("limit of %s: %w", f.dir, err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		value, ok := strings.CutPrefix(strings.TrimPrefix(line, "let "), keepKey+"=")
		if ok {
			n, err = strconv.Atoi(strings.Trim(value, `"'`))
		}
		if !ok || err != nil || n < 1 {
			return 0, fmt.Errorf("limit of %s: %s: have the line %q, want %s=NUMBER", f.dir, keepFile, line, keepKey)
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("limit of %s: %s: have no limit in it, want a line %s=NUMBER", f.dir, keepFile, keepKey)
	}
	return n, nil
}

// SetKeepVersions writes the file KEEPVERSIONS, with 0 it removes it.
func (f *Folder) SetKeepVersions(n int) (err error) {
	if n < 0 {
		return fmt.Errorf("limit of %s: have %d versions, want 1 or more, or 0 for no limit of its own", f.dir, n)
	}
	root, err := f.root()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if n == 0 {
		err = statefile.Remove(root, keepFile)
	} else {
		err = statefile.Replace(root, keepFile, 0o644, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s=%d\n", keepKey, n)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("limit of %s: %w", f.dir, err)
	}
	return nil
}
