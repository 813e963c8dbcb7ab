package copier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/deadline"
)

// statTime is how long a directory to be left out may take to say which one it is; the target may take ten times as long.
const statTime = 3 * time.Second

// maxLinks bounds a chain of symbolic links.
const maxLinks = 40

// silent is a directory to be left out that cannot be looked at, as the entry of the one above it.
type silent struct {
	above inode
	dir   string // that is to be left out
	more  bool   // this is not that directory, but has it
	err   error  // of looking at it
}

// stat asks a directory which one it is. A mount that is dead may never answer.
func (r *run) stat(ctx context.Context, dir string, patience time.Duration) (inode, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := deadline.Run(ctx, "stat", func() (*unix.Stat_t, error) {
		var st unix.Stat_t
		return &st, unix.Stat(dir, &st)
	})
	if err != nil {
		return inode{}, err
	}
	return inodeOf(st), nil
}

// leaveOut learns which directories are not to be copied. One that is dead, such as a mount that nobody serves any more, is known by its name, so that nobody
// looks at it: it keeps nobody from copying the rest. The target must be there.
func (r *run) leaveOut(ctx context.Context) error {
	id, err := r.stat(ctx, r.Target.Root(), 10*r.patience)
	if err != nil {
		return fmt.Errorf("copy to %s: %w", r.Target.Root(), err)
	}
	r.skip[id] = true
	for _, dir := range r.Skip {
		id, err := r.stat(ctx, dir, r.patience)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			r.skip[id] = true
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR): // what does not exist is not met
		default:
			if err := r.silence(ctx, filepath.Clean(dir), err); err != nil {
				return fmt.Errorf("copy: directory %s that is to be left out: %w", dir, err)
			}
		}
	}
	return nil
}

// silence leaves out what cannot be looked at: the entry of the nearest directory above it that can be.
func (r *run) silence(ctx context.Context, dir string, cause error) error {
	s := silent{dir: dir, err: cause}
	for at, links := dir, 0; ; {
		up := filepath.Dir(at)
		if up == at {
			return cause
		}
		id, err := r.stat(ctx, up, r.patience)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			at, s.more = up, true
			continue
		}
		to, err := r.readlink(ctx, at)
		if err == nil && links < maxLinks {
			if links++; !filepath.IsAbs(to) {
				to = filepath.Join(up, to)
			}
			at = filepath.Clean(to)
			continue
		}
		s.above = id
		r.silent[filepath.Base(at)] = append(r.silent[filepath.Base(at)], s)
		return nil
	}
}

func (r *run) readlink(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	return deadline.Run(ctx, "read link", func() (string, error) { return os.Readlink(name) })
}

// isSilent tells whether a place is one that nobody may look at, and lists it.
func (r *run) isSilent(p *place) (bool, error) {
	list := r.silent[p.name]
	if len(list) == 0 {
		return false, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(p.dir.Fd()), &st); err != nil {
		return false, fmt.Errorf("copy %q: the directory above it: %w", p.rel, err)
	}
	for _, s := range list {
		switch {
		case s.above != inodeOf(&st):
		case s.more:
			return true, r.unreadable(p.rel, fmt.Errorf("it has %s, which is to be left out, and cannot be looked at: %w", s.dir, s.err))
		default:
			r.list(&r.result.Skipped, p.rel, fmt.Sprintf("it belongs to the backup itself, and cannot be looked at: %v", s.err))
			return true, nil
		}
	}
	return false, nil
}
