package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/deadline"
)

var (
	_ orchestrator.Source = (*Dir)(nil)
	_ orchestrator.Tree   = (*dirTree)(nil)
)

// DirOptions of a Dir.
type DirOptions struct {
	Paths     []string // absolute; directories or files
	Exclude   []string // as in orchestrator.Root
	OneSystem bool     // stay on the file system of each path
}

// Dir is a machine made of directories and files as they are, without a snapshot. It is safe for concurrent use.
type Dir struct {
	machine string
	roots   []orchestrator.Root
}

// NewDir makes a Dir. Paths need not exist yet. A path inside another is refused unless each stays on its file system, because what lies there
// would be read twice.
func NewDir(machine string, o DirOptions) (*Dir, error) {
	if err := checkMachine(machine); err != nil {
		return nil, err
	}
	if len(o.Paths) == 0 {
		return nil, fmt.Errorf("source %s: no path given: there is nothing to back up", machine)
	}
	if err := checkPatterns(o.Exclude); err != nil {
		return nil, fmt.Errorf("source %s: %w", machine, err)
	}
	d := &Dir{machine: machine}
	for _, p := range o.Paths {
		if !filepath.IsAbs(p) || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("source %s: path %q: want an absolute path", machine, p)
		}
		p = filepath.Clean(p)
		for _, r := range d.roots {
			if p == r.Path || !o.OneSystem && (inside(p, r.Path) || inside(r.Path, p)) {
				return nil, fmt.Errorf("source %s: paths %s and %s: the one is in the other, and would be read twice", machine, r.Path, p)
			}
		}
		name, err := filepath.Rel("/", p)
		if err != nil {
			return nil, fmt.Errorf("source %s: path %q: %w", machine, p, err)
		}
		d.roots = append(d.roots, orchestrator.Root{Path: p, Name: name, Exclude: slices.Clone(o.Exclude), OneSystem: o.OneSystem})
	}
	return d, nil
}

// Machine is the name of the backups.
func (d *Dir) Machine() string { return d.machine }

// Kind is "dir".
func (d *Dir) Kind() string { return "dir" }

// lookTime is how long a directory may take to answer: that of a server that is gone never does.
const lookTime = time.Minute

// Open looks that every path is there. A path that is a symbolic link is refused: only the link would be backed up. Dirs have no token.
func (d *Dir) Open(ctx context.Context, _ string) (orchestrator.Tree, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, fmt.Errorf("not done within %v", lookTime))
	defer cancel()
	var bad []error
	for _, r := range d.roots {
		info, err := deadline.Run(ctx, "look at "+r.Path, func() (os.FileInfo, error) { return os.Lstat(r.Path) })
		if err == nil && info.Mode()&os.ModeSymlink != 0 {
			target, linkErr := filepath.EvalSymlinks(r.Path)
			err = fmt.Errorf("path %s: it is a symbolic link: name what it leads to (%s)", r.Path, target)
			if linkErr != nil {
				err = fmt.Errorf("path %s: it is a symbolic link that leads nowhere: %w", r.Path, linkErr)
			}
		}
		if err != nil {
			bad = append(bad, err)
		}
	}
	if len(bad) > 0 {
		return nil, &Error{Machine: d.machine, Kind: d.Kind(), Step: StepLook, Err: errors.Join(bad...)}
	}
	return &dirTree{d.roots}, nil
}

// Clean has nothing to do: a Dir leaves nothing behind.
func (d *Dir) Clean(context.Context, []string) error { return nil }

type dirTree struct{ roots []orchestrator.Root }

func (t *dirTree) Roots() []orchestrator.Root  { return slices.Clone(t.roots) }
func (t *dirTree) Token() string               { return "" }
func (t *dirTree) Close(context.Context) error { return nil }

// inside tells whether path lies below dir. Both are clean.
func inside(path, dir string) bool {
	return dir == "/" && path != "/" || strings.HasPrefix(path, dir+"/")
}

func checkMachine(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("name of a machine %q: want any text without '/' and NUL, and neither one dot nor two", name)
	}
	return nil
}

func checkPatterns(list []string) error {
	for _, p := range list {
		if _, err := path.Match(p, ""); err != nil || p == "" { // that of path/filepath does not look at all of it
			return fmt.Errorf("pattern %q of what is left out: want one of path/filepath.Match", p)
		}
	}
	return nil
}
