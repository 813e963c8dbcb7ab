package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tresor/orchestrator"
)

// openTree is a source that is ready to be read, kept as long as its backup needs it.
type openTree struct {
	tree    orchestrator.Tree
	machine string
}

// doBackup brings the machine whose turn it is one piece further. It is called again until the machine has its outcome, also after a crash: what
// it finds done it does not do again.
func (s *Service) doBackup(ctx context.Context, i int) error {
	st := s.State()
	if st.Round == nil || i >= len(st.Round.Machines) {
		return nil
	}
	r := st.Round.Machines[i]
	m, ok := s.snapshot().machine(r.Machine)
	now := s.p.Clock.Now()
	switch {
	case !ok:
		s.discard(ctx, r)
		return s.result(i, Result{Outcome: Failed, Text: "it is not in the configuration any more"})
	case r.Outcome == Waiting && m.Blocked != nil && m.Blocked.Blocked(now):
		return s.result(i, Result{Outcome: Blocked, Text: "its blocked hours"})
	case r.Outcome == Waiting:
		return s.beginMachine(ctx, i, m)
	}
	s.at(theStep, "backup of %s", m.Name)
	event := s.happens()
	r, err := s.oneMachine(ctx, m, r)
	switch {
	case wasCutBy(err):
		// It goes on when the gate opens. Until then the loop serves other wishes.
		s.waitFor(ctx, event, time.Time{})
		return nil
	case err != nil:
		return err
	case r.Outcome == Begun:
		return nil
	}
	if err := s.result(i, r); err != nil {
		return err
	}
	s.closeTrees(ctx, false)
	return nil
}

// oneMachine backs a machine up, and gives it to further targets, also where the backup failed: they may be all that is left of it. An outcome of Begun
// says that it is not over; an error, that it was cut off or that not even its outcome is known.
func (s *Service) oneMachine(ctx context.Context, m Machine, r Result) (Result, error) {
	var err error
	if r.Way == ViaBuffer {
		r, err = s.toBuffer(ctx, m, r)
	} else {
		r, err = s.toVolume(ctx, m, r)
	}
	var source *openError
	var unnoted *unnotedError
	switch {
	case wasCutBy(err), errors.As(err, &unnoted):
		return r, err
	case err != nil:
		s.discard(ctx, r)
		r.Outcome, r.Text = Failed, err.Error()
		if errors.As(err, &source) { // nobody can read it
			return r, nil
		}
	case r.Outcome == Begun:
		return r, nil
	}
	return s.furtherTargets(ctx, m, r)
}

// unnotedError is a backup that is whole on the buffer and whose job could not be noted: it is tried again, since without one nobody would copy it, nor remove it.
type unnotedError struct{ error }

func (e *unnotedError) Unwrap() error { return e.error }

// notNoted is an unnotedError as long as it is worth while to try again; then it is the machine's failure, so that others have their turn.
func (s *Service) notNoted(err error) error {
	now, limit := s.p.Clock.Now(), s.settings().AdmissionLimit
	s.mu.Lock()
	if s.unnoted.IsZero() || s.unnoted.After(now) {
		s.unnoted = now
	}
	over := limit > 0 && now.Sub(s.unnoted) >= limit
	s.mu.Unlock()
	if over {
		return fmt.Errorf("%w; the backup stays on the buffer and nobody copies it", err)
	}
	s.giveUp(err)
	return &unnotedError{err}
}

// openError is a source that cannot be read.
type openError struct {
	machine string
	err     error
}

func (e *openError) Error() string { return "open " + e.machine + ": " + e.err.Error() }
func (e *openError) Unwrap() error { return e.err }

// discard removes what a failed backup has left on the buffer.
func (s *Service) discard(ctx context.Context, r Result) {
	b := s.snapshot().Buffer
	if r.Way != ViaBuffer || b == nil || r.Backup == "" {
		return
	}
	if err := b.Discard(ctx, r.Backup); err != nil {
		s.say(orchestrator.Warning, "", fmt.Sprintf("remove what is there of %s on the buffer: %v", r.Backup, err))
	}
}

