package signal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Options of a folder. Dir is made if it is missing, writable for its owner and group.
type Options struct {
	Dir   string
	Clock orchestrator.Clock // nil: the system's
}

// Handler is told what changes. Its methods are called one at a time, by Run, and may call every method of the Folder but Run.
type Handler interface {
	Signal(e Event)
	// Trouble is something that keeps a signal from being seen: told once, and again when it is another.
	Trouble(err error)
}

// Folder is the folder of signal files. Its methods may be called concurrently; Run is called once.
type Folder struct {
	dir   string
	clock orchestrator.Clock
	kick  chan struct{} // look now

	mu      sync.Mutex // guards what follows; the folder is looked at and files of it are written under it, no other lock is taken
	now     map[Name]state
	trouble map[Name]string // what was told, by signal; "" is the folder itself
	leases  map[*Lease]struct{}
	own     identity     // of the waita that stands for our leases; zero: none
	gen     map[Name]int // how often a request was consumed: its file may come again with the same inode
}

// Open opens a folder and looks at it once, so that Active is right before Run is called. A waita that a process of ours left behind is removed: only the one
// service opens the folder.
func Open(o Options) (*Folder, error) {
	if err := os.MkdirAll(o.Dir, 0o770); err != nil {
		return nil, fmt.Errorf("open folder of signals: %w", err)
	}
	f := &Folder{dir: o.Dir, clock: o.Clock, kick: make(chan struct{}, 1), now: map[Name]state{}, trouble: map[Name]string{}, leases: map[*Lease]struct{}{},
		gen: map[Name]int{}}
	if f.clock == nil {
		f.clock = orchestrator.SystemClock()
	}
	if err := f.sweep(); err != nil {
		return nil, err
	}
	found, _, err := f.scan()
	if err != nil {
		return nil, err
	}
	f.now = found
	return f, nil
}

const (
	consumed = ".consumed-" // prefix of a one-shot signal between its two steps
	leased   = "tresor lease"
)

// sweep removes what a crash has left behind.
func (f *Folder) sweep() error {
	for _, name := range Names() {
		for _, prefix := range []string{consumed, temporary} {
			err := unix.Unlink(filepath.Join(f.dir, prefix+string(name)))
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EISDIR) { // a directory there is told by who needs the name
				return fmt.Errorf("folder of signals %s: remove %s%s: %w", f.dir, prefix, name, err)
			}
		}
	}
	dir, err := f.open()
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if s, err := look(dir, WaitA); err == nil && s != nil && strings.HasPrefix(s.Text, leased) {
		return f.remove(WaitA)
	}
	return nil
}

func (f *Folder) open() (int, error) {
	dir, err := unix.Open(f.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("folder of signals %s: %w", f.dir, err)
	}
	return dir, nil
}

// scan looks at all signals. A signal that cannot be looked at is in bad; err is that of the folder.
func (f *Folder) scan() (found map[Name]state, bad map[Name]error, err error) {
	dir, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(dir)
	found, bad = map[Name]state{}, map[Name]error{}
	for _, name := range Names() {
		s, err := look(dir, name)
		if err != nil {
			bad[name] = err
		}
		if s != nil {
			found[name] = *s
		}
	}
	return found, bad, nil
}

// Run tells h what is there, and then each change, until ctx ends. It returns nil then.
func (f *Folder) Run(ctx context.Context, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	beat := make(chan struct{})
	running.Go(func() {
		for f.clock.Sleep(ctx, poll) == nil {
			select {
			case beat <- struct{}{}:
			case <-ctx.Done():
			}
		}
	})
	var w watcher
	defer w.close()
	told := map[Name]state{}
	for {
		if err := w.ensure(f.dir, &running, f.look); err != nil {
			h.Trouble(err) // once only: without inotify the poll serves alone
		}
		f.tell(h, told)
		select {
		case <-ctx.Done():
			return nil
		case <-beat:
		case <-f.kick:
		}
	}
}

// poll is how often the folder is looked at without being told by the kernel.
const poll = time.Second

// look asks Run to look at the folder soon.
func (f *Folder) look() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// tell looks at the folder and tells what has changed against told.
func (f *Folder) tell(h Handler, told map[Name]state) {
	current, gens, troubles := f.refresh()
	for _, err := range troubles {
		h.Trouble(err)
	}
	for _, name := range Names() {
		before, was := told[name]
		s, is := current[name]
		switch {
		case is && was && s.gen != before.gen: // consumed and asked again between two looks
			h.Signal(s.Event)
		case is && !was:
			h.Signal(s.Event)
		case was && !is && before.gen == gens[name]: // not by Consume: who acknowledges a request knows that it is gone
			before.Active = false
			h.Signal(before.Event)
		}
		if is {
			told[name] = s
		} else {
			delete(told, name)
		}
	}
}

// refresh looks at the folder, keeps our waita alive, and returns all that is active, how often each was consumed, and the troubles that were not told yet.
func (f *Folder) refresh() (current map[Name]state, gens map[Name]int, news []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := map[Name]error{}
	found, bad, err := f.scan()
	if err != nil {
		errs[""] = err
		found = f.now // what was known last holds
	}
	for name, err := range bad {
		errs[name] = err
		if old, ok := f.now[name]; ok && !errors.As(err, new(*objectError)) {
			found[name] = old
		}
	}
	f.now = found
	if err := f.leasesLocked(); err != nil && errs[""] == nil {
		errs[""] = err
	}
	current = map[Name]state{}
	for name, s := range f.now {
		s.gen = f.gen[name]
		current[name] = s
	}
	if _, ok := current[WaitA]; !ok && len(f.leases) > 0 {
		current[WaitA] = state{Event: Event{Name: WaitA, Active: true, Text: leased}}
	}
	texts := map[Name]string{}
	for name, err := range errs {
		texts[name] = err.Error()
		if f.trouble[name] != err.Error() {
			news = append(news, err)
		}
	}
	f.trouble = texts
	return current, maps.Clone(f.gen), news
}

// Active tells whether a signal was there at the last look; of waita also whether anybody holds a lease.
func (f *Folder) Active(name Name) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.now[name]
	return ok || name == WaitA && f.heldLocked()
}

// Get returns a signal as of the last look; false: it is not active. The text is that of then, also where the signal was told with an earlier one.
func (f *Folder) Get(name Name) (Event, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.now[name]
	return s.Event, ok
}

// All returns what is active, in the order of Names, for the status page.
func (f *Folder) All() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Event
	for _, name := range Names() {
		if s, ok := f.now[name]; ok {
			list = append(list, s.Event)
		}
	}
	return list
}
