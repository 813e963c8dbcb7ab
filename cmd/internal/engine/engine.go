package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/mounted"
	"tresor/fs/socket"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/mkfs"
	"tresor/orchestrator"
)

// Options of an Engine. Zero values are usable but for Program.
type Options struct {
	// Program is the path of ddumbfs.
	Program string
	// Deadline is how long a mount may take, a repair included; 0: six hours.
	Deadline time.Duration
	// Close is how long the end of an unmount is waited for; 0: 10 minutes, as `ddumbfs umount` does.
	Close time.Duration
	// Stall is how long an operation may go on without getting any further; 0: 10 minutes.
	Stall time.Duration
	// Rest is how long a pipe may take to end once the process that serves the volume has said that everything is in it; 0: 10 seconds.
	Rest time.Duration
	// Log gets what the program says, line by line; nil drops it.
	Log func(line string)
	// Sockets is where control sockets lie; the zero value is the system's place.
	Sockets socket.Place
}

// Engine is an orchestrator.Engine. Safe for concurrent use.
type Engine struct{ o Options }

var _ orchestrator.Engine = (*Engine)(nil)

// New returns an engine.
func New(o Options) *Engine {
	if o.Deadline <= 0 {
		o.Deadline = 6 * time.Hour
	}
	if o.Close <= 0 {
		o.Close = 10 * time.Minute
	}
	if o.Stall <= 0 {
		o.Stall = 10 * time.Minute
	}
	if o.Rest <= 0 {
		o.Rest = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	return &Engine{o: o}
}

// Make implements orchestrator.Engine. It does not look at ctx once it has begun.
func (e *Engine) Make(ctx context.Context, o orchestrator.MakeOptions) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("make a volume in %s: %w", o.Parent, err)
	}
	_, err := mkfs.Make(mkfs.Options{Parent: o.Parent, Force: o.Force,
		CreateOptions: format.CreateOptions{Hash: o.Hash, Size: o.Size, BlockSize: o.BlockSize, IndexFilename: o.Index}})
	return known(err)
}

// Open implements orchestrator.Engine.
func (e *Engine) Open(ctx context.Context, point string) (orchestrator.Store, error) {
	m, err := find(point)
	if err != nil {
		return nil, err
	}
	s := &Store{e: e, point: m.Point, parent: m.Source, places: make(chan struct{}, maxCalls)}
	u, err := s.usage(ctx)
	if err != nil {
		return nil, fmt.Errorf("open volume %s on %s: %w", m.Source, m.Point, err)
	}
	s.blockSize = int64(u.BlockSize)
	return s, nil
}

// find looks a mount point up. The last part of its name is not looked at: a process that died may have left it.
func find(point string) (*index.Mount, error) {
	abs, err := filepath.Abs(point)
	if err == nil {
		var dir string
		if dir, err = filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			abs = filepath.Join(dir, filepath.Base(abs))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("mount point %s: %w", point, err)
	}
	list, err := index.Mounts()
	if err != nil {
		return nil, err
	}
	m := mounted.At(list, abs)
	switch {
	case m == nil:
		return nil, fmt.Errorf("mount point %s: nothing is mounted: %w", abs, fs.ErrNotExist)
	case !m.Volume():
		return nil, fmt.Errorf("mount point %s: a file system of type %s is mounted, want %s: %w", abs, m.Kind, index.FilesystemType, unix.EINVAL)
	}
	return m, nil
}

// busyTries is how often an unmount is tried while the kernel still closes what was just given back, with busyPause in between.
const (
	busyTries = 5
	busyPause = 200 * time.Millisecond
)

// Unmount implements orchestrator.Engine. A volume that nobody mounted is an error that matches fs.ErrNotExist; one that was closed and is not clean is one
// too: the next mount repairs it.
func (e *Engine) Unmount(ctx context.Context, point string) error {
	m, err := find(point)
	if err != nil {
		return err
	}
	readOnly := false
	if slices.Contains(strings.Split(m.Options, ","), "ro") {
		// Only a process that writes owns the volume; the mount alone may have been made read-only later.
		owned, err := mounted.Owned(m.Source)
		readOnly = !owned && err == nil
	}
	process := e.findServer(ctx, m.Source)
	defer process.close()
	err = e.remove(ctx, m.Point)
	if errors.Is(err, unix.EBUSY) {
		return &orchestrator.InUseError{Point: m.Point, Holders: holders(m)}
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", m.Point, err)
	}
	err = mounted.WaitClosed(ctx, m.Source, e.o.Close, func() {})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%s is unmounted, but volume %s was not closed within %s: %w", m.Point, m.Source, e.o.Close, err)
	}
	if err == nil {
		err = process.gone(ctx)
	}
	if err != nil || readOnly {
		return err
	}
	_, err = os.Lstat(filepath.Join(m.Source, format.DirtyName))
	switch {
	case err == nil:
		return fmt.Errorf("%s is unmounted, but volume %s is not clean: the next mount repairs it; its log says why", m.Point, m.Source)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("%s is unmounted, but whether volume %s is clean is not known: %w", m.Point, m.Source, err)
}

// remove takes a mount away, with patience for what is just being closed.
func (e *Engine) remove(ctx context.Context, point string) (err error) {
	for try := 1; ; try++ {
		err = within(ctx, e.o.Close, func() error { return mounted.Remove(point, unix.UMOUNT_NOFOLLOW) })
		if !errors.Is(err, unix.EBUSY) || try == busyTries {
			return err
		}
		if err := orchestrator.SystemClock().Sleep(ctx, busyPause); err != nil {
			return err
		}
	}
}

func holders(m *index.Mount) []string {
	list := mounted.Holders(m)
	if more := len(list) - mounted.MaxHolders; more > 0 {
		list = append(list[:mounted.MaxHolders], fmt.Sprintf("%d more", more))
	}
	return list
}

// within does a call that cannot be called off, for so long. It may go on behind.
func within(ctx context.Context, limit time.Duration, call func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
