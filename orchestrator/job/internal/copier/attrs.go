package copier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/xattr"
)

// attributes gives a copy owner, extended attributes, mode and times of its source, in that order: a change of the owner takes bits of the mode, and
// what comes before changes the times.
func (r *run) attributes(rel string, st *unix.Stat_t, xattrs []xattr.Attribute) error {
	name := filepath.Join(r.base, rel)
	if err := r.refuse(rel, "owner", os.Lchown(name, int(st.Uid), int(st.Gid))); err != nil {
		return err
	}
	for _, x := range xattrs {
		if err := r.refuse(rel, "extended attribute "+x.Name, unix.Lsetxattr(name, x.Name, x.Value, 0)); err != nil {
			return err
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := r.refuse(rel, "mode", unix.Chmod(name, st.Mode&0o7777)); err != nil {
			return err
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return r.refuse(rel, "times", unix.UtimesNanoAt(unix.AT_FDCWD, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

// refuse lists what the target does not take by its nature or for our rights, once for each kind of attribute; other errors are errors.
func (r *run) refuse(rel, what string, err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("copy %q: %s: %w", rel, what, err)
	}
	if !r.refused[what] {
		r.refused[what] = true
		r.list(&r.result.Partial, rel, fmt.Sprintf("%s, here and maybe elsewhere: %v", what, err))
	}
	return nil
}

// symlink copies a link as such.
func (r *run) symlink(ctx context.Context, p *place, st *unix.Stat_t) error {
	to, err := os.Readlink(p.sys())
	if err != nil {
		return r.missing(ctx, p, err)
	}
	name := filepath.Join(r.base, p.rel)
	if have, err := os.Readlink(name); err != nil || have != to {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("copy %q: what an earlier try left: %w", p.rel, err)
		}
		if err := os.Symlink(to, name); err != nil {
			return fmt.Errorf("copy %q: %w", p.rel, err)
		}
	}
	return r.attributes(p.rel, st, r.xattrs(p))
}

// special makes a fifo or device anew.
func (r *run) special(p *place, st *unix.Stat_t) error {
	name := filepath.Join(r.base, p.rel)
	if err := os.RemoveAll(name); err != nil {
		return fmt.Errorf("copy %q: what an earlier try left: %w", p.rel, err)
	}
	err := unix.Mknod(name, st.Mode&unix.S_IFMT|0o600, int(st.Rdev))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) {
		r.list(&r.result.Partial, p.rel, fmt.Sprintf("the target takes no fifos or devices: %v", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy %q: %w", p.rel, err)
	}
	return r.attributes(p.rel, st, r.xattrs(p))
}
