package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

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
	maxSums   = 64 << 20 // of a checksum.crc of the predecessor, whose backups are some disks
)

// ErrPinned is a backup that is not deleted: somebody pinned it, or its record cannot be read, so that nobody knows whether somebody did.
var ErrPinned = errors.New("the backup is pinned")

// ErrNotMounted is a folder below which the volume is missing.
var ErrNotMounted = errors.New("nothing is mounted there (" + unmarked + " is visible)")

// Folder is a folder of backups. It holds nothing open between calls, so that a volume can be unmounted. It may be used concurrently; the same backup is
// changed by one caller at a time.
type Folder struct {
	dir string
	top string // the folder is a directory right below it, and no symlink; empty: dir is opened as it is
	// guard is held from the last look at a pin until the backup has lost its name; nil: nobody else changes records.
	guard sync.Locker
}

// Open is the folder dir, an absolute path that an administrator chose: symlinks in it are followed. It need not exist yet.
func Open(dir string) *Folder { return &Folder{dir: dir} }

// Within is the folder name right below top, an absolute path such as the root of a volume. Whoever wrote the volume had a free hand there, so that a
// symlink in its place is an error: it could name the backups of another disk.
func Within(top, name string) *Folder { return &Folder{dir: filepath.Join(top, name), top: top} }

// Guarded is the folder whose Delete takes the lock that those hold who pin or change a record: for a moment, not while it removes files. Pin, Change and
// WriteRecord do not take it.
func (f *Folder) Guarded(lock sync.Locker) *Folder {
	g := *f
	g.guard = lock
	return &g
}

// Dir is its path.
func (f *Folder) Dir() string { return f.dir }

// root opens the folder for one operation: what happens below it cannot leave it.
func (f *Folder) root() (*os.Root, error) {
	root, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("folder of backups %s: %w", f.dir, err)
	}
	if _, err := root.Lstat(unmarked); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("folder of backups %s: %w", f.dir, ErrNotMounted), root.Close())
	}
	return root, nil
}

func (f *Folder) open() (*os.Root, error) {
	if f.top == "" {
		return os.OpenRoot(f.dir)
	}
	name, err := filepath.Rel(f.top, f.dir)
	if err != nil {
		return nil, err
	}
	top, err := os.OpenRoot(f.top)
	if err != nil {
		return nil, err
	}
	root, err := openReal(top, name)
	return root, errors.Join(err, top.Close())
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
	Broken   bool   // there is no record, and checksum.crc is empty or has a line without a sum: somebody could not read
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
