package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tresor/orchestrator"
)

// workJobs works the jobs off, one at a time, until ctx ends.
func (s *Service) workJobs(ctx context.Context) {
	s.firstVolume(ctx)
	for ctx.Err() == nil {
		event := s.happens()
		jobs, err := s.p.Jobs.List()
		if err != nil {
			s.stepFailed("list of jobs", err)
			s.waitFor(ctx, event, s.p.Clock.Now().Add(s.settings().Poll))
			continue
		}
		if err := s.account(ctx); err != nil && ctx.Err() == nil { // at the end of the service it is done once more
			s.stepFailed("accounting for ended jobs", err)
		}
		job, until, ok := s.nextJob(jobs)
		if !ok {
			s.waitUnlessEnded(ctx, event, until)
			continue
		}
		err = s.workJob(ctx, job)
		if wasCutBy(err) {
			s.waitUnlessEnded(ctx, event, time.Time{})
			continue
		}
		s.stuckAt(job, err)
	}
}

// firstVolume mounts the volume at the start, so that it can be looked at, and a missing disk is told before the night.
func (s *Service) firstVolume(ctx context.Context) {
	defer s.tell()
	for ctx.Err() == nil {
		event := s.happens()
		err := s.with(ctx, looking, func(context.Context, Volume) error { return nil })
		switch {
		case errors.Is(err, ErrSwitching): // somebody has his hands on the disks
			s.waitUnlessEnded(ctx, event, s.p.Clock.Now().Add(time.Second))
			continue
		case err != nil && !wasCutBy(err):
			s.say(orchestrator.Warning, "", err.Error())
		}
		return
	}
}

// stuck is a job that could not be begun: others go first.
type stuck struct {
	id     string
	why    string
	until  time.Time // it is tried again
	volume bool      // because there was no volume: it is tried as soon as there is one
}

// noVolumeError is a job that has no volume to go to.
type noVolumeError struct{ error }

func (e noVolumeError) Unwrap() error { return e.error }

// stuckAt notes why a job cannot be begun (nil: it could), for the worker and for the round that waits for it; the same again is not said again.
func (s *Service) stuckAt(j Job, err error) {
	s.mu.Lock()
	before := s.stuck[j.Backup].why
	delete(s.stuck, j.Backup)
	var none noVolumeError
	if err != nil {
		s.stuck[j.Backup] = stuck{j.ID, err.Error(), s.p.Clock.Now().Add(s.snap.Settings.Poll), errors.As(err, &none)}
	}
	s.tellLocked()
	s.mu.Unlock()
	switch {
	case err == nil || before == err.Error():
	case none.error != nil: // people were told of that
		s.say(orchestrator.Failure, "", fmt.Sprintf("job of %s: %v; it is tried again every %s", j.Backup, err, s.settings().Poll))
	default:
		s.stepFailed("job of "+j.Backup, err)
	}
}

// laterLocked is when jobs that could not be begun are tried again, by backup. The caller holds mu.
func (s *Service) laterLocked() map[string]time.Time {
	list := map[string]time.Time{}
	for backup, x := range s.stuck {
		list[backup] = x.until
	}
	return list
}

// waitUnlessEnded is waitFor that the end of ctx ends.
func (s *Service) waitUnlessEnded(ctx context.Context, event <-chan struct{}, until time.Time) {
	if ctx.Err() == nil {
		s.waitFor(ctx, event, until)
	}
}

// nextJob is nextJob with the jobs that could not be begun.
func (s *Service) nextJob(list []Job) (Job, time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return nextJob(list, s.laterLocked(), s.p.Clock.Now())
}

// nextJob is the first job that may be worked off now: of each machine only its oldest one that is not ended may, and none before the
// time that later has for its backup. until is when another one may.
func nextJob(list []Job, later map[string]time.Time, now time.Time) (job Job, until time.Time, ok bool) {
	seen := map[string]bool{}
	for _, j := range list {
		if j.Ended || seen[j.Machine] {
			continue
		}
		seen[j.Machine] = true
		due := j.After
		if later[j.Backup].After(due) {
			due = later[j.Backup]
		}
		if !due.After(now) {
			return j, time.Time{}, true
		}
		if until.IsZero() || due.Before(until) {
			until = due
		}
	}
	return Job{}, until, false
}

