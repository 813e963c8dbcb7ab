package inode

import (
	"errors"

	"golang.org/x/sys/unix"
)

var errFound = errors.New("found")

// search walks the tree for a directory entry of f's number, opens it by that
// name and so gives the object a path again, which the next Locate finds at once.
func (t *Table) search(f *Found) (string, error) {
	dir, err := unix.Openat(t.root.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	w := walker{t: t, f: f, buf: make([]byte, 64<<10)}
	err = w.dir(dir, "", 0)
	if errors.Is(err, errFound) {
		return w.rel, nil
	}
	if err == nil {
		err = unix.ESTALE
	}
	return "", err
}

type walker struct {
	t   *Table
	f   *Found
	buf []byte
	rel string
}

// dir looks through the directory fd, which it closes, and then below it.
func (w *walker) dir(fd int, rel string, depth int) error {
	defer unix.Close(fd)
	if depth > maxDepth {
		return unix.ELOOP
	}
	var subs []string
	for {
		n, err := unix.Getdents(fd, w.buf)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		for d, rest, ok := NextDirent(w.buf[:n]); ok; d, rest, ok = NextDirent(rest) {
			switch {
			case d.IsDot():
			case d.Ino == uint64(w.f.Key.ID) && w.try(fd, string(d.Name)):
				w.rel = rel + string(d.Name)
				return errFound
			case d.Type == unix.DT_DIR || d.Type == unix.DT_UNKNOWN:
				subs = append(subs, string(d.Name))
			}
		}
	}
	for _, name := range subs {
		sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // removed meanwhile, or not a directory after all
		}
		var st unix.Stat_t
		if unix.Fstat(sub, &st) != nil || st.Dev != w.t.dev {
			unix.Close(sub)
			continue
		}
		if err := w.dir(sub, rel+name+"/", depth+1); err != nil {
			return err
		}
	}
	return nil
}

// try opens name in dir and accepts it when it is the very object.
func (w *walker) try(dir int, name string) bool {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	var st, up unix.Stat_t
	gen := uint32(0)
	ok := unix.Fstat(fd, &st) == nil && unix.Fstat(dir, &up) == nil && st.Dev == w.t.dev && st.Ino == uint64(w.f.Key.ID)
	if ok {
		gen, err = w.t.handles.Generation(fd, st.Ino)
	}
	if !ok || err != nil || gen != w.f.Key.Generation {
		unix.Close(fd)
		return false
	}
	unix.Close(w.f.FD)
	w.f.FD, w.f.Stat, w.f.Parent = fd, st, ID(up.Ino)
	if up.Ino == w.t.rootIno {
		w.f.Parent = Root
	}
	return true
}
