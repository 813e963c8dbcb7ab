package disk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// modeBits is what chmod can set.
const modeBits = 0o7777

var _ Objects = osFS{}

// Symlink implements Objects.
func (osFS) Symlink(target, name string) error {
	return withPath("symlink", name, func(path string) error { return unix.Symlink(target, path) })
}

// Readlink implements Objects.
func (osFS) Readlink(name string) (target string, err error) {
	err = withPath("read link", name, func(path string) error {
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlink(path, b)
		target = string(b[:max(n, 0)])
		return err
	})
	return target, err
}

// Link implements Objects. A symlink is not followed.
func (osFS) Link(oldName, newName string) error {
	from, release, err := reach(oldName)
	if err != nil {
		return fail("link", oldName, -1, err)
	}
	defer release()
	return withPath("link", newName, func(path string) error {
		return unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, path, 0)
	})
}

// Mknod implements Objects.
func (osFS) Mknod(name string, mode uint32, dev uint64) error {
	return withPath("make node", name, func(path string) error { return unix.Mknod(path, mode, int(dev)) })
}

// Attributes implements Objects.
func (osFS) Attributes(name string) (a *Attributes, err error) {
	err = withPath("read attributes", name, func(path string) error {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		a = &Attributes{Mode: st.Mode & modeBits, UID: st.Uid, GID: st.Gid,
			Access: time.Unix(st.Atim.Unix()), Modified: time.Unix(st.Mtim.Unix())}
		var err error
		a.Extended, err = extended(path)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// SetAttributes implements Objects. The owner comes first, since changing it takes set-id bits and capabilities away, the mode after the
// extended attributes, which may need the right to write.
func (osFS) SetAttributes(name string, a *Attributes) error {
	return withPath("set attributes", name, func(path string) error {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Uid != a.UID || st.Gid != a.GID {
			if err := unix.Lchown(path, int(a.UID), int(a.GID)); err != nil {
				return fmt.Errorf("owner %d:%d: %w", a.UID, a.GID, err)
			}
		}
		if err := setExtended(path, a.Extended); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			if err := unix.Chmod(path, a.Mode&modeBits); err != nil {
				return fmt.Errorf("mode %o: %w", a.Mode&modeBits, err)
			}
		}
		times := make([]unix.Timespec, 2)
		for i, t := range []time.Time{a.Access, a.Modified} {
			ts, err := unix.TimeToTimespec(t)
			if err != nil {
				return fmt.Errorf("time %v: %w", t, err)
			}
			times[i] = ts
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// extended reads all extended attributes; where the file system below has none there are none.
func extended(path string) (map[string]string, error) {
	list, err := grow(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
	if errors.Is(err, ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list extended attributes: %w", err)
	}
	all := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value, err := grow(func(b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
		if err == unix.ENODATA {
			continue // listed, and kept from us or gone
		}
		if err != nil {
			return nil, fmt.Errorf("extended attribute %s: %w", name, err)
		}
		all[name] = string(value)
	}
	return all, nil
}

// setExtended makes the extended attributes those wanted; what is right already is not touched.
func setExtended(path string, want map[string]string) error {
	have, err := extended(path)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[name]; ok {
			continue
		}
		if err := unix.Lremovexattr(path, name); err != nil && err != unix.ENODATA {
			return fmt.Errorf("remove extended attribute %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := have[name]; ok && value == want[name] {
			continue
		}
		if err := unix.Lsetxattr(path, name, []byte(want[name]), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// grow calls with a larger buffer until the answer fits.
func grow(call func(b []byte) (int, error)) ([]byte, error) {
	for size := 1024; ; size *= 2 {
		b := make([]byte, size)
		n, err := call(b)
		if err == unix.ERANGE && size < 1<<20 {
			continue
		}
		return b[:max(n, 0)], err
	}
}
