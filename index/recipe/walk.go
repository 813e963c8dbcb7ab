package recipe

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// WalkEntry is one underlying file.
type WalkEntry struct {
	Path string      // relative to the root, any bytes, "/" between names
	Info fs.FileInfo // as it was when the walk came by; Sys() is *syscall.Stat_t
	// Open opens it for reading; the caller closes it. A symlink that has
	// taken its place is not followed (ELOOP).
	Open func() (disk.File, error)
}

// Walk calls fn for every regular file below root, once per inode: of several
// hard links the first in the order of the walk. The order is that of the
// names' bytes, directory by directory. Symlinks are not followed (root itself
// may be one), other kinds of files are passed over, and so is the special
// directory at the top. Trees may be deeper than PATH_MAX allows names to be.
//
// A directory that cannot be listed or a name that cannot be looked at is given
// to dirErr with its path relative to root; if dirErr is nil or returns an
// error, that ends the walk. Nothing else is ever skipped: after Walk has
// returned nil and dirErr was not called, fn has seen every file. An unreadable
// root always ends the walk. An error of fn or ctx ends it too and is returned
// as it is.
//
// On a tree that changes meanwhile, a name that is gone between being listed
// and being looked at comes to dirErr as fs.ErrNotExist; online callers return
// nil for it. A file or directory renamed from a part not yet walked to one
// that was is not seen at all: online callers must keep renames out, or account
// for every renamed file themselves. Paths are resolved anew for every name, so
// a directory that is replaced by a symlink meanwhile may lead outside.
func Walk(ctx context.Context, fsys disk.FS, root string, fn func(WalkEntry) error,
	dirErr func(path string, err error) error) error {
	w := &walk{ctx: ctx, fsys: fsys, root: root, fn: fn, dirErr: dirErr, seen: map[inode]struct{}{}}
	return w.start()
}

// WalkNames is Walk, but calls fn for every name of a file with several.
func WalkNames(ctx context.Context, fsys disk.FS, root string, fn func(WalkEntry) error,
	dirErr func(path string, err error) error) error {
	w := &walk{ctx: ctx, fsys: fsys, root: root, fn: fn, dirErr: dirErr}
	return w.start()
}

func (w *walk) start() error {
	list, err := w.fsys.ReadDir(w.root)
	if err != nil {
		return fmt.Errorf("walk: %w", err)
	}
	w.push("", list)
	return w.run()
}

// inode identifies a file with several names.
type inode struct{ dev, ino uint64 }

// level is a directory in the middle of being walked. The levels are a stack of
// our own, not of calls: the depth of a tree is not ours to limit.
type level struct {
	path string // relative, "" or ending in "/"
	list []fs.DirEntry
}

type walk struct {
	ctx    context.Context
	fsys   disk.FS
	root   string
	fn     func(WalkEntry) error
	dirErr func(path string, err error) error
	seen   map[inode]struct{} // nil: every name counts
	stack  []level
}

func (w *walk) push(path string, list []fs.DirEntry) {
	w.stack = append(w.stack, level{path: path, list: list})
}

func (w *walk) run() error {
	for len(w.stack) > 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		top := &w.stack[len(w.stack)-1]
		if len(top.list) == 0 {
			w.stack[len(w.stack)-1] = level{} // lets go of the listing
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		e := top.list[0]
		top.list[0], top.list = nil, top.list[1:]
		if top.path == "" && e.Name() == format.SpecialName {
			continue
		}
		if err := w.visit(top.path+e.Name(), e.Type()); err != nil {
			return err
		}
	}
	return nil
}

// visit handles one name. The kind in the listing decides only what need not be
// looked at.
func (w *walk) visit(path string, kind fs.FileMode) error {
	if !kind.IsRegular() && !kind.IsDir() {
		return nil
	}
	name := w.root + "/" + path
	info, err := w.fsys.Lstat(name)
	if err != nil {
		return w.report(path, err)
	}
	switch {
	case info.IsDir():
		return w.enter(path, name)
	case !info.Mode().IsRegular() || !w.first(info):
		return nil
	}
	return w.fn(WalkEntry{Path: path, Info: info, Open: func() (disk.File, error) {
		return w.fsys.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	}})
}

func (w *walk) enter(path, name string) error {
	list, err := w.fsys.ReadDir(name)
	if err != nil {
		return w.report(path, err)
	}
	w.push(path+"/", list)
	return nil
}

// first reports whether this is the first name of its inode, as far as that matters.
func (w *walk) first(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 || w.seen == nil {
		return true
	}
	id := inode{dev: uint64(st.Dev), ino: st.Ino}
	if _, ok := w.seen[id]; ok {
		return false
	}
	w.seen[id] = struct{}{}
	return true
}

func (w *walk) report(path string, err error) error {
	if w.dirErr == nil {
		return fmt.Errorf("walk: %w", err)
	}
	return w.dirErr(path, err)
}
