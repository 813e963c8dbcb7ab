package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"tresor/orchestrator"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is everything outside of the loop, as it survives the loop's death.
type world struct {
	t     testing.TB
	clock *hands

	mu        sync.Mutex
	jobs      []Job
	lastID    int
	volumes   map[string][]orchestrator.Backup // by volume
	order     []string
	current   string
	switches  int
	dead      map[string]string // volumes that cannot be used, and why
	buffer    []orchestrator.Backup
	free      int64
	used      int
	events    []orchestrator.Event
	log       []string
	opened    map[string]int // sources that are open, by machine
	broken    map[string]error
	jobError  func(j Job, attempt int) error
	slow      chan struct{} // nil: jobs do not wait; else until it is closed
	working   int
	verdict   orchestrator.Verdict
	targets   map[string][]string
	discarded []string       // from the buffer
	full      error          // of the buffer
	making    chan struct{}  // nil: the buffer is filled at once; else when it is closed
	scrubs    chan struct{}  // the same of scrubs
	tends     chan struct{}  // the same of the care for further targets
	prunes    chan struct{}  // the same of retention
	atWork    map[string]int // what waits for one of these
	corrupted []string
	mounts    chan struct{} // the same of mounts
	noted     error         // of new jobs: they cannot be noted
	pruned    []string      // what retention removes
	pruning   error         // and what keeps it from the rest
	reclaims  int
	verify    func(backup string) (orchestrator.Verification, error) // nil: all is as verdict says

	life    int // which incarnation is alive
	ops     int
	killAt  int    // -1: never
	before  bool   // the op that kills has no effect
	onDeath func() // under mu
}

func newWorld(t testing.TB) *world {
	return &world{t: t, clock: newHands(), volumes: map[string][]orchestrator.Backup{}, order: []string{"sdc1", "sdc10"}, dead: map[string]string{}, free: 1 << 40,
		opened: map[string]int{}, atWork: map[string]int{}, broken: map[string]error{}, verdict: orchestrator.Verified, targets: map[string][]string{}, killAt: -1}
}

// hold waits for c, if there is one, or for the end of ctx.
func (w *world) hold(ctx context.Context, what string, c func() chan struct{}) error {
	w.mu.Lock()
	until := c()
	w.atWork[what]++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.atWork[what]--
		w.mu.Unlock()
	}()
	if until == nil {
		return nil
	}
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *world) holding(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.atWork[what] > 0
}

var errDead = errors.New("this process is dead")

// op runs an effect that lasts, unless the process of that life is dead.
func (w *world) op(life int, fn func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if life != w.life {
		return errDead
	}
	w.ops++
	kill := w.ops == w.killAt
	if kill && w.before {
		w.die()
		return errDead
	}
	err := fn()
	if kill {
		w.die()
		return errDead
	}
	return err
}

func (w *world) die() {
	w.life++
	w.onDeath()
}

type fakeSource struct {
	w    *world
	life int
	name string
}

func (f fakeSource) Machine() string                       { return f.name }
func (f fakeSource) Kind() string                          { return "dir" }
func (f fakeSource) Clean(context.Context, []string) error { return nil }
func (f fakeSource) Open(_ context.Context, token string) (orchestrator.Tree, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if err := f.w.broken[f.name]; err != nil {
		return nil, err
	}
	f.w.opened[f.name]++
	return fakeTree{f}, nil
}

type fakeTree struct{ f fakeSource }

func (t fakeTree) Roots() []orchestrator.Root {
	return []orchestrator.Root{{Path: "/src/" + t.f.name, Name: "src"}}
}
func (t fakeTree) Token() string { return "" }
func (t fakeTree) Close(context.Context) error {
	t.f.w.mu.Lock()
	defer t.f.w.mu.Unlock()
	t.f.w.opened[t.f.name]--
	return nil
}

type fakeVolumes struct {
	w    *world
	life int
}

func (f fakeVolumes) Open(ctx context.Context) (Volume, error) {
	var v Volume
	if err := f.w.hold(ctx, "mount", func() chan struct{} { return f.w.mounts }); err != nil {
		return v, err
	}
	err := f.w.op(f.life, func() error {
		if f.w.current == "" {
			for _, name := range f.w.order {
				if f.w.dead[name] == "" {
					f.w.current = name
					break
				}
			}
		}
		if f.w.current == "" {
			return errors.New("no disk is attached")
		}
		v = Volume{Name: f.w.current, Store: fakeStore{w: f.w, name: f.w.current}}
		return nil
	})
	return v, err
}

