package source

import (
	"crypto/rand"
	"fmt"
	"io"
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

	mu      sync.Mutex      // guards the maps; leaf, no I/O
	ids     map[string]bool // of snapshots that are open
	base    map[string]bool // directories in use
	closing map[*tree]bool  // trees whose Close or Suspend has begun and did not succeed yet
}

// NewPlace makes a Place. Nothing is touched on the disk.
func NewPlace(o PlaceOptions) (*Place, error) {
	if !filepath.IsAbs(o.Dir) || filepath.Clean(o.Dir) == "/" {
		return nil, fmt.Errorf("directory for mounted snapshots %q: want an absolute path, and not /", o.Dir)
	}
	p := &Place{dir: unlinked(filepath.Clean(o.Dir)), run: o.Run, clock: o.Clock, random: o.Rand, mounts: mountinfo.Current,
		ids: map[string]bool{}, base: map[string]bool{}, closing: map[*tree]bool{}}
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

// unlinked is a path without the symbolic links in the part of it that is there: the mount table knows none.
func unlinked(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	if parent := filepath.Dir(dir); parent != dir {
		return filepath.Join(unlinked(parent), filepath.Base(dir))
	}
	return dir
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

// take claims a snapshot that is to be destroyed; false: it is open.
func (p *Place) take(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids[id] {
		return false
	}
	p.ids[id] = true
	return true
}

// unfinished notes a tree that is being closed, finished one that is closed. What stays noted is tried again.
func (p *Place) unfinished(t *tree) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing[t] = true
}

func (p *Place) finished(t *tree) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.closing, t)
	delete(p.ids, t.id)
	delete(p.base, t.base)
}

// retry hands out the machine's trees that are noted.
func (p *Place) retry(machine string, do func(*tree)) {
	p.mu.Lock()
	var list []*tree
	for t := range p.closing {
		if t.s.machine == machine {
			list = append(list, t)
		}
	}
	p.mu.Unlock()
	for _, t := range list {
		do(t)
	}
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
