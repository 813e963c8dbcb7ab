package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Kind is what something in a tree is.
type Kind string

// The kinds.
const (
	File    Kind = "file"
	Dir     Kind = "dir"
	Symlink Kind = "symlink"
	Fifo    Kind = "fifo"
	Socket  Kind = "socket"
	Char    Kind = "char"
	Block   Kind = "block"
)

// Object is something in a tree, without its content. Times are not in it: reading changes one of them, and those of files are in FileSum.
type Object struct {
	Path   orchestrator.Path `json:"path"` // relative to the backup
	Kind   Kind              `json:"kind"`
	Mode   uint32            `json:"mode"` // permissions, with setuid, setgid and sticky: 12 bits; of a symlink 0
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Target orchestrator.Path `json:"target,omitempty"` // of a symlink
	Device uint64            `json:"device,omitempty"` // of a device

	size     int64
	dev, ino uint64
}

// ours tells whether a name at the top of a backup belongs to its records.
func ours(name string) bool {
	for _, n := range []string{orchestrator.RecordFile, orchestrator.ManifestFile, orchestrator.SumsFile, orchestrator.SourceSums, orchestrator.FailureMark} {
		if name == n || name == statefile.Temporary(n) {
			return true
		}
	}
	return false
}

// Scan is everything below the directory dir of a backup but our own records at its top, in the order of the paths' bytes. Symlinks are not followed.
func Scan(ctx context.Context, dir string) ([]Object, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("look through a backup: %w", err)
	}
	defer root.Close() // nothing is written through it
	var list []Object
	if err := scan(ctx, root, "", &list); err != nil {
		return nil, fmt.Errorf("look through %s: %w", dir, err)
	}
	slices.SortFunc(list, func(a, b Object) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return list, nil
}

// scan adds what lies in a directory, whose path in the backup is name.
func scan(ctx context.Context, dir *os.Root, name string, list *[]Object) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, n := range names {
		if name == "" && ours(n) {
			continue
		}
		info, err := dir.Lstat(n)
		if err != nil {
			return err
		}
		o, err := describe(path.Join(name, n), info, func() (string, error) { return dir.Readlink(n) })
		if err != nil {
			return err
		}
		*list = append(*list, o)
		if o.Kind == Dir {
			if err := scanBelow(ctx, dir, n, o, list); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanBelow adds what lies in the directory n of dir, which o describes.
func scanBelow(ctx context.Context, dir *os.Root, n string, o Object, list *[]Object) error {
	sub, err := dir.OpenRoot(n)
	if err != nil {
		return err
	}
	info, err := sub.Stat(".")
	if err == nil {
		var now Object
		now, err = describe(string(o.Path), info, nil)
		if err == nil && (now.dev != o.dev || now.ino != o.ino) {
			err = fmt.Errorf("%s was replaced meanwhile", o.Path)
		}
	}
	if err == nil {
		err = scan(ctx, sub, string(o.Path), list)
	}
	return errors.Join(err, sub.Close())
}

// describe makes an object of what lstat says.
func describe(p string, info fs.FileInfo, readlink func() (string, error)) (Object, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Object{}, fmt.Errorf("stat %s: have %T, want a Stat_t", p, info.Sys())
	}
	o := Object{Path: orchestrator.Path(p), Kind: File, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, size: st.Size, dev: st.Dev, ino: st.Ino}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		o.Kind = Dir
	case syscall.S_IFLNK:
		to, err := readlink()
		if err != nil {
			return o, err
		}
		o.Kind, o.Target, o.Mode = Symlink, orchestrator.Path(to), 0
	case syscall.S_IFIFO:
		o.Kind = Fifo
	case syscall.S_IFSOCK:
		o.Kind = Socket
	case syscall.S_IFCHR:
		o.Kind, o.Device = Char, st.Rdev
	case syscall.S_IFBLK:
		o.Kind, o.Device = Block, st.Rdev
	}
	return o, nil
}

// unlike says what of two objects of the same path differs; empty: nothing.
func (o Object) unlike(have Object) string {
	var list []string
	note := func(what string, want, have any) {
		list = append(list, fmt.Sprintf("%s: wanted %v, found %v", what, want, have))
	}
	switch {
	case o.Kind != have.Kind:
		note("kind", o.Kind, have.Kind)
	case o.Target != have.Target:
		note("target", fmt.Sprintf("%q", o.Target), fmt.Sprintf("%q", have.Target))
	case o.Device != have.Device:
		note("device", o.Device, have.Device)
	}
	if o.Kind == have.Kind && o.Mode != have.Mode {
		note("mode", fmt.Sprintf("%04o", o.Mode), fmt.Sprintf("%04o", have.Mode))
	}
	if o.UID != have.UID || o.GID != have.GID {
		note("owner", fmt.Sprintf("%d:%d", o.UID, o.GID), fmt.Sprintf("%d:%d", have.UID, have.GID))
	}
	return strings.Join(list, "; ")
}
