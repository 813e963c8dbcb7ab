package inode

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// SpecialName is the name of the special directory in the root (format page, section 8).
const SpecialName = ".ddumbfs"

// Found is an object that Locate found in the tree.
type Found struct {
	FD     int // O_PATH, owned by the caller
	Stat   unix.Stat_t
	Key    Key
	Parent ID // directory of a name of it, 0 when unknown
}

// maxDepth bounds the walk up from a directory: PATH_MAX allows half as many.
const maxDepth = 4096

// Locate finds an object by its number alone, as the kernel asks when it was
// handed a file handle it no longer knows. ESTALE unless the object exists and
// has a name in the tree: a handle is a number anybody may guess, and the file
// system below may hold other things beside the tree.
func (t *Table) Locate(id ID) (*Found, error) {
	if t.handles == nil {
		return nil, fmt.Errorf("find inode %d: %w", id, unix.ESTALE)
	}
	fd, err := t.handles.OpenAny(uint64(id))
	if err != nil {
		return nil, err
	}
	f := &Found{FD: fd}
	if err := t.describe(id, f); err != nil {
		unix.Close(f.FD)
		return nil, fmt.Errorf("find inode %d in the tree: %w", id, err)
	}
	return f, nil
}

// describe fills in f, whose FD may be replaced.
func (t *Table) describe(id ID, f *Found) error {
	if err := unix.Fstat(f.FD, &f.Stat); err != nil {
		return err
	}
	if f.Stat.Dev != t.dev || f.Stat.Ino != uint64(id) || f.Stat.Nlink == 0 {
		return unix.ESTALE
	}
	gen, err := t.handles.Generation(f.FD, f.Stat.Ino)
	if err != nil {
		return err
	}
	f.Key = Key{ID: id, Generation: gen, Dir: f.Stat.Mode&unix.S_IFMT == unix.S_IFDIR}
	if f.Stat.Ino == t.rootIno {
		f.Key.ID = Root
		return nil
	}
	rel, ok := t.pathBelow(f.FD)
	if !ok && f.Key.Dir {
		return unix.ESTALE // directories opened by handle are always connected
	}
	if !ok {
		if rel, err = t.search(f); err != nil {
			return err
		}
	}
	f.Key.Special = specialOf(rel)
	return nil
}

// specialOf returns Node.Special for a path below the root.
func specialOf(rel string) string {
	first, rest, _ := strings.Cut(rel, "/")
	switch {
	case first != SpecialName:
		return ""
	case rest == "":
		return SpecialDir
	}
	return rest
}

// SpecialOf returns Node.Special for the name found in the directory dir.
func SpecialOf(dir *Node, name string) string {
	switch {
	case dir.Special == "" && dir.ID == Root && name == SpecialName:
		return SpecialDir
	case dir.Special == SpecialDir:
		return name
	case dir.Special != "":
		return dir.Special + "/" + name
	}
	return ""
}

// pathBelow asks the kernel for the path of fd and returns what follows the
// root's. false where the path is not below it or, for files, not known: a file
// opened by handle whose directory is not cached has no path.
func (t *Table) pathBelow(fd int) (string, bool) {
	root, err := readlinkFD(t.root.fd)
	if err != nil {
		return "", false
	}
	path, err := readlinkFD(fd)
	if err != nil {
		return "", false
	}
	rel, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")+"/")
	return rel, ok && rel != ""
}

func readlinkFD(fd int) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), buf[:])
	if err != nil {
		return "", err
	}
	if n == len(buf) {
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}
