package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"tresor/orchestrator"
	"tresor/orchestrator/job/internal/journal"
)

// Verifier compares copies with the sums of their source.
type Verifier interface {
	// Verify reads what lies in dir, relative to the store's root. An error says that it did not come to an end; it is tried again.
	Verify(ctx context.Context, store orchestrator.Store, dir string, sums []orchestrator.FileSum) (orchestrator.Verification, error)
	// Write writes manifest and sums into the absolute directory dir, for a mismatch the marks as well. The caller makes them durable.
	Write(ctx context.Context, dir string, sums []orchestrator.FileSum, v orchestrator.Verification) error
}

// Options of a queue.
type Options struct {
	Dir      string // of the journal; one process uses it at a time
	Clock    orchestrator.Clock
	Random   io.Reader // of ids
	Verifier Verifier
	Notifier orchestrator.Notifier
	// MakeRoom is called when a volume is full, once in each attempt: it prunes and reclaims.
	MakeRoom func(ctx context.Context, v Volume) error
	// Release says that a source is not needed any more: it was published, or dropped. It may come again after a restart, and until it has returned nil.
	Release func(ctx context.Context, j Job) error
	// SkipVerify is asked when the copy of j, which lies on v, would be verified: why it is not; empty: it is. nil: all are verified.
	SkipVerify func(j Job, v Volume) string
	// OnBuffer is what a backup on the buffer was when it was made; nil: that is not known of this one. What is read there must be the same.
	OnBuffer func(j Job) (*BufferList, error)

	Evidence string // folder for records of copies that differed; empty: evidence, in Dir

	Skip    func() []string // directories that are never copied: state, spool, disks of volumes
	Strict  bool            // a file that cannot be read lets the attempt fail, as it does on the buffer; else it is listed
	Segment int64           // bytes between two notes of a copy; 0: orchestrator.SumSegment
	// MaxAttempts that fail, and the wait after the n-th; zero values: 3, and 1, 5, 25 minutes.
	MaxAttempts int
	Backoff     func(n int) time.Duration
	// Step is called before and after each change that is durable: tests kill the process there. It may be nil.
	Step func(name string)
}

func (o *Options) defaults() {
	if o.Clock == nil {
		o.Clock = orchestrator.SystemClock()
	}
	if o.Evidence == "" {
		o.Evidence = filepath.Join(o.Dir, "evidence")
	}
	if o.Segment == 0 {
		o.Segment = orchestrator.SumSegment
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 3
	}
	if o.Backoff == nil {
		o.Backoff = func(n int) time.Duration {
			wait := time.Minute
			for range n - 1 {
				wait = min(5*wait, time.Hour)
			}
			return wait
		}
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Release == nil {
		o.Release = func(context.Context, Job) error { return nil }
	}
	if o.SkipVerify == nil {
		o.SkipVerify = func(Job, Volume) string { return "" }
	}
	if o.OnBuffer == nil {
		o.OnBuffer = func(Job) (*BufferList, error) { return nil, nil }
	}
	if o.Skip == nil {
		o.Skip = func() []string { return nil }
	}
}

// Queue is the open journal. Its methods may be called concurrently.
type Queue struct {
	opts    Options
	journal *journal.Journal

	// commit is held while a record is made or replaced, its I/O included, and before mu: the journal and jobs change in the same order.
	commit sync.Mutex
	// mu guards what is below; held for a few instructions, never during I/O, and no other lock is taken under it.
	mu        sync.Mutex
	jobs      map[string]*Job
	running   map[string]context.CancelCauseFunc // by id
	releasing map[string]bool                    // ids of jobs whose source is being released
	writers   map[string]string                  // id of the job that writes, by volume
	mounts    map[string]mount                   // by id of the job
}

// Open reads the journal. Records that cannot be believed are set aside, reported by an event each, and hinder nobody.
func Open(o Options) (*Queue, error) {
	o.defaults()
	if o.Verifier == nil || o.Notifier == nil || o.Random == nil {
		return nil, errors.New("open queue: want a verifier, a notifier and a source of randomness")
	}
	j, err := journal.Open(o.Dir, o.Step)
	if err != nil {
		return nil, err
	}
	q := &Queue{opts: o, journal: j, jobs: map[string]*Job{}, running: map[string]context.CancelCauseFunc{}, writers: map[string]string{}, releasing: map[string]bool{},
		mounts: map[string]mount{}}
	asides, err := j.Load(q.take)
	for _, a := range asides {
		err = errors.Join(err, q.tellAside(a))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open queue: %w", err), j.Close())
	}
	return q, nil
}

// tellAside tells of a record that was set aside, until somebody was told.
func (q *Queue) tellAside(a journal.Aside) error {
	err := q.notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.CopyFailed,
		Subject: fmt.Sprintf("the record of a job cannot be read: %s", a.Name), Body: a.String(),
		Advice: "Its source was not released. Look which backup of the buffer, or which machine, has no job, and let it be backed up again."})
	if err != nil {
		return err
	}
	return q.journal.Told(a)
}

