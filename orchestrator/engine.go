package orchestrator

import (
	"context"
	"io"
	"time"
)

// Engine does with volumes what needs the engine of ddumbfs. Its methods end soon after ctx does.
type Engine interface {
	// Mount mounts a volume and returns when it can be used. A volume that was not closed cleanly is repaired first, whatever Check says.
	Mount(ctx context.Context, o MountOptions) (Store, error)
	// Open returns the store of a volume that is mounted already, by whomever.
	Open(ctx context.Context, point string) (Store, error)
	// Unmount returns when the volume is closed and clean. While it is in use the error is an *InUseError.
	Unmount(ctx context.Context, point string) error
	// Make makes an empty volume in parent, with the files of the index and nothing else.
	Make(ctx context.Context, o MakeOptions) error
}

// MountOptions says what is mounted and how.
type MountOptions struct {
	Parent   string // directory of the volume
	Index    string // index file; "" for the configured one. A file without content is made anew if Check is set
	Point    string // mount point, a directory; what lies in it is hidden
	ReadOnly bool
	Check    bool // check and repair also a volume that was closed cleanly
	Workers  int  // that hash and store; 0 for one per processor
}

// MakeOptions of a new volume. Zero values are the engine's defaults.
type MakeOptions struct {
	Parent    string
	Index     string // index file outside of Parent
	Size      int64  // of the block file, in bytes; 0: the free room
	BlockSize int    // bytes
	Hash      string
	Force     bool // over an old volume, whose files are lost
}

// InUseError is a volume or disk that cannot be unmounted.
type InUseError struct {
	Point   string
	Holders []string // "PID name: path"
}

func (e *InUseError) Error() string {
	text := "unmount " + e.Point + ": it is in use"
	for i, h := range e.Holders {
		if i == 0 {
			text += " by "
		} else {
			text += ", "
		}
		text += h
	}
	return text
}

// Store is a mounted volume. Names, modes, times and removal go through the tree below Root as in any file system; what goes through the methods
// passes by the kernel. Paths are relative to Root. Methods may be called concurrently and end soon after ctx does.
type Store interface {
	Root() string
	// Put stores parts of m, each at its place of a regular file that exists. m may be nil where there are only holes. Nothing is durable before a
	// Sync. It is one Added for each part, in their order; parts do not overlap. After an error the ranges hold any mixture of old and new, and m may
	// still be looked at: its content is not to be changed any more.
	Put(ctx context.Context, m *Memory, parts []Part) ([]Added, error)
	// ReadBack reads a file from the disk, past every cache, and proves each block by its hash. With w it reads all of the file and writes it there, holes as
	// zeros; without, only the blocks of list, which is in order. A block that is not what was stored is an error that matches syscall.EIO, beside
	// which the result is valid: with w nothing is handed out from the first one on, without, Bad has all of them. Storing the data again heals it.
	ReadBack(ctx context.Context, path string, w io.Writer, list []Blocks) (ReadBack, error)
	// Sync makes everything durable that was put or written before: contents, names, attributes. A disk that could not write something since the
	// volume was mounted is an error.
	Sync(ctx context.Context) error
	Usage(ctx context.Context) (Usage, error)
	// Reclaim frees what no file refers to.
	Reclaim(ctx context.Context) (Reclaimed, error)
	// Scrub reads stored blocks from the disk and proves them, for at most limit (0: all of them), beginning where the last one ended.
	Scrub(ctx context.Context, limit time.Duration) (Scrubbed, error)
}

// Part is a run of N bytes that goes to Off, a multiple of BlockSize, of the file Path, which is longer afterwards if it was too short. They lie in a Memory
// from From on; where that is negative they are zeros and become a hole, of any length. The end may be inside a block if the file ends there or before.
type Part struct {
	Path         string
	Off, N, From int64
}

// Hole is the From of a Part that is one.
const Hole = -1

// Added is what a Part of a Put did, in blocks.
type Added struct {
	New, Known, Zero uint64
	Fresh            []Blocks // of the file, that were stored new
}

// Blocks is a run of blocks of a file.
type Blocks struct {
	First uint64 `json:"first"`
	Count uint64 `json:"count"`
}

// ReadBack is what was read.
type ReadBack struct {
	Blocks uint64 // that were read from the disk and have the hash that their entries say
	Known  uint64 // blocks of the file that were not read
	// Scrubbed is when every stored block had been proved last; zero: never, or not known.
	Scrubbed time.Time
	// Bad are blocks of the file that are not what was stored.
	Bad []Blocks
}

// Usage of a volume, in bytes and files.
type Usage struct {
	BlockSize  int64 // bytes of one block
	Total      int64 // room for different data
	Used       int64 // blocks in use, what a reclaim would free included
	DiskFree   int64 // of the disk below
	Files      uint64
	LastScrub  time.Time // complete; zero: never
	Reclaiming bool
}

// Reclaimed is what a reclaim freed.
type Reclaimed struct {
	Bytes int64
	Took  time.Duration
}

// Scrubbed is what a scrub found.
type Scrubbed struct {
	Bytes    int64
	Bad      uint64   // blocks that are not what they should be
	Damaged  []string // files that lost something by that, at most some
	Complete bool     // it reached the end of the volume
}
