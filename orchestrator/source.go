package orchestrator

import (
	"context"
	"time"
)

// Source is a machine that can be backed up.
type Source interface {
	// Machine is the name of its backups, Kind what it is.
	Machine() string
	Kind() string
	// Open makes the machine ready to be read, by a snapshot where it can. token is what Tree.Token of an interrupted backup was, empty
	// for a new one: a source that still has that snapshot gives it again.
	Open(ctx context.Context, token string) (Tree, error)
	// Clean removes what earlier runs left behind, such as snapshots of ours that no token of keep names.
	Clean(ctx context.Context, keep []string) error
}

// Tree is a source that is ready to be read.
type Tree interface {
	// Roots are the directories and files to be read: Path is absolute, Name is where it goes, relative to the backup's directory.
	Roots() []Root
	// Token finds the snapshot again after a restart; empty: there is none.
	Token() string
	// Close gives everything back, also after errors and with a context of its own when ctx has ended.
	Close(ctx context.Context) error
}

// Suspender is a Tree that can be let go without losing its snapshot: Open with its token gives the same content again. A service that stops
// in the middle of a backup suspends what it will go on with, and closes the rest.
type Suspender interface {
	Tree
	// Suspend gives back everything but the snapshot. Close afterwards does nothing.
	Suspend(ctx context.Context) error
}

// Root is a part of a tree.
type Root struct {
	Path, Name string
	Exclude    []string // patterns of path/filepath.Match against the path relative to Path, or its last element
	OneSystem  bool     // stay on its file system
	NoFollow   bool     // nobody named Path, it was found in a directory: where it is a symlink, the symlink is meant
}

// Clock is the time. The real one is SystemClock.
type Clock interface {
	Now() time.Time
	// Sleep returns nil after d, or the context's error as soon as that ends.
	Sleep(ctx context.Context, d time.Duration) error
}

type systemClock struct{}

// SystemClock is the clock of this machine.
func SystemClock() Clock { return systemClock{} }

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
