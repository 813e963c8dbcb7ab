package copier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Target is where a copy goes: a part of orchestrator.Store.
type Target interface {
	Root() string
	Put(ctx context.Context, m *orchestrator.Memory, parts []orchestrator.Part) ([]orchestrator.Added, error)
	Sync(ctx context.Context) error
}

// Options of a copy.
type Options struct {
	Target    Target
	BlockSize int64  // bytes of a block of the target
	Dir       string // of the copy, relative to the target's root; made if it is not there
	Roots     []orchestrator.Root
	Log       *Log
	Clock     orchestrator.Clock
	Segment   int64    // bytes, a multiple of BlockSize
	Skip      []string // directories that are never copied, by whatever path they are met: state, spool, volumes
	Reserved  []string // names that no source may have at the top of a backup
	Ours      bool     // the source is a backup itself, whose records have those names: they are left out
	Strict    bool     // what cannot be read is an error
	// Again says that blocks of earlier tries may be in the target, which nobody has read back: FileSum.Fresh would not name them, and Whole is set.
	Again bool
	Step  func(name string)                                  // before and after each change, for tests; nil: never
	Seen  func(files int, bytes int64)                       // progress, not more often than for each segment; nil: nobody asks
	read  func(f *os.File, p []byte, off int64) (int, error) // for tests of bad disks; nil: ReadAt
	// patience is how long one of Skip may take to say which directory it is, for tests; 0: statTime.
	patience time.Duration
}

// Result of a copy.
type Result struct {
	Sums     []orchestrator.FileSum // of all regular files, by their paths
	Bytes    int64                  // of their contents, holes included, hard links once
	NewBytes int64                  // that the target had not held before, in whole blocks: what they take
	NewData  int64                  // of these, those that are content: a short file fills a part of its block
	Partial  []string               // what is missing or may be inconsistent, and why
	Skipped  []string               // what is left out on purpose, and why
}

// maxListed bounds lists that people read.
const maxListed = 1000

// inode names a file on this machine.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{st.Dev, st.Ino} }

// run is one Copy.
type run struct {
	Options
	base    string // absolute directory of the copy
	skip    map[inode]bool
	silent  map[string][]silent // by name
	stream  *stream
	firsts  map[inode]orchestrator.Path             // first name of a file that has several
	links   map[orchestrator.Path]orchestrator.Path // other names, and the first one
	dirs    []dirDone                               // whose attributes are to be set when their content is there
	sums    map[orchestrator.Path]orchestrator.FileSum
	refused map[string]bool // kinds of attributes that the target does not take, told once
	result  Result
	more    int // entries that the lists have no room for
	zeros   []byte
}

// Copy copies the roots. An error says that the copy is not complete; it can be gone on with by the same log. When it returns nil, contents are durable;
// names and attributes are when the target has been synced.
func Copy(ctx context.Context, o Options) (Result, error) {
	if o.Segment <= 0 || o.BlockSize <= 0 || o.Segment%o.BlockSize != 0 {
		return Result{}, fmt.Errorf("copy: segments of %d bytes: want a multiple of the block size %d", o.Segment, o.BlockSize)
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Seen == nil {
		o.Seen = func(int, int64) {}
	}
	if o.Clock == nil {
		o.Clock = orchestrator.SystemClock()
	}
	if o.patience == 0 {
		o.patience = statTime
	}
	if o.read == nil {
		o.read = func(f *os.File, p []byte, off int64) (int, error) { return f.ReadAt(p, off) }
	}
	r := &run{Options: o, base: filepath.Join(o.Target.Root(), o.Dir), skip: map[inode]bool{}, silent: map[string][]silent{}, firsts: map[inode]orchestrator.Path{}, links: map[orchestrator.Path]orchestrator.Path{},
		sums: map[orchestrator.Path]orchestrator.FileSum{}, refused: map[string]bool{}, zeros: make([]byte, piece)}
	r.stream = newStream(r)
	ctx, cancel := context.WithCancelCause(ctx)
	err := r.all(ctx)
	cancel(nil)
	if err = errors.Join(err, r.stream.close()); err != nil {
		return Result{}, err
	}
	return r.end(), nil
}

// all copies the roots.
func (r *run) all(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	for i := range r.Roots {
		if err := r.root(ctx, &r.Roots[i]); err != nil {
			return err
		}
	}
	if err := r.stream.drain(ctx); err != nil {
		return err
	}
	for _, d := range slices.Backward(r.dirs) {
		if err := r.attributes(d.name, &d.st, d.xattrs); err != nil {
			return err
		}
	}
	return r.Log.Sync()
}

// prepare makes the directory, and learns what is not to be copied.
func (r *run) prepare(ctx context.Context) error {
	if len(r.Roots) == 0 {
		return errors.New("copy: no roots: nothing would be backed up")
	}
	for _, root := range r.Roots {
		if !filepath.IsAbs(root.Path) || !filepath.IsLocal(root.Name) {
			return fmt.Errorf("copy: root %q as %q: want an absolute path, and a name below the backup", root.Path, root.Name)
		}
	}
	if err := r.leaveOut(ctx); err != nil {
		return err
	}
	existed, err := makeDir(r.base)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if existed && !slices.ContainsFunc(r.Roots, func(o orchestrator.Root) bool { return filepath.Clean(o.Name) == "." }) {
		return r.removeExtras(".", nil)
	}
	return nil
}

// makeDir tells whether the directory was there.
func makeDir(path string) (existed bool, err error) {
	err = os.Mkdir(path, 0o700)
	if !errors.Is(err, os.ErrExist) {
		return false, err
	}
	info, err := os.Lstat(path)
	if err != nil || info.IsDir() {
		return true, err
	}
	if err := os.Remove(path); err != nil {
		return false, err
	}
	return false, os.Mkdir(path, 0o700)
}

// list notes what people are to read.
func (r *run) list(to *[]string, rel, why string) {
	if len(*to) == maxListed {
		r.more++
		return
	}
	*to = append(*to, fmt.Sprintf("%q: %s", rel, why))
}

// unreadable lists what cannot be read, or returns the error if that is asked for.
func (r *run) unreadable(rel string, err error) error {
	if r.Strict {
		return fmt.Errorf("copy %q: %w", rel, err)
	}
	r.list(&r.result.Partial, rel, err.Error())
	return nil
}

// end puts the result together.
func (r *run) end() Result {
	for name, first := range r.links {
		sum := r.sums[first]
		sum.Path, sum.Link = name, first
		r.sums[name] = sum
	}
	for _, s := range r.sums {
		r.result.Sums = append(r.result.Sums, s)
	}
	slices.SortFunc(r.result.Sums, func(a, b orchestrator.FileSum) int {
		switch {
		case a.Path < b.Path:
			return -1
		case a.Path > b.Path:
			return 1
		}
		return 0
	})
	if r.more > 0 {
		r.result.Partial = append(r.result.Partial, fmt.Sprintf("and %d more", r.more))
	}
	return r.result
}