// beginMachine chooses the way and the name of the backup.
func (s *Service) beginMachine(ctx context.Context, i int, m Machine) error {
	st := s.State()
	mem := st.Machines[m.Name]
	way := m.Way
	if way == ViaBuffer {
		way = chooseWay(s.settings().DirectRuns, mem.Direct)
	}
	if way == ViaBuffer && s.snapshot().Buffer == nil {
		return s.result(i, Result{Outcome: Failed, Text: errNoBuffer.Error()})
	}
	if way == ViaBuffer {
		ready, err := s.admit(ctx, m, mem)
		if err != nil && !wasCutBy(err) {
			return s.result(i, Result{Outcome: Failed, Way: way, Text: err.Error()})
		}
		if !ready || err != nil {
			return err
		}
	}
	begun := s.p.Clock.Now().UTC()
	name := orchestrator.BackupName(m.Name, begun)
	if name <= mem.Backup && mem.Backup != "" { // the clock was set back, or the last one was begun in this second
		if _, t, err := orchestrator.ParseBackupName(mem.Backup); err == nil {
			begun = t.Add(time.Second)
			name = orchestrator.BackupName(m.Name, begun)
		}
	}
	return s.change(func(st *State) {
		r := &st.Round.Machines[i]
		r.Outcome, r.Way, r.Backup, r.Begun = Begun, way, name, begun
		mem := st.Machines[m.Name]
		st.admitted(&mem, s.p.Clock.Now())
		mem.Backup, mem.Tried = name, begun
		st.Machines[m.Name] = mem
		s.holdLocked(m.Name, time.Time{})
	})
}

// admitted ends a machine's wait for the buffer, and counts it.
func (st *State) admitted(mem *Memory, now time.Time) {
	if !mem.Waiting.IsZero() {
		st.Counters.Waited += int64(now.Sub(mem.Waiting) / time.Second)
	}
	mem.Waiting, mem.Warned = time.Time{}, false
}

// result notes the outcome of a machine, counts it, and remembers it for the next time, all at once.
func (s *Service) result(i int, r Result) error {
	now := s.p.Clock.Now().UTC()
	run := ""
	err := s.change(func(st *State) {
		old := st.Round.Machines[i]
		run = st.Round.ID
		r.Machine, r.Ended = old.Machine, now
		if r.Begun.IsZero() {
			r.Begun = now
		}
		r.Seconds = int64(now.Sub(r.Begun) / time.Second)
		mem := st.Machines[r.Machine]
		switch r.Outcome {
		case Good, Partial:
			mem.Tried, mem.Error = r.Begun, ""
			st.Counters.Backups++
			st.Counters.Bytes += r.Bytes
			mem.Bytes, mem.Direct = r.Bytes, nextCount(r.Way, mem.Direct)
		case Blocked:
			st.Counters.Blocked++
		default:
			st.Counters.Failures++
			mem.Tried, mem.Error = r.Begun, r.Text
		}
		st.admitted(&mem, now)
		s.holdLocked(r.Machine, time.Time{})
		if st.Machines == nil {
			st.Machines = map[string]Memory{}
		}
		st.Machines[r.Machine] = mem
		st.Round.Machines[i] = r
	})
	if err != nil {
		return err
	}
	sev := orchestrator.Info
	if r.Outcome == Failed {
		sev = orchestrator.Failure
	}
	s.say(sev, run, line(r))
	return nil
}

// toVolume makes the job of a machine that goes straight into the volume, and waits for it. The error is the machine's failure; an outcome of Begun
// says that it is not over.
func (s *Service) toVolume(ctx context.Context, m Machine, r Result) (Result, error) {
	event := s.happens()
	job, found, err := s.jobOf(r.Backup)
	if err != nil {
		return r, err
	}
	if !found {
		roots, token, err := s.openFor(ctx, m, r.Backup, "")
		if err != nil {
			return r, err
		}
		o := Order{Backup: r.Backup, Machine: m.Name, Kind: m.Source.Kind(), Begun: r.Begun, Roots: roots, Token: token}
		if _, err = s.p.Jobs.Add(ctx, o); err != nil {
			return r, fmt.Errorf("job of %s: %w", r.Backup, err)
		}
		s.tell()
		return r, nil
	}
	r.Bytes, r.New, r.NewData = job.Bytes, job.New, job.NewData
	switch {
	case job.Published:
		r.Outcome, r.Text = Good, ""
		if len(job.Partial) > 0 {
			r.Outcome, r.Text = Partial, fmt.Sprintf("%d files could not be read, the first: %s", len(job.Partial), job.Partial[0])
		}
		return r, nil
	case job.Ended:
		return r, errors.New(orText(job.Error, "the job has ended without a backup"))
	case job.Attempts > 0 && job.Error != "":
		return r, fmt.Errorf("attempt %d: %s; it is tried again by itself", job.Attempts, job.Error)
	}
	first, err := s.ahead(job)
	if err == nil && first != "" {
		err = fmt.Errorf("its copy waits for %s; the job stays", first)
	}
	if err != nil {
		return r, err
	}
	s.mu.Lock()
	trouble, since, stuck := s.trouble, s.since, s.stuck[r.Backup]
	s.mu.Unlock()
	limit := s.settings().VolumeLimit
	switch { // what nobody has tried yet is not stuck
	case stuck.why != "" && !stuck.volume:
		return r, fmt.Errorf("%s; it is tried again by itself", stuck.why)
	case stuck.why != "" && trouble != "" && limit > 0 && s.p.Clock.Now().Sub(since) >= limit:
		return r, fmt.Errorf("no volume since %s: %s; the job stays", since.UTC().Format(time.RFC3339), trouble)
	}
	s.waitFor(ctx, event, time.Time{})
	return r, nil
}

