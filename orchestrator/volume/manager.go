package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/volume/internal/indexcache"
	"tresor/orchestrator/volume/internal/rotation"
)

// Manager looks after all volumes of the settings.
type Manager struct {
	o     Options
	cache *indexcache.Cache
	root  *os.Root
	turn  chan struct{}             // whoever holds its one token may change something
	stop  func(before string) error // of tests: ends a making before one of its steps, as a crash would; nil otherwise

	mu    sync.Mutex // guards what follows, and orders the writes of mem; I/O on the state directory is done under it; leaf
	mem   memory
	cur   *Current
	doing string                  // volume that an operation brings up or down at the moment, "" for none
	cut   context.CancelCauseFunc // ends the operation that is under way; nil: none is
	keep  *keeper                 // makes copies of the index in use; nil: nobody does
}

// Current is a volume that is mounted. It does not change.
type Current struct {
	Name   string
	ID     string // UUID, as in the name of its index; "" if the volume has its index inside and nobody knows
	Disk   string // where its disk is mounted
	Parent string // directory of the volume
	Point  string // where the volume is mounted
	Root   string // the directory in which the folders of backups are
	Store  orchestrator.Store
	Notes  []string // what was found out about it, for the log

	place *indexcache.Place // of its index; nil: the index lies in the volume
}

// New reads the state and changes nothing but to make its directory. Start comes next.
func New(o Options) (*Manager, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	root, mem, damaged, err := openMemory(o.State, o.Look)
	if err != nil {
		return nil, err
	}
	if damaged != nil && o.Look {
		o.Log(Transition{Time: o.Clock.Now(), Note: "the state is damaged, and not looked at", Err: damaged})
	} else if damaged != nil {
		o.Log(Transition{Time: o.Clock.Now(), Note: "the state was damaged and is laid aside; the rotation begins anew", Err: damaged})
	}
	m := &Manager{o: o, root: root, mem: mem, turn: make(chan struct{}, 1)}
	m.cache = &indexcache.Cache{Clock: o.Clock, Random: o.Random, Host: o.Host}
	return m, nil
}

// Close ends an operation that is under way, as Unmount does, and lets go of the state directory. Volumes stay as they are.
func (m *Manager) Close() error {
	m.interrupt(errors.New("the service lets go of the volumes"))
	ctx, end := within(context.Background(), m.o.Deadlines.Step, "close")
	defer end()
	done, err := m.take(ctx)
	if err == nil {
		defer done()
	}
	m.stopCopies()
	return errors.Join(err, m.root.Close())
}

// Point is where the current volume is mounted, as the mount table has it.
func (m *Manager) Point() string { return m.o.Point }

// Current is the volume in use, nil if there is none.
func (m *Manager) Current() *Current {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur
}

func (m *Manager) spec(name string) (*Spec, error) {
	i := slices.IndexFunc(m.o.Volumes, func(v Spec) bool { return v.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("volume %q: %w", name, ErrNotFound)
	}
	return &m.o.Volumes[i], nil
}

func (m *Manager) entries() []rotation.Entry {
	list := make([]rotation.Entry, len(m.o.Volumes))
	for i, v := range m.o.Volumes {
		use, _ := rotation.ParseUse(v.Use, v.Name) // New has looked at it
		list[i] = rotation.Entry{Name: v.Name, Use: use}
	}
	return list
}

// set notes a state, durably, and tells about it.
func (m *Manager) set(name string, to State, note string, cause error) {
	now := m.o.Clock.Now()
	from := Absent // nobody has seen it yet
	m.remember(func(mem *memory) {
		last := mem.Volumes[name]
		if last.State != "" {
			from = last.State
		}
		if last.State != to {
			mem.Volumes[name] = step{State: to, Since: now}
		}
	})
	m.o.Log(Transition{Time: now, Volume: name, From: from, To: to, Note: note, Err: cause})
}

// remember changes the memory and writes it. If that fails the log says so, and the work goes on: what is mounted the kernel knows, and a backup is worth
// more than the order of the rotation.
func (m *Manager) remember(change func(mem *memory)) {
	m.mu.Lock()
	change(&m.mem)
	err := m.mem.save(m.root)
	m.mu.Unlock()
	if err != nil {
		m.o.Log(Transition{Time: m.o.Clock.Now(), Note: "the state could not be written", Err: err})
	}
}

func (m *Manager) memory() (current string, r rotation.Rotation, second map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	second = map[string]string{}
	for k, v := range m.mem.Second {
		second[k] = v
	}
	return m.mem.Current, m.mem.Rotation, second
}

// last is the state that was noted last.
func (m *Manager) last(name string) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mem.Volumes[name].State
}

func (m *Manager) setCurrent(c *Current) {
	m.remember(func(mem *memory) {
		m.cur = c
		mem.Current, mem.Parent = "", ""
		if c != nil {
			mem.Current, mem.Parent = c.Name, c.Parent
		}
	})
}

// within gives a step its deadline.
func within(ctx context.Context, d time.Duration, what string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("%s: deadline of %v is over", what, d))
}

// afterwards is a context for what is undone or closed also when ctx has ended.
func afterwards(ctx context.Context, d time.Duration, what string) (context.Context, context.CancelFunc) {
	return within(context.WithoutCancel(ctx), d, what)
}

// parentOf is the directory of the volume as it stands in the mount table, without symbolic links.
func (v *Spec) parentOf(dir string) string {
	path := filepath.Join(dir, v.Parent)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// inUse finds out whether something could not be unmounted because it is used.
func inUse(err error) (*orchestrator.InUseError, bool) {
	var busy *orchestrator.InUseError
	ok := errors.As(err, &busy)
	return busy, ok
}
