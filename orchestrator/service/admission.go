package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"tresor/orchestrator"
)

// admit tells whether a machine may be backed up to the buffer now. While it may not, others have their turn; when that has lasted too long the error is the
// machine's failure.
func (s *Service) admit(ctx context.Context, m Machine, mem Memory) (ready bool, err error) {
	set, now := s.settings(), s.p.Clock.Now()
	why, err := s.hindrance(ctx, m, mem)
	if err != nil || why == "" {
		return err == nil, err
	}
	if s.nobodyFrees() {
		return false, fmt.Errorf("no room on the buffer: %s", why)
	}
	since := mem.Waiting
	if since.IsZero() {
		since = now
	}
	waited := now.Sub(since)
	if set.AdmissionLimit > 0 && waited >= set.AdmissionLimit {
		s.notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.NoSpace, Machine: m.Name, Subject: "no room on the buffer for " + m.Name,
			Body: fmt.Sprintf("After %s of waiting: %s.", waited.Round(time.Minute), why), Advice: "Look at `tresor jobs` and at the buffer; a job that cannot end keeps its backup there."})
		return false, fmt.Errorf("waited %s for the buffer: %s", waited.Round(time.Second), why)
	}
	warn := !mem.Warned && set.AdmissionWarn > 0 && waited >= set.AdmissionWarn
	if warn {
		s.notify(orchestrator.Event{Severity: orchestrator.Warning, Kind: orchestrator.NoSpace, Machine: m.Name, Subject: m.Name + " waits for the buffer",
			Body: fmt.Sprintf("It has waited for %s: %s.", waited.Round(time.Minute), why), Advice: "Look at `tresor jobs`, and at what else lies on the buffer's disk."})
	}
	s.at(theRound, "%s waits: %s", m.Name, why)
	s.mu.Lock()
	s.holdLocked(m.Name, now.Add(set.Poll))
	s.mu.Unlock()
	return false, s.change(func(st *State) {
		mem := st.Machines[m.Name]
		mem.Waiting, mem.Warned = since, mem.Warned || warn
		st.Machines[m.Name] = mem
	})
}

// nobodyFrees tells whether waiting for room is of no use: the loop ends by itself, and has no job whose end gives any.
func (s *Service) nobodyFrees() bool {
	m := s.moment()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.once && !s.patient && !m.due && !m.unknown
}

// hindrance is why a machine may not be backed up to the buffer now; empty: it may. Room is made of this machine's backups that may be removed, the
// oldest first, and of nothing else.
func (s *Service) hindrance(ctx context.Context, m Machine, mem Memory) (string, error) {
	jobs, err := s.p.Jobs.List()
	if err != nil {
		return "", fmt.Errorf("list of jobs: %w", err)
	}
	sn := s.snapshot()
	waiting := 0
	for _, j := range jobs {
		if j.Ended || j.Way != ViaBuffer {
			continue
		}
		if j.Machine == m.Name {
			return fmt.Sprintf("its backup %s is still to be copied", j.Backup), nil
		}
		waiting++
	}
	if limit := len(sn.Machines); waiting >= limit {
		return fmt.Sprintf("%d jobs wait to be copied, at most %d may", waiting, limit), nil
	}
	need := needed(mem, sn.Settings)
	for {
		free, _, err := sn.Buffer.Free(ctx)
		if err != nil {
			return "", err
		}
		if free > need {
			return "", nil
		}
		list, err := s.releasable(ctx, sn.Buffer)
		if err != nil {
			return "", err
		}
		i := slices.IndexFunc(list, func(b orchestrator.Backup) bool { return b.Machine == m.Name })
		if i < 0 {
			return fmt.Sprintf("the buffer has %d MB free, %d MB are wanted, and nothing of it may be removed", free/1e6, need/1e6), nil
		}
		if err := s.removeFromBuffer(ctx, sn.Buffer, list[i].Name, "room for the next one"); err != nil {
			return "", err
		}
	}
}

// needed is the room in bytes that a backup is expected to take, and a reserve.
func needed(mem Memory, set Settings) int64 {
	if mem.Bytes > 0 {
		return mem.Bytes + set.Reserve
	}
	return max(set.FirstNeed, set.Reserve)
}

// releasable are the backups on the buffer that may be removed, oldest first: a verified copy is on a volume, or an operator has dropped the job; and
// no job needs them.
func (s *Service) releasable(ctx context.Context, b Buffer) ([]orchestrator.Backup, error) {
	list, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := s.p.Jobs.List()
	if err != nil {
		return nil, fmt.Errorf("list of jobs: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(list), func(have orchestrator.Backup) bool {
		needed := slices.ContainsFunc(jobs, func(j Job) bool { return j.Backup == have.Name && !(j.Ended && (j.Published || j.Dropped)) })
		return needed || !released(have)
	}), nil
}

// released tells whether the record of a backup on the buffer allows its removal (Buffer.Release).
func released(b orchestrator.Backup) bool {
	// Of the predecessor's backups nobody knows: its sums prove that the source was read, not that there is a copy.
	return !b.Legacy && !b.Pinned && (b.Verdict == orchestrator.Verified || b.Verdict == orchestrator.Skipped)
}

func (s *Service) removeFromBuffer(ctx context.Context, b Buffer, name, why string) error {
	s.say(orchestrator.Info, "", fmt.Sprintf("remove %s from the buffer: %s", name, why))
	err := b.Remove(ctx, name)
	if errors.Is(err, fs.ErrNotExist) { // the worker and the round remove both, and one of them was first
		list, lerr := b.List(ctx)
		if err = errors.Join(err, lerr); lerr == nil && !slices.ContainsFunc(list, func(have orchestrator.Backup) bool { return have.Name == name }) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("remove %s from the buffer: %w", name, err)
	}
	return nil
}

// tidyBuffer removes what the rules do not keep, and above the limit of the buffer's use all that may go.
func (s *Service) tidyBuffer(ctx context.Context) error {
	b := s.snapshot().Buffer
	if b == nil {
		return nil
	}
	list, err := s.releasable(ctx, b)
	if err != nil || len(list) == 0 {
		return err
	}
	all, err := b.List(ctx)
	if err != nil {
		return err
	}
	plan, err := b.Plan(ctx, all)
	if err != nil {
		return err
	}
	_, percent, err := b.Free(ctx)
	if err != nil {
		return err
	}
	full := b.Full() > 0 && percent > b.Full()
	for _, have := range list {
		switch {
		case full:
			err = s.removeFromBuffer(ctx, b, have.Name, fmt.Sprintf("the buffer is in use by %d percent, its copy is verified", percent))
		case slices.Contains(plan, have.Name):
			err = s.removeFromBuffer(ctx, b, have.Name, "not kept by the rules, its copy is verified")
		default:
			continue
		}
		if err != nil {
			return err
		}
		s.noteRemoved(1)
	}
	return nil
}
