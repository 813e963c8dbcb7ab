package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountinfo"
)

const (
	cleanupTime = 2 * time.Minute // for undoing, after the context of the work has ended
	attempts    = 5               // of unmounting and destroying: the kernel and udev hold on to things for a moment
	betweenThem = time.Second
)

// PlaceOptions of a Place. Zero values are the real things.
type PlaceOptions struct {
	Dir   string // private directory, absolute; made with mode 0700 when it is needed
	Run   Runner
	Clock orchestrator.Clock
	Rand  io.Reader // randomness of ids
}

// Place is where snapshots are mounted, and knows which ones are open in this process. All sources of a process share one. It is safe for
// concurrent use.
type Place struct {
	dir    string
	run    Runner
	clock  orchestrator.Clock
	random io.Reader
	mounts func() ([]mountinfo.Mount, error) // what is mounted now

	mu   sync.Mutex      // guards the maps; leaf, no I/O
	ids  map[string]bool // of snapshots that are open
	base map[string]bool // directories in use
}

// NewPlace makes a Place. Nothing is touched on the disk.
func NewPlace(o PlaceOptions) (*Place, error) {
	if !filepath.IsAbs(o.Dir) || filepath.Clean(o.Dir) == "/" {
		return nil, fmt.Errorf("directory for mounted snapshots %q: want an absolute path, and not /", o.Dir)
	}
	p := &Place{dir: filepath.Clean(o.Dir), run: o.Run, clock: o.Clock, random: o.Rand, mounts: mountinfo.Current, ids: map[string]bool{}, base: map[string]bool{}}
	if p.run == nil {
		p.run = System()
	}
	if p.clock == nil {
		p.clock = orchestrator.SystemClock()
	}
	if p.random == nil {
		p.random = rand.Reader
	}
	return p, nil
}

// newID is that of a snapshot.
func (p *Place) newID() (string, error) {
	id, err := ulid.New(ulid.Timestamp(p.clock.Now()), p.random)
	if err != nil {
		return "", fmt.Errorf("id of a snapshot: %w", err)
	}
	return id.String(), nil
}

// claim takes a directory for a machine's tree and notes that its snapshot is open. A second tree of the same machine gets another directory.
func (p *Place) claim(machine, id string) (base string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids[id] {
		return "", fmt.Errorf("snapshot %s: %w", prefix+id, ErrBusy)
	}
	base = filepath.Join(p.dir, machine)
	if p.base[base] {
		base += "~" + id
	}
	p.ids[id], p.base[base] = true, true
	return base, nil
}

func (p *Place) unclaim(base, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ids, id)
	delete(p.base, base)
}

func (p *Place) isOpen(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[id]
}

// inUse tells whether a path belongs to an open tree.
func (p *Place) inUse(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for base := range p.base {
		if path == base || inside(path, base) {
			return true
		}
	}
	return false
}

// Sweep unmounts what earlier processes left below the directory and removes the mount points. Trees that are open are left alone. What is no
// empty directory stays: it is not ours.
func (p *Place) Sweep(ctx context.Context) error {
	bad := p.unmountBelow(ctx, p.dir)
	entries, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(bad, fmt.Errorf("sweep: %w", err))
	}
	for _, e := range entries {
		if path := filepath.Join(p.dir, e.Name()); e.IsDir() && !p.inUse(path) {
			bad = errors.Join(bad, removeEmpty(path))
		}
	}
	return bad
}

// unmountBelow takes away what is mounted at dir and below, the innermost first, but for open trees.
func (p *Place) unmountBelow(ctx context.Context, dir string) error {
	list, err := p.mounts()
	if err != nil {
		return err
	}
	var bad error
	for i := len(list) - 1; i >= 0; i-- { // in the order of mounting, so backwards
		if point := list[i].Point; (point == dir || inside(point, dir)) && point != p.dir && !p.inUse(point) {
			bad = errors.Join(bad, p.unmount(ctx, point))
		}
	}
	return bad
}

// unmount takes one mount away and tries again while it is in use.
func (p *Place) unmount(ctx context.Context, point string) error {
	return p.insist(ctx, func() error {
		_, err := p.run(ctx, Command{Argv: []string{"umount", point}})
		return err
	})
}

// insist calls do until it succeeds, a few times.
func (p *Place) insist(ctx context.Context, do func() error) error {
	for i := 1; ; i++ {
		err := do()
		if err == nil || i == attempts {
			return err
		}
		if waitErr := p.clock.Sleep(ctx, betweenThem); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
}

// removeEmpty removes a directory and the empty directories in it. What is on another file system, or no directory, makes it fail.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("remove a mount point: %w", err)
	}
	var bad error
	for _, e := range entries {
		if e.IsDir() {
			bad = errors.Join(bad, removeEmpty(filepath.Join(dir, e.Name())))
		}
	}
	if err := os.Remove(dir); err != nil && bad == nil {
		return fmt.Errorf("remove a mount point: %w", err)
	}
	return bad
}
