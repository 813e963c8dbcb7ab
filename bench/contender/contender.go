package contender

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Contender is something that is measured.
type Contender interface {
	// Name is that of its series, such as "ours-BLAKE3".
	Name() string
	// Start makes it ready for use. After an error Stop removes what was made so far.
	Start(ctx context.Context) error
	// Stop ends its processes, takes its mounts away and removes its files. It does nothing where nothing was started.
	Stop() error
}

// FileSystem is a contender that files are written to.
type FileSystem interface {
	Contender
	// Dir is the directory that is measured, empty after Start.
	Dir() string
	// Keeps is false for a file system that forgets what is written.
	Keeps() bool
	// BlockSize of the volume in bytes, 0 for a file system without blocks of its own.
	BlockSize() int
	// CPU is the user and system time of the process that serves it so far, 0 where there is none.
	CPU() time.Duration
	// Refresh brings what was written to rest and has the next read find nothing that its process remembers: it is mounted anew.
	Refresh(ctx context.Context) error
	// GiveBack returns the room of removed files to the disk.
	GiveBack(ctx context.Context) error
}

// Raw is a directory of the file system below.
type Raw struct {
	name, dir string
}

// NewRaw measures the directory, which Start makes.
func NewRaw(dir string) *Raw { return &Raw{name: "raw", dir: dir} }

// Name implements Contender.
func (r *Raw) Name() string { return r.name }

// Start makes the directory.
func (r *Raw) Start(context.Context) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("start %s: %w", r.name, err)
	}
	return nil
}

// Stop removes the directory.
func (r *Raw) Stop() error { return os.RemoveAll(r.dir) }

// Dir implements FileSystem.
func (r *Raw) Dir() string { return r.dir }

// Keeps implements FileSystem.
func (r *Raw) Keeps() bool { return true }

// BlockSize implements FileSystem.
func (r *Raw) BlockSize() int { return 0 }

// CPU implements FileSystem: the work is done by the kernel in the name of the caller.
func (r *Raw) CPU() time.Duration { return 0 }

// Refresh implements FileSystem: there is no process that could remember anything.
func (r *Raw) Refresh(context.Context) error { return nil }

// GiveBack implements FileSystem: room is given back at once.
func (r *Raw) GiveBack(context.Context) error { return nil }

// ErrLacks says that a program cannot do something at all: an older one, or the original.
var ErrLacks = errors.New("the program cannot do that")

// errNotMounted is the use of a contender that is not started.
var errNotMounted = errors.New("not mounted")
