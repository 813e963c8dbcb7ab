package storetest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

var _ orchestrator.Store = (*Plain)(nil)

// sum stands for a block. That of a hole, or of a block that was not put, is null.
type sum [sha256.Size]byte

// Plain is a store over a plain directory. The fields may be set before the first call and not later.
type Plain struct {
	BlockSize int64            // bytes; 4096 unless set
	Size      int64            // room for different blocks, in bytes; 1 GiB unless set
	Now       func() time.Time // dates scrubs; time.Now unless set
	// Hook is asked before each step with the lock of nobody held; nil: all goes on. An error ends the call, wrapped.
	Hook Hook

	root, sums string

	mu     sync.Mutex
	calls  map[Op]int
	loaded bool
	known  map[sum]struct{} // stored blocks, what a reclaim would free included
	cursor string           // last file of a scrub that did not end
	put    map[string]bool  // files that were put to since the last Sync
}

// Dir is a store whose tree is root, which exists. It touches nothing before its first use.
func Dir(root string) *Plain {
	return &Plain{BlockSize: 4096, Size: 1 << 30, Now: time.Now, root: root, sums: root + ".sums", calls: map[Op]int{}, known: map[sum]struct{}{},
		put: map[string]bool{}}
}

// Root implements orchestrator.Store.
func (p *Plain) Root() string { return p.root }

// Flip changes all bits of one byte of a stored file as a failing disk does: nobody is told.
func (p *Plain) Flip(path string, off int64) error {
	f, err := p.open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return fmt.Errorf("flip a byte of %s at %d: %w", path, off, err)
	}
	b[0] = ^b[0]
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(b[:], off)
	}
	if err == nil {
		err = os.Chtimes(f.Name(), time.Time{}, info.ModTime()) // no failing disk tells that either
	}
	if err != nil {
		return fmt.Errorf("flip a byte of %s at %d: %w", path, off, err)
	}
	return f.Sync()
}

// open opens a regular file below the root. No part of its path may be a symlink.
func (p *Plain) open(path string, flags int) (*os.File, error) {
	if !filepath.IsLocal(path) || filepath.Clean(path) == "." {
		return nil, fmt.Errorf("open %q: it is no path below %s: %w", path, p.root, unix.EINVAL)
	}
	name := filepath.Join(p.root, path)
	dir, err := os.Open(p.root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NONBLOCK), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(dir.Fd()), filepath.Clean(path), how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: it is %v, want a regular file: %w", name, info.Mode().Type(), unix.EINVAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