// workJob makes one attempt.
func (s *Service) workJob(ctx context.Context, job Job) error {
	ctx, done, err := s.work.enter(ctx, copying)
	if err != nil {
		return err
	}
	defer s.tell() // whoever waits for the job
	defer done()
	v, err := s.openVolume(ctx)
	if err != nil {
		if err = cutOr(ctx, err); !wasCutBy(err) {
			s.giveUp(err)
			err = noVolumeError{err}
		}
		return err
	}
	var roots []orchestrator.Root
	if job.Way == ViaVolume {
		m, ok := s.snapshot().machine(job.Machine)
		if !ok {
			return fmt.Errorf("machine %s is not in the configuration any more; `tresor jobs drop %s` gives the job up", job.Machine, job.ID)
		}
		var token string
		if roots, token, err = s.openFor(ctx, m, job.Backup, job.Token); err != nil {
			return cutOr(ctx, err)
		}
		if token != job.Token { // the snapshot is gone: what changed since is copied again
			if err := s.p.Jobs.SetToken(ctx, job.ID, token); err != nil {
				return err
			}
		}
	}
	s.at(theWorker, "copy of %s to %s", job.Backup, v.Name)
	defer s.at(theWorker, "")
	now, err := s.p.Jobs.Work(ctx, job.ID, v, roots)
	if err := cutOr(ctx, err); wasCutBy(err) {
		return err
	}
	if err != nil && (now.ID == "" || !now.Ended && !now.After.After(s.p.Clock.Now())) {
		return err // no attempt was made
	}
	switch {
	case err == nil:
	case now.Ended: // such as a source that could not be released: it is tried again
		s.say(orchestrator.Warning, "", fmt.Sprintf("job of %s ended: %s; and besides: %v", job.Backup, now.State, err))
	default:
		s.say(orchestrator.Warning, "", fmt.Sprintf("attempt %d to copy %s: %v; the next one at %s", now.Attempts, job.Backup, err, now.After.Format(time.RFC3339)))
	}
	return nil
}

// account does what follows from the end of jobs, once for each: counters, memory of the machine, release of the buffer, messages. What a crash keeps
// from being noted is done again at the next start: messages may come twice, counts do not.
func (s *Service) account(ctx context.Context) error {
	s.settle.Lock()
	defer s.settle.Unlock()
	list, err := s.p.Jobs.List()
	if err != nil {
		return err
	}
	st := s.State()
	var ended []Job
	var errs []error
	for _, j := range list {
		if !j.Ended || slices.Contains(st.Counted, j.ID) {
			continue
		}
		if err := s.afterJob(ctx, j); err != nil {
			errs = append(errs, err)
			continue
		}
		ended = append(ended, j)
	}
	gone := func(id string) bool {
		return !slices.ContainsFunc(list, func(j Job) bool { return j.ID == id && j.Ended })
	}
	if len(ended) > 0 || slices.ContainsFunc(st.Counted, gone) {
		errs = append(errs, s.change(func(st *State) {
			for _, j := range ended {
				st.count(j)
			}
			st.Counted = slices.DeleteFunc(st.Counted, gone)
		}))
	}
	if len(ended) > 0 {
		s.closeTrees(ctx, false)
		errs = append(errs, s.tidyBuffer(ctx))
	}
	return errors.Join(errs...)
}

// count notes a job that has ended.
func (st *State) count(j Job) {
	st.Counted = append(st.Counted, j.ID)
	mem := st.Machines[j.Machine]
	switch {
	case j.Published:
		st.Counters.Published++
		st.Counters.NewBytes += j.New
		st.Counters.NewData += j.NewData
		if _, begun, err := orchestrator.ParseBackupName(j.Backup); err == nil && begun.After(mem.Good) {
			mem.Good, mem.Error = begun, ""
		}
		st.Prune = true
	case !j.Dropped:
		st.Counters.JobsFailed++
		mem.Error = j.Error
	}
	st.Counters.Mismatches += int64(j.Recopies)
	if j.Verdict == orchestrator.Mismatch {
		st.Counters.Mismatches++
	}
	if st.Machines == nil {
		st.Machines = map[string]Memory{}
	}
	st.Machines[j.Machine] = mem
}

// afterJob releases the source of a job and tells what people must know.
func (s *Service) afterJob(ctx context.Context, j Job) error {
	b := s.snapshot().Buffer
	if j.Way == ViaBuffer && b != nil && (j.Published || j.Dropped) {
		verdict := j.Verdict
		if j.Dropped {
			verdict = orchestrator.Skipped
		}
		if err := b.Release(ctx, j.Backup, verdict); err != nil {
			return fmt.Errorf("release %s on the buffer: %w", j.Backup, err)
		}
	}
	sev, text := orchestrator.Info, fmt.Sprintf("job of %s ended: %s %s", j.Backup, j.State, j.Verdict)
	if !j.Published && !j.Dropped {
		sev, text = orchestrator.Failure, text+": "+j.Error
	}
	s.say(sev, "", text)
	return nil
}