func (f fakeVolumes) Check(_ context.Context, v Volume) error {
	return f.w.op(f.life, func() error {
		if why := f.w.dead[v.Name]; why != "" {
			return errors.New(why)
		}
		return nil
	})
}

func (f fakeVolumes) Switch(_ context.Context, to string) (s Switched, err error) {
	err = f.w.op(f.life, func() error {
		w := f.w
		if w.working > 0 {
			w.t.Errorf("the volume %s is switched while a job writes to it", w.current)
		}
		s.From = w.current
		for _, name := range w.order {
			if name == w.current || to != "" && name != to {
				continue
			}
			if why := w.dead[name]; why != "" {
				s.Tried = append(s.Tried, name+": "+why)
				continue
			}
			s.To, s.Take = name, []string{w.current}
			w.current = name
			w.switches++
			return nil
		}
		if w.dead[w.current] == "" {
			s.To, s.FellBack = w.current, true
			return nil
		}
		w.current = ""
		return errors.New("no disk can be mounted")
	})
	return s, err
}

func (f fakeVolumes) Close(context.Context) error { return nil }
func (f fakeVolumes) Disks(context.Context) (list []Disk, err error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for _, name := range f.w.order {
		list = append(list, Disk{Name: name, Current: name == f.w.current, Take: name != f.w.current, Attached: true, State: "attached"})
	}
	return list, nil
}

type fakeStore struct {
	orchestrator.Store
	w    *world
	name string
}

func (f fakeStore) Usage(context.Context) (orchestrator.Usage, error) {
	return orchestrator.Usage{Total: 1000e6, Used: 10e6}, nil
}
func (f fakeStore) Reclaim(context.Context) (orchestrator.Reclaimed, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.reclaims++
	return orchestrator.Reclaimed{Bytes: 5e6}, nil
}
func (f fakeStore) Scrub(ctx context.Context, _ time.Duration) (orchestrator.Scrubbed, error) {
	if err := f.w.hold(ctx, "scrub", func() chan struct{} { return f.w.scrubs }); err != nil {
		return orchestrator.Scrubbed{}, err
	}
	return orchestrator.Scrubbed{Bytes: 1e6, Bad: 1, Damaged: []string{"x"}, Complete: true}, nil
}

func (f fakeStore) ReadBack(context.Context, string, io.Writer, []orchestrator.Blocks) (orchestrator.ReadBack, error) {
	return orchestrator.ReadBack{}, nil
}

type fakeJobs struct {
	w    *world
	life int
}

func (f fakeJobs) List() ([]Job, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.life != f.w.life {
		return nil, errDead
	}
	return slices.Clone(f.w.jobs), nil
}

func (f fakeJobs) Add(_ context.Context, o Order) (j Job, err error) {
	err = f.w.op(f.life, func() error {
		for _, have := range f.w.jobs {
			if have.Backup == o.Backup {
				j = have
				return nil
			}
		}
		if f.w.noted != nil {
			return f.w.noted
		}
		f.w.lastID++
		j = Job{ID: fmt.Sprint(f.w.lastID), Backup: o.Backup, Machine: o.Machine, Way: ViaVolume, State: "queued", Made: f.w.clock.Now()}
		if o.Buffer != "" {
			j.Way = ViaBuffer
		}
		f.w.jobs = append(f.w.jobs, j)
		return nil
	})
	return j, err
}