// take believes a record, or says why not.
func (q *Queue) take(id string, data []byte) error {
	var j Job // fields that a newer program has added are not hindered
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if err := j.check(id); err != nil {
		return err
	}
	q.jobs[id] = &j
	if j.State.Ended() {
		return q.tidy(id)
	}
	return nil
}

// Close gives the directory free. Work must have returned.
func (q *Queue) Close() error { return q.journal.Close() }

// Add makes a job. If there is one of that backup already it is returned as it is.
func (q *Queue) Add(s Spec) (Job, error) {
	if err := s.check(); err != nil {
		return Job{}, fmt.Errorf("add job: %w", err)
	}
	q.commit.Lock()
	defer q.commit.Unlock()
	for _, j := range q.List() {
		if j.Backup == s.Backup {
			return j, nil
		}
	}
	now := q.opts.Clock.Now().UTC()
	id, err := ulid.New(ulid.Timestamp(now), q.opts.Random)
	if err != nil {
		return Job{}, fmt.Errorf("add job: %w", err)
	}
	j := &Job{ID: id.String(), Spec: s, State: Queued, Created: now, Changed: now}
	if j.held(now) {
		j.State = Held
	}
	j.Result = orchestrator.Record{Name: s.Backup, ID: j.ID, Machine: s.Machine, Source: s.Kind, Begun: s.Begun.UTC()}
	if err := q.putLocked(j); err != nil {
		return Job{}, err
	}
	return j.clone(), nil
}

// putLocked makes a record durable, then known. q.commit is held.
func (q *Queue) putLocked(j *Job) error {
	data, err := json.MarshalIndent(j, "", " ")
	if err == nil {
		err = q.journal.Put(j.ID, data)
	}
	if err != nil {
		return fmt.Errorf("job %s (%s): %w", j.ID, j.Backup, ofState(err))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs[j.ID] = j
	if j.State.Ended() {
		delete(q.mounts, j.ID)
	}
	return nil
}

// ErrUnknown is an id that no job has.
var ErrUnknown = errors.New("no such job")

// update changes a job: a copy of it, which replaces it when it is durable.
func (q *Queue) update(id string, change func(j *Job) error) (Job, error) {
	q.commit.Lock()
	defer q.commit.Unlock()
	q.mu.Lock()
	old, ok := q.jobs[id]
	q.mu.Unlock()
	if !ok {
		return Job{}, fmt.Errorf("job %q: %w", id, ErrUnknown)
	}
	j := old.clone()
	if err := change(&j); err != nil {
		return Job{}, fmt.Errorf("job %s (%s): %w", id, old.Backup, err)
	}
	if err := may(old.State, j.State); err != nil {
		return Job{}, fmt.Errorf("job %s (%s): %w", id, old.Backup, err)
	}
	j.Changed = q.opts.Clock.Now().UTC()
	if j.State.Ended() && !old.State.Ended() {
		j.Ended = j.Changed
	}
	if err := q.putLocked(&j); err != nil {
		return Job{}, err
	}
	return j.clone(), nil
}

// List returns all jobs in the order of the queue, ended ones included.
func (q *Queue) List() []Job {
	q.mu.Lock()
	list := make([]Job, 0, len(q.jobs))
	for id, j := range q.jobs {
		c := j.clone()
		_, c.Running = q.running[id]
		list = append(list, c)
	}
	q.mu.Unlock()
	inOrder(list)
	return list
}

// Get returns a job by its id, or by the name of its backup.
func (q *Queue) Get(id string) (Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, ok := q.jobs[id]
	for _, other := range q.jobs {
		if !ok && other.Backup == id {
			j, ok = other, true
		}
	}
	if !ok {
		return Job{}, fmt.Errorf("job %q: %w", id, ErrUnknown)
	}
	c := j.clone()
	_, c.Running = q.running[j.ID]
	return c, nil
}

// Ready returns the jobs that Work could take to a volume now, in the order in which they are to be worked off, and when the next one is due that waits
// for a moment.
func (q *Queue) Ready(volume string) (list []Job, next time.Time) {
	return ready(q.List(), volume, q.opts.Clock.Now())
}

func (q *Queue) notify(e orchestrator.Event) error {
	e.Time = q.opts.Clock.Now().UTC()
	if err := q.opts.Notifier.Notify(e); err != nil {
		return fmt.Errorf("tell about %q: %w", e.Subject, err)
	}
	return nil
}
