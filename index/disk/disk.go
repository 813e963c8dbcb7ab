// Package disk is the seam between the engine and the files below it.
//
// It owns positional reads and writes, syncs, renames, directory syncs, the
// lock on a directory, and memory outside the Go heap. Everything that the
// engine does to a disk goes through FS and File, so that package disktest can
// stage crashes and failures without any of the code above noticing.
//
// Promises, which disktest.Suite checks on every implementation:
//
//   - A transfer is whole or it is an error. Interrupted and partial system
//     calls are continued here and never seen above. A ReadAt that reaches the
//     end of the file returns what there is and io.EOF.
//   - Every error names the operation, the file and, where there is one, the
//     offset (type *Error), and still answers errors.Is for the errno below.
//   - Nothing is durable before its sync: file data and size after Sync or
//     SyncAll of that file, names after SyncDir of their directory, everything
//     after SyncFS.
//   - A File may be used by any number of goroutines at once, except that Close
//     must come after all other calls have returned.
package disk

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is the cause when FS.Lock finds the object locked by another
// holder, in this process or in another one.
var ErrLocked = errors.New("locked by another process")

// ErrUnsupported is the cause when the file system or device below cannot do
// what was asked. It is errors.ErrUnsupported, so that EOPNOTSUPP and ENOSYS
// match it as they come from the kernel.
var ErrUnsupported = errors.ErrUnsupported

// ErrFileType is the cause when OpenFile meets something that is neither a
// regular file nor a block device. Such a thing is refused unopened in effect:
// a fifo named by a hostile configuration must not hang the caller.
var ErrFileType = errors.New("neither a regular file nor a block device")

// File is an open regular file or block device. Offsets and sizes are bytes.
type File interface {
	// ReadAt reads len(p) bytes from off. Fewer only with an error; io.EOF,
	// unwrapped, is the end of the file.
	io.ReaderAt
	// WriteAt writes all of p at off, or returns an error and how many bytes
	// arrived before it. Writing past the end extends a regular file.
	io.WriterAt
	// Close releases the descriptor. The second call is an error (fs.ErrClosed).
	io.Closer

	// Name is the name it was opened under, for messages.
	Name() string
	// Size is the length of a regular file or the capacity of a device.
	Size() (int64, error)
	// Truncate sets the length of a regular file; a longer one gains a hole.
	Truncate(size int64) error
	// Sync makes data and size durable (fdatasync).
	Sync() error
	// SyncAll makes data and all attributes durable (fsync).
	SyncAll() error
	// Flush starts writing out the dirty pages of [off, off+n) and does not
	// wait; n 0 means up to the end. It promises no durability, and does
	// nothing where it is not supported.
	Flush(off, n int64) error
	// FlushWait is Flush that waits until the pages are out. It promises no
	// durability either, but an error means that pages were lost: no later Sync
	// may report it again.
	FlushWait(off, n int64) error
	// Allocate reserves room for [off, off+n) without changing the size or the
	// content; ErrUnsupported where the file system cannot.
	Allocate(off, n int64) error
	// Punch gives the room of [off, off+n) back. In a regular file the range
	// reads as zeros afterwards and the size stays; on a device the range is
	// discarded and its content is undefined. ErrUnsupported is possible.
	Punch(off, n int64) error
	// NextData returns the first offset at or after off that may hold data;
	// io.EOF, unwrapped, when there is none up to the end of the file. Where
	// holes cannot be told, all is data.
	NextData(off int64) (int64, error)
	// NextHole returns the first offset at or after off that is a hole; the end
	// of the file counts as one. io.EOF at or past the end.
	NextHole(off int64) (int64, error)
	// Free is the free room of the file system that holds the file, in bytes,
	// the part reserved for root included.
	Free() (uint64, error)
	// IsDevice tells a block device from a regular file.
	IsDevice() bool
}

// FS is a tree of names. Names are paths with any bytes except NUL; they may be
// longer than PATH_MAX. All methods may be called at the same time.
type FS interface {
	// OpenFile opens a regular file or a block device. The flags are those of
	// open(2), os.O_CREATE and the rest included; O_DIRECT passes through and
	// then the alignment of every transfer is up to the caller.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename replaces newName atomically.
	Rename(oldName, newName string) error
	// Remove unlinks a file or removes an empty directory.
	Remove(name string) error
	// Mkdir creates one directory.
	Mkdir(name string, perm fs.FileMode) error
	// ReadDir lists a directory in byte order of the names. On an error there
	// are no entries: a listing is complete or it is not given.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Lstat describes a name without following it. Sys() is *syscall.Stat_t.
	Lstat(name string) (fs.FileInfo, error)
	// SyncDir makes the names of one directory durable.
	SyncDir(name string) error
	// SyncFS makes everything of the file system that holds name durable.
	SyncFS(name string) error
	// Lock takes the exclusive lock of a directory, a regular file or a block
	// device without waiting; ErrLocked when it is taken, ErrUnsupported where it cannot be locked. Closing the result, or the death of the process, lets
	// go of it.
	Lock(name string) (io.Closer, error)
	// Free is the free room of the file system that holds a directory, in bytes,
	// the part reserved for root included.
	Free(dir string) (uint64, error)
}
