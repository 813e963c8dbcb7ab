package node

import (
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
)

// Manager gives access to the content of regular files, one File for each
// inode that is open.
type Manager interface {
	// Open returns the shared open file of id with one more reference; open is
	// called only when there is none yet, and returns a descriptor of the
	// underlying file, opened for reading and (unless read-only) writing, which
	// the Manager then owns.
	Open(id uint64, open func() (fd int, err error)) (File, error)
	// OpenReset is Open before a truncation to 0: a file that cannot be opened because it is damaged becomes an empty one.
	OpenReset(id uint64, open func() (fd int, err error)) (File, error)
	// Find returns the open file of id with one more reference, or nil.
	Find(id uint64) File
}

// File is the state shared by all handles of one inode. Offsets and sizes are
// bytes of the logical content. Safe for concurrent use.
type File interface {
	Attributes
	Content
	// NewHandle returns a handle with a reference of its own.
	NewHandle() Handle
	// Close drops one reference.
	Close() error
}

// Attributes of an open file that the underlying file does not show yet.
type Attributes interface {
	Size() int64
	// Modified returns the time of the last write that is not visible below, and
	// whether there is one. There is until the underlying file has that very
	// time: were it to show another one for a moment, the kernel would keep it.
	Modified() (time.Time, bool)
	// Drain puts everything that was accepted into the underlying file.
	Drain() error
}

// Content operations that need no handle.
type Content interface {
	Truncate(size int64) error
	// Allocate is fallocate(2) with its FALLOC_FL_ mode bits.
	Allocate(mode uint32, off, n int64) error
	// Seek is SEEK_DATA or SEEK_HOLE; ENXIO past the end.
	Seek(off int64, whence int) (int64, error)
	// CopyFrom copies from a File of the same Manager.
	CopyFrom(src File, srcOff, dstOff, n int64) (int64, error)
}

// Handle is one open(2) of a regular file. Errors of writes that were accepted
// earlier come from the next WriteAt, Sync or Flush. Safe for concurrent use.
type Handle interface {
	// View returns the n bytes at off where memory has them, ReadAhead if they were read before; else nil. The result is released after it was used.
	View(n int, off int64) Shown
	ReadAhead(n int, off int64) Shown
	// ReadKept is ReadAt for what the kernel keeps.
	ReadKept(p []byte, off int64) (int, error)
	ReadAt(p []byte, off int64) (int, error) // short only at the end of the file, without error
	WriteAt(p []byte, off int64) (int, error)
	WritePages(p []byte, off int64) (int, error) // from a memory mapping: old bytes beside new ones
	Sync(dataOnly bool) error
	Flush() error // close(2) of a descriptor
	Close() error
}

// Shown is content that need not be read into the request's own memory.
type Shown interface {
	Slices() [][]byte // for the kernel to copy, not to be touched
	Size() int        // fewer bytes than asked for only at the end of the file
	Release()
}

// Special makes the content of the files that are computed when they are opened.
type Special interface {
	// Open returns what a reader of stats, stats0 or reclaim sees. It may take long.
	Open(name string) (content []byte, err error)
}

// Mover is told of objects that are about to get a new place, so that a walk
// over the tree that passed that place already learns of them. It is told before:
// the walk might end between the rename and a call after it.
type Mover interface {
	// Begin is called before Moved, and end after the rename or link was done or
	// has failed. A walk that starts in between has to wait.
	Begin() (end func())
	// Moved gets an O_PATH descriptor, valid during the call.
	Moved(fd int, dir bool) error
}

// Direct says when file handles go past the kernel's page cache.
type Direct int

const (
	// DirectAuto: where the kernel can mmap such files writable handles and those opened with O_DIRECT do.
	DirectAuto Direct = iota
	// DirectAlways: all handles do.
	DirectAlways
	// DirectNever: none does; O_DIRECT is the kernel's own, around its cache.
	DirectNever
)

// Timeouts tell how long the kernel may rely on what it was told. Only this
// mount changes the tree, so they may be long.
type Timeouts struct{ Entry, Attr, Negative time.Duration }

// DefaultTimeouts returns 60 s, 60 s and 0.
func DefaultTimeouts() Timeouts {
	return Timeouts{Entry: 60 * time.Second, Attr: 60 * time.Second}
}

// Config of a file system.
type Config struct {
	// Root is the path of the directory to serve, a volume's ddfsroot.
	Root string
	// Files serves the content of regular files.
	Files Manager
	// BlockSize and EntrySize of the volume, in bytes.
	BlockSize, EntrySize int
	// ReadOnly refuses every change.
	ReadOnly bool
	// Direct chooses between direct and cached handles.
	Direct Direct
	// Timeouts of names and attributes; nil means DefaultTimeouts.
	Timeouts *Timeouts
	// MaxOpen limits the idle descriptors of nodes; 0 means inode.DefaultMaxOpen.
	MaxOpen int
	// Special serves the computed files; nil leaves them empty.
	Special Special
	// Mover hears of renames and links; nil if nobody listens.
	Mover Mover
	// SyncFailed is told that a directory could not be synced, and returns the error for the caller: the kernel tells it once, so that the
	// next sync would prove nothing. nil: nobody is told.
	SyncFailed func(err error) error
	// fsync syncs a directory; nil is unix.Fsync. Tests fail it.
	fsync func(fd int) error
	// syncfs syncs the whole file system below; nil is unix.Syncfs. Tests fail it.
	syncfs func(fd int) error
	// StatFS replaces what statfs(2) of the file system below says about blocks.
	StatFS func(out *fusefs.StatfsOut)
	// Log gets one line for each thing an administrator should know; nil drops them.
	Log func(format string, args ...any)
}