func orText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// jobOf finds the job of a backup.
func (s *Service) jobOf(backup string) (Job, bool, error) {
	list, err := s.p.Jobs.List()
	if err != nil {
		return Job{}, false, fmt.Errorf("list of jobs: %w", err)
	}
	i := slices.IndexFunc(list, func(j Job) bool { return j.Backup == backup })
	if i < 0 {
		return Job{}, false, nil
	}
	return list[i], true, nil
}

var errNoBuffer = errors.New("there is no buffer in the configuration")

// ahead is the earlier job of the same machine that keeps this one waiting although it waits itself, for its next attempt; empty: there is none. A round
// does not wait for that: the other machines would wait too.
func (s *Service) ahead(job Job) (string, error) {
	list, err := s.p.Jobs.List()
	if err != nil {
		return "", fmt.Errorf("list of jobs: %w", err)
	}
	i := slices.IndexFunc(list, func(j Job) bool { return j.Machine == job.Machine && !j.Ended })
	if i < 0 || list[i].ID == job.ID {
		return "", nil
	}
	s.mu.Lock()
	due := s.stuck[list[i].Backup].until
	s.mu.Unlock()
	if list[i].After.After(due) {
		due = list[i].After
	}
	if !due.After(s.p.Clock.Now()) {
		return "", nil
	}
	return fmt.Sprintf("that of %s, which is tried again at %s", list[i].Backup, due.Format(time.RFC3339)), nil
}

// toBuffer backs a machine up to the buffer and makes the job that copies it from there.
func (s *Service) toBuffer(ctx context.Context, m Machine, r Result) (Result, error) {
	b := s.snapshot().Buffer
	if b == nil { // since a reload
		return r, errNoBuffer
	}
	job, found, err := s.jobOf(r.Backup)
	if err != nil {
		return r, err
	}
	rec := orchestrator.Record{Bytes: job.Bytes, Partial: job.Partial}
	if !found {
		if rec, err = s.fillBuffer(ctx, b, m, r); err != nil {
			return r, err
		}
		if _, err = s.p.Jobs.Add(ctx, Order{Backup: r.Backup, Machine: m.Name, Kind: m.Source.Kind(), Begun: r.Begun, Buffer: b.Dir(r.Backup)}); err != nil {
			return r, s.notNoted(fmt.Errorf("job of %s: %w", r.Backup, err))
		}
		s.mu.Lock()
		s.unnoted = time.Time{}
		s.tellLocked()
		s.mu.Unlock()
	}
	r.Outcome, r.Bytes, r.Text = Good, rec.Bytes, "on the buffer, is copied by a job"
	if len(rec.Partial) > 0 {
		r.Outcome, r.Text = Partial, fmt.Sprintf("%d files could not be read, the first: %s", len(rec.Partial), rec.Partial[0])
	}
	return r, nil
}

// fillBuffer makes the backup on the buffer, unless a run before a crash has made it.
func (s *Service) fillBuffer(ctx context.Context, b Buffer, m Machine, r Result) (orchestrator.Record, error) {
	list, err := b.List(ctx)
	if err != nil {
		return orchestrator.Record{}, err
	}
	for _, have := range list {
		if have.Name == r.Backup {
			return have.Record, nil
		}
	}
	roots, _, err := s.openFor(ctx, m, r.Backup, "")
	if err != nil {
		return orchestrator.Record{}, err
	}
	ctx, done, err := s.work.enter(ctx, backing)
	if err != nil {
		return orchestrator.Record{}, err
	}
	defer done()
	rec, err := b.Make(ctx, r.Backup, m, roots)
	return rec, cutOr(ctx, err)
}

