package copier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/xattr"
)

// place is something of a source that is to be copied.
type place struct {
	dir    *os.File // the directory that has it
	name   string
	rel    string // relative to the backup
	within string // relative to the root's path; empty: the root itself
	root   *orchestrator.Root
	dev    uint64 // of the root
}

// dirDone is a directory whose content is copied.
type dirDone struct {
	name   string // relative to the backup
	st     unix.Stat_t
	xattrs []xattr.Attribute
}

// sys is a path by which the place can be reached without following anything.
func (p *place) sys() string { return fmt.Sprintf("/proc/self/fd/%d/%s", p.dir.Fd(), p.name) }

// open opens a file or directory, follows no link and waits for nobody. Reading does not change its time where the system allows that.
func (p *place) open(flags int) (*os.File, error) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(int(p.dir.Fd()), p.name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Openat(int(p.dir.Fd()), p.name, flags, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return os.NewFile(uintptr(fd), p.rel), nil
}

// root copies one. It may be a symlink itself: somebody has named it.
func (r *run) root(ctx context.Context, root *orchestrator.Root) error {
	real, err := filepath.EvalSymlinks(root.Path)
	if err != nil {
		return fmt.Errorf("copy root %s: %w", root.Path, err)
	}
	dir, err := os.Open(filepath.Dir(real))
	if err != nil {
		return fmt.Errorf("copy root %s: %w", root.Path, err)
	}
	defer dir.Close()
	p := place{dir: dir, name: filepath.Base(real), rel: path.Clean(root.Name), root: root}
	if real == "/" {
		p.name = "."
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), p.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("copy root %s: %w", root.Path, err)
	}
	p.dev = st.Dev
	if err := os.MkdirAll(filepath.Join(r.base, filepath.Dir(p.rel)), 0o755); err != nil {
		return fmt.Errorf("copy root %s: %w", root.Path, err)
	}
	return r.entry(ctx, &p)
}

// entry copies whatever it is.
func (r *run) entry(ctx context.Context, p *place) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if slices.Contains(r.Reserved, p.rel) {
		if r.Ours {
			return nil
		}
		return fmt.Errorf("copy %s: a source may not have %q at the top of its backup: that name is taken by our own records", p.root.Path, p.rel)
	}
	if excluded(p) {
		return nil
	}
	if silent, err := r.isSilent(p); silent || err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(p.dir.Fd()), p.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return r.missing(ctx, p, fmt.Errorf("stat: %w", err))
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return r.directory(ctx, p)
	case unix.S_IFREG:
		return r.file(ctx, p)
	case unix.S_IFLNK:
		return r.symlink(ctx, p, &st)
	case unix.S_IFSOCK:
		r.list(&r.result.Skipped, p.rel, "a socket has no content")
		return nil
	default:
		return r.special(p, &st)
	}
}

// missing says that a place has no copy, nor one of an earlier try: it went while its directory was read, as if it had gone before, or it cannot be read.
func (r *run) missing(ctx context.Context, p *place, cause error) error {
	if !errors.Is(cause, unix.ENOENT) || p.within == "" {
		if err := r.unreadable(p.rel, cause); err != nil {
			return err
		}
	}
	if p.rel == "." {
		return nil
	}
	if err := r.stream.settled(ctx, p.rel); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(r.base, p.rel)); err != nil {
		return fmt.Errorf("copy %q: what an earlier try left: %w", p.rel, err)
	}
	return nil
}

// excluded tells whether a pattern of the root takes the place out.
func excluded(p *place) bool {
	for _, pattern := range p.root.Exclude {
		for _, name := range []string{p.within, path.Base(p.within)} {
			if ok, err := filepath.Match(strings.TrimSuffix(pattern, "/"), name); p.within != "" && err == nil && ok {
				return true
			}
		}
	}
	return false
}

func (r *run) directory(ctx context.Context, p *place) error {
	f, err := p.open(unix.O_DIRECTORY)
	if err != nil {
		return r.missing(ctx, p, err)
	}
	defer f.Close()
	done := dirDone{name: p.rel}
	if err := unix.Fstat(int(f.Fd()), &done.st); err != nil {
		return r.missing(ctx, p, fmt.Errorf("stat: %w", err))
	}
	if r.skip[inodeOf(&done.st)] {
		r.list(&r.result.Skipped, p.rel, "it belongs to the backup itself")
		return nil
	}
	existed, err := makeDir(filepath.Join(r.base, p.rel))
	if err != nil {
		return fmt.Errorf("copy %q: %w", p.rel, err)
	}
	done.xattrs = r.xattrs(p)
	r.dirs = append(r.dirs, done)
	if p.root.OneSystem && done.st.Dev != p.dev {
		return nil // the mount point itself is kept, empty
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		if err := r.unreadable(p.rel, fmt.Errorf("read directory: %w", err)); err != nil {
			return err
		}
	}
	slices.Sort(names)
	if existed {
		if err := r.removeExtras(p.rel, kept(p, names)); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := r.entry(ctx, p.child(f, name)); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) child(dir *os.File, name string) *place {
	return &place{dir: dir, name: name, rel: path.Join(p.rel, name), within: path.Join(p.within, name), root: p.root, dev: p.dev}
}

// kept are the names that a copy of the directory may have.
func kept(p *place, names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		if !excluded(p.child(nil, name)) {
			set[name] = true
		}
	}
	return set
}

// removeExtras removes from a directory of an earlier try what the source no longer has. What other roots copy stays.
func (r *run) removeExtras(rel string, names map[string]bool) error {
	dir := filepath.Join(r.base, rel)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("copy %q: what an earlier try left: %w", rel, err)
	}
	for _, e := range entries {
		at := path.Join(rel, e.Name())
		if names[e.Name()] || slices.ContainsFunc(r.Roots, func(o orchestrator.Root) bool { return leadsTo(at, path.Clean(o.Name)) }) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("copy %q: what an earlier try left: %w", rel, err)
		}
	}
	return nil
}

// leadsTo tells whether name is at, or below it.
func leadsTo(at, name string) bool {
	return name == at || strings.HasPrefix(name, at+"/")
}
