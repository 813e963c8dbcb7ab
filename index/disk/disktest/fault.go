package disktest

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Kind is an operation of disk.FS or disk.File.
type Kind string

// The operations that can be made to fail. Sync stands for SyncAll too, Seek
// for NextData and NextHole.
const (
	Open     Kind = "open"
	Close    Kind = "close"
	Read     Kind = "read"
	Write    Kind = "write"
	Size     Kind = "size"
	Truncate Kind = "truncate"
	Sync     Kind = "sync"
	Flush    Kind = "flush"
	Allocate Kind = "allocate"
	Punch    Kind = "punch"
	Seek     Kind = "seek"
	Free     Kind = "free"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	Mkdir    Kind = "mkdir"
	ReadDir  Kind = "read directory"
	Lstat    Kind = "lstat"
	SyncDir  Kind = "sync directory"
	SyncFS   Kind = "sync file system"
	Lock     Kind = "lock"
)

// Call is an operation and the function that asked for it, as in
// "blockfile.(*File).readAt": the first one outside packages disk and disktest.
type Call struct {
	Kind Kind
	Site string
}

// Fault is one planned failure.
type Fault struct {
	Call         // empty fields match every call
	N       int  // so many matching calls pass first
	Repeat  bool // all later ones fail as well, not only that one
	Partial int  // bytes that a read or write transfers before it fails
	// Err is the cause. Nil means: a read ends early (io.EOF), a write comes up
	// short (io.ErrShortWrite), anything else is EIO.
	Err error
}

func (f *Fault) cause(otherwise error) error {
	if f.Err != nil {
		return f.Err
	}
	return otherwise
}

// faults counts calls and finds the fault of each. Guarded by FS.mu.
type faults struct {
	counts map[Call]int
	plan   []*Fault
	fired  int
}

// next counts a call and returns its fault, nil if it is to succeed.
func (s *faults) next(kind Kind, site string) *Fault {
	if s.counts == nil {
		s.counts = map[Call]int{}
	}
	s.counts[Call{kind, site}]++
	var hit *Fault
	for _, f := range s.plan {
		if f.Kind != "" && f.Kind != kind || f.Site != "" && f.Site != site {
			continue
		}
		if f.N == 0 || f.N < 0 && f.Repeat {
			hit = f
		}
		f.N--
	}
	if hit != nil {
		s.fired++
	}
	return hit
}

// Inject plans a failure; calls are counted from now on.
func (m *FS) Inject(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.plan = append(m.faults.plan, &f)
}

// Heal forgets all planned failures.
func (m *FS) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.plan = nil
}

// Fired is how many calls were made to fail so far. A test whose fault never
// fires has tested nothing.
func (m *FS) Fired() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults.fired
}

// Calls is how often each call was made so far, the failed ones included: with
// it, a test can fail each call of a run in turn.
func (m *FS) Calls() map[Call]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.faults.counts)
}

// ResetCalls starts counting from zero.
func (m *FS) ResetCalls() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults.counts = nil
}

// SortedCalls is the keys of Calls in a fixed order.
func (m *FS) SortedCalls() []Call {
	return slices.SortedFunc(maps.Keys(m.Calls()), func(a, b Call) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Site, b.Site))
	})
}

// siteNames keeps what a stack was found to mean: looking it up costs more than
// the operation itself. The meaning of a program counter never changes, so this
// ties no two disks together.
var siteNames sync.Map // [siteDepth]uintptr to string

const siteDepth = 8

// callSite names the function on the stack that asked for a disk operation.
func callSite() string {
	var pcs [siteDepth]uintptr
	n := runtime.Callers(2, pcs[:])
	if name, ok := siteNames.Load(pcs); ok {
		return name.(string)
	}
	name := "unknown"
	frames := runtime.CallersFrames(pcs[:n])
	for {
		f, more := frames.Next()
		fn := f.Function[strings.LastIndexByte(f.Function, '/')+1:]
		if fn != "" && !strings.HasPrefix(fn, "disk.") && !strings.HasPrefix(fn, "disktest.") {
			name = fn
			break
		}
		if !more {
			break
		}
	}
	siteNames.Store(pcs, name)
	return name
}