// cutOr is the reason for which ctx was cut off, or else err.
func cutOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && wasCutBy(cause) {
		return cause
	}
	return err
}

// openFor opens the source of a backup, or finds it open.
func (s *Service) openFor(ctx context.Context, m Machine, backup, token string) ([]orchestrator.Root, string, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	s.mu.Lock()
	have := s.trees[backup]
	s.mu.Unlock()
	if have != nil {
		return have.tree.Roots(), have.tree.Token(), nil
	}
	ctx, done, err := s.work.enter(ctx, backing)
	if err != nil {
		return nil, "", err
	}
	defer done()
	t, err := m.Source.Open(ctx, token)
	if err != nil {
		return nil, "", cutOr(ctx, &openError{m.Name, err})
	}
	s.mu.Lock()
	s.trees[backup] = &openTree{t, m.Name}
	s.mu.Unlock()
	return t.Roots(), t.Token(), nil
}

// closeTrees gives back the sources that no backup needs any more; at the end of the service (all) all of them, those suspended that a job goes on with.
func (s *Service) closeTrees(ctx context.Context, all bool) {
	jobs, err := s.p.Jobs.List()
	if err != nil {
		return // some other time
	}
	need, suspended := map[string]bool{}, map[string]bool{}
	for _, j := range jobs {
		if !j.Ended {
			// At the end of the service the snapshot stays for the rest of the copy.
			need[j.Backup], suspended[j.Backup] = !all, j.Token != ""
		}
	}
	s.mu.Lock()
	if s.state.Round != nil && !all {
		for _, r := range s.state.Round.Machines {
			if r.Outcome == Begun {
				need[r.Backup] = true
			}
		}
	}
	list := map[string]*openTree{}
	for name, t := range s.trees {
		if !need[name] {
			list[name] = t
			delete(s.trees, name)
		}
	}
	s.mu.Unlock()
	for name, t := range list {
		if err := letGo(context.WithoutCancel(ctx), t.tree, suspended[name]); err != nil {
			s.say(orchestrator.Warning, "", fmt.Sprintf("close the source of %s: %v", name, err))
		}
	}
}

// letGo closes a tree, or suspends it where it can be had again.
func letGo(ctx context.Context, t orchestrator.Tree, again bool) error {
	if sus, ok := t.(orchestrator.Suspender); ok && again {
		return sus.Suspend(ctx)
	}
	return t.Close(ctx)
}

// furtherTargets gives the machine to those targets that did not have it yet. Their failures are told and do not spoil the backup.
func (s *Service) furtherTargets(ctx context.Context, m Machine, r Result) (Result, error) {
	for _, t := range s.snapshot().Targets {
		done := slices.ContainsFunc(r.Targets, func(x TargetState) bool { return x.Name == t.Name() })
		if done || !slices.Contains(m.Targets, t.Name()) {
			continue
		}
		err := s.oneTarget(ctx, t, m, r.Backup)
		if wasCutBy(err) {
			return r, err
		}
		ts := TargetState{Name: t.Name()}
		if err != nil {
			ts.Error = err.Error()
		}
		r.Targets = append(r.Targets, ts)
		if err := s.keepTargets(r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// keepTargets remembers which targets have the machine, so that an interruption does not give it to them again.
func (s *Service) keepTargets(r Result) error {
	return s.change(func(st *State) {
		for i := range st.Round.Machines {
			if st.Round.Machines[i].Backup == r.Backup {
				st.Round.Machines[i].Targets = r.Targets
			}
		}
	})
}

func (s *Service) oneTarget(ctx context.Context, t Target, m Machine, backup string) error {
	job, _, err := s.jobOf(backup)
	if err != nil {
		return err
	}
	roots, _, err := s.openFor(ctx, m, backup, job.Token)
	if err != nil {
		return err
	}
	ctx, done, err := s.work.enter(ctx, backing)
	if err != nil {
		return err
	}
	defer done()
	s.at(theStep, "%s to %s", m.Name, t.Name())
	return cutOr(ctx, t.Backup(ctx, m.Name, roots))
}