func (f fakeJobs) Work(ctx context.Context, id string, v Volume, tree []orchestrator.Root) (Job, error) {
	w := f.w
	w.mu.Lock()
	slow := w.slow
	w.working++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.working--
		w.mu.Unlock()
	}()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return f.job(id), context.Cause(ctx)
		}
	}
	var failed error
	err := w.op(f.life, func() error {
		i := slices.IndexFunc(w.jobs, func(j Job) bool { return j.ID == id })
		j := &w.jobs[i]
		if j.Ended {
			w.t.Errorf("job %s is worked off again", j.Backup)
		}
		if j.Way == ViaVolume && len(tree) == 0 {
			w.t.Errorf("job %s has no tree", j.Backup)
		}
		j.Attempts++
		if w.jobError != nil {
			failed = w.jobError(*j, j.Attempts)
		}
		if failed != nil {
			j.Error, j.After = failed.Error(), w.clock.Now().Add(5*time.Minute)
			j.Ended = j.Attempts >= 3
			return nil
		}
		for name, list := range w.volumes {
			if slices.ContainsFunc(list, func(b orchestrator.Backup) bool { return b.Name == j.Backup }) {
				w.t.Errorf("backup %s is published twice, on %s already", j.Backup, name)
			}
		}
		j.State, j.Error, j.Ended, j.Published, j.Verdict, j.Volume, j.Bytes, j.New = "published", "", true, true, w.verdict, v.Name, 1e6, 5e5
		w.volumes[v.Name] = append(w.volumes[v.Name], orchestrator.Backup{Record: orchestrator.Record{Name: j.Backup, Machine: j.Machine, Verdict: w.verdict, Bytes: 1e6}})
		return nil
	})
	if err != nil {
		return Job{}, err
	}
	return f.job(id), failed
}

func (f fakeJobs) job(id string) Job {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for _, j := range f.w.jobs {
		if j.ID == id {
			return j
		}
	}
	return Job{}
}

func (f fakeJobs) edit(id string, fn func(*Job)) error {
	return f.w.op(f.life, func() error {
		for i := range f.w.jobs {
			if f.w.jobs[i].ID == id {
				fn(&f.w.jobs[i])
				return nil
			}
		}
		return fmt.Errorf("no job %s", id)
	})
}

func (f fakeJobs) SetToken(context.Context, string, string) error { return nil }

func (f fakeJobs) Drop(_ context.Context, id string) error {
	return f.edit(id, func(j *Job) { j.Ended, j.Dropped, j.State = true, true, "dropped" })
}

func (f fakeJobs) Retry(_ context.Context, id string) error {
	return f.edit(id, func(j *Job) { j.Ended, j.Attempts, j.Error, j.After = false, 0, "", time.Time{} })
}

type fakeKeeper struct {
	w    *world
	life int
}

func (f fakeKeeper) Backups(_ context.Context, v Volume) ([]orchestrator.Backup, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return slices.Clone(f.w.volumes[v.Name]), nil
}

func (f fakeKeeper) Prune(ctx context.Context, v Volume, busy []string, atSwitch, dry bool) (Pruned, error) {
	if f.w.holding("prune") {
		f.w.t.Error("two remove backups from a volume at the same time")
	}
	if err := f.w.hold(ctx, "prune", func() chan struct{} { return f.w.prunes }); err != nil {
		return Pruned{}, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return Pruned{Removed: f.w.pruned, Kept: len(f.w.volumes[v.Name]), Limit: "50 versions"}, f.w.pruning
}

func (f fakeKeeper) Verify(_ context.Context, v Volume, backup string) (orchestrator.Verification, error) {
	if f.w.verify != nil {
		return f.w.verify(backup)
	}
	return orchestrator.Verification{Verdict: f.w.verdict, Reason: "as it is"}, nil
}

func (f fakeKeeper) Corrupted(context.Context, Volume, int) ([]string, bool, error) {
	return f.w.corrupted, false, nil
}

type fakeTarget struct {
	w    *world
	life int
	err  error
}

func (f fakeTarget) Name() string { return "borg1" }
func (f fakeTarget) Maintain(ctx context.Context) error {
	return f.w.hold(ctx, "tend", func() chan struct{} { return f.w.tends })
}
func (f fakeTarget) Backup(_ context.Context, machine string, roots []orchestrator.Root) error {
	return errors.Join(f.err, f.w.op(f.life, func() error {
		f.w.targets[machine] = append(f.w.targets[machine], roots[0].Path)
		return nil
	}))
}

// Notify, Say, BeginRun and EndRun keep what they get.
type fakeTeller struct {
	w    *world
	life int
}

func (f fakeTeller) Notify(e orchestrator.Event) error {
	return f.w.op(f.life, func() error { f.w.events = append(f.w.events, e); return nil })
}

func (f fakeTeller) Say(s orchestrator.Severity, run, text string) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.log = append(f.w.log, string(s)+" "+text)
}
func (f fakeTeller) BeginRun(id, title string) {}
func (f fakeTeller) EndRun(string, bool)       {}
