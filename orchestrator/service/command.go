package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
)

// ErrUnknown: there is nothing of that name.
var ErrUnknown = errors.New("not found")

// ErrBusy: the request cannot be fulfilled because of what is going on.
var ErrBusy = errors.New("busy")

// RunNow asks for a round over these machines, all if there are none. It returns when that is noted, not when it is done. A pause after a round ends by it;
// another one is an error (ErrBusy and ErrPaused), as is a round that runs or was interrupted (ErrBusy).
func (s *Service) RunNow(machines []string) error {
	if err := s.known(machines); err != nil {
		return err
	}
	var refused error
	err := s.change(func(st *State) {
		for owner, l := range st.Leases { // first: a round that goes on does not go on in a pause
			if owner != RoundOwner && l.Rounds {
				refused = fmt.Errorf("%w: %w by %s; `tresor resume` ends that", ErrBusy, ErrPaused, owner)
				return
			}
		}
		if st.Round != nil || st.Request != nil {
			refused = fmt.Errorf("%w: a round is running or asked for already", ErrBusy)
			return
		}
		delete(st.Leases, RoundOwner)
		st.Request = &Request{Machines: machines, Why: requested}
	})
	s.gate()
	return errors.Join(refused, err)
}

func (s *Service) known(machines []string) error {
	sn := s.snapshot()
	for _, name := range machines {
		if _, ok := sn.machine(name); ok {
			continue
		}
		var have []string
		for _, m := range sn.Machines {
			have = append(have, m.Name)
		}
		return fmt.Errorf("there is no machine %q in the configuration; it has %s", name, strings.Join(have, ", "))
	}
	return nil
}

// Pause takes a lease: as long as there is one, nothing that it covers is done. What is being done is cut off and goes on later.
func (s *Service) Pause(owner string, l Lease) error {
	l.Since = s.p.Clock.Now().UTC()
	err := s.change(func(st *State) {
		if st.Leases == nil {
			st.Leases = map[string]Lease{}
		}
		st.Leases[owner] = l
	})
	s.gate()
	return err
}

// Resume takes the lease of an owner away, and says whether there was one. With the one of a round's end the next round begins.
func (s *Service) Resume(owner string) (had bool, err error) {
	err = s.change(func(st *State) {
		if _, had = st.Leases[owner]; !had {
			return
		}
		delete(st.Leases, owner)
		if owner == RoundOwner && st.Round == nil && st.Request == nil {
			st.Request = &Request{Why: "resumed"}
		}
	})
	s.gate()
	return had, err
}

// EndAll takes away the pauses of all owners whose names begin so, and what they forbid.
func (s *Service) EndAll(prefix string) error {
	begins := func(owner string) bool { return strings.HasPrefix(owner, prefix) }
	err := s.change(func(st *State) {
		maps.DeleteFunc(st.Leases, func(owner string, _ Lease) bool { return begins(owner) })
		maps.DeleteFunc(st.Forbidden, func(owner, _ string) bool { return begins(owner) })
	})
	s.gate()
	return err
}

// ResumeAll takes away all leases of operators; a pause at a round's end too, by which the next one begins.
func (s *Service) ResumeAll() (owners []string, err error) {
	for owner := range s.State().Leases {
		owners = append(owners, owner)
	}
	slices.Sort(owners)
	for _, owner := range owners {
		_, e := s.Resume(owner)
		err = errors.Join(err, e)
	}
	return owners, err
}

// Stop ends the service: after the machine that is being backed up, or at once. With reboot Run says that the machine is to be started anew.
func (s *Service) Stop(now, reboot bool) {
	s.mu.Lock()
	s.ending = true
	s.end.Now = s.end.Now || now
	s.end.Reboot = s.end.Reboot || reboot
	cut := s.cut
	s.tellLocked()
	s.mu.Unlock()
	if now {
		s.work.shut(ErrStopped, every()...)
		if cut != nil {
			cut(ErrStopped)
		}
	}
}

// Switch asks for a change of the disk: at once, where work is cut off and goes on on the next disk, or softly, when all jobs are done. to is the
// volume that is wanted, empty: the next of the rotation.
func (s *Service) Switch(soft bool, to, reason string) error {
	return s.Want(Wish{Soft: soft, To: to, Reason: reason})
}

// Want is Switch for a wish with all that belongs to it. One that is asked for already is never put off: what is wanted at once stays so, and one that has
// begun comes to its end first.
func (s *Service) Want(w Wish) error {
	w.Since, w.Begun, w.From = s.p.Clock.Now().UTC(), time.Time{}, ""
	if err := s.leftAlone(); err != nil {
		return fmt.Errorf("%w: %w; `tresor volumes mount` ends that", ErrBusy, err)
	}
	var refused error
	err := s.change(func(st *State) {
		switch old := st.Wish; {
		case old == nil:
		case !old.Begun.IsZero():
			refused = fmt.Errorf("%w: the disk is being switched", ErrBusy)
			return
		default:
			w.Soft = w.Soft && old.Soft
			w.Dead = w.Dead || old.Dead
			w.Since = old.Since
			if w.To == "" {
				w.To = old.To
			}
		}
		st.Wish = &w
	})
	return errors.Join(refused, err)
}

// CancelSwitch takes a wish back that did not begin.
func (s *Service) CancelSwitch() error {
	return s.change(func(st *State) {
		if st.Wish != nil && st.Wish.Begun.IsZero() {
			st.Wish = nil
		}
	})
}

// operator is who forbids switches by AllowSwitch.
const operator = "operator"

// AllowSwitch says whether disks may be changed; if not, a switch makes the report only. What others forbid stays forbidden, and is an error.
func (s *Service) AllowSwitch(allow bool) error {
	if !allow {
		return s.ForbidSwitch(operator, "asked for")
	}
	if err := s.PermitSwitch(operator); err != nil {
		return err
	}
	if who := s.forbidden(); len(who) > 0 {
		return fmt.Errorf("%w: switches are still forbidden by %s", ErrBusy, strings.Join(who, ", "))
	}
	return nil
}

// ForbidSwitch lets no disk be changed until PermitSwitch of the same owner.
func (s *Service) ForbidSwitch(owner, reason string) error {
	return s.change(func(st *State) {
		if st.Forbidden == nil {
			st.Forbidden = map[string]string{}
		}
		st.Forbidden[owner] = reason
	})
}

// PermitSwitch ends what ForbidSwitch of the same owner has begun.
func (s *Service) PermitSwitch(owner string) error {
	return s.change(func(st *State) { delete(st.Forbidden, owner) })
}

// forbidden is who lets no disk be changed, and why.
func (s *Service) forbidden() (list []string) {
	for owner, reason := range s.State().Forbidden {
		if reason != "" {
			owner += " (" + reason + ")"
		}
		list = append(list, owner)
	}
	slices.Sort(list)
	return list
}

// Shown notes that somebody outside sees the pause of an owner, or with an empty owner the switch that is asked for, as something that he can take away. What is
// another one meanwhile stays as it is: since is when it was asked for.
func (s *Service) Shown(owner string, since time.Time) error {
	return s.change(func(st *State) {
		if l, ok := st.Leases[owner]; ok && l.Since.Equal(since) {
			l.Shown = true
			st.Leases[owner] = l
		}
		if owner == "" && st.Wish != nil && st.Wish.Since.Equal(since) {
			st.Wish.Shown = true
		}
	})
}

// Reload reads the configuration again, for what is begun afterwards, and returns when that is done. Jobs and backups that are being made go on. After an
// error the old one stays.
func (s *Service) Reload(ctx context.Context) error {
	s.mu.Lock()
	if s.reloaded != nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: a reload is under way", ErrBusy)
	}
	done := make(chan error, 1)
	s.reload, s.reloaded = true, done
	s.tellLocked()
	s.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// doReload puts a new snapshot in the place of the old one.
func (s *Service) doReload(ctx context.Context) error {
	if !s.hands.TryLock() {
		return errHands
	}
	err := s.takeNew(ctx)
	s.hands.Unlock()
	s.mu.Lock()
	done := s.reloaded
	s.reload, s.reloaded = false, nil
	s.tellLocked() // the gates are open again
	s.mu.Unlock()
	if done != nil {
		done <- err
		return nil
	}
	return err
}

// takeNew puts a new snapshot in the place of the old one. The caller holds hands.
func (s *Service) takeNew(ctx context.Context) error {
	next, err := s.p.Load(ctx)
	if err != nil {
		return err
	}
	// Nothing may hold on to the volumes of the old one when they are closed. A job that is cut off goes on where it was.
	defer s.work.shut(ErrSwitching, onVolume()...)()
	drain, cancel := context.WithTimeout(ctx, s.settings().DrainLimit)
	defer cancel()
	err = s.work.idle(drain, onVolume()...)
	if err != nil {
		err = fmt.Errorf("work in the volume did not end: %w", err)
	} else if next.Use != nil {
		err = next.Use()
	}
	if err != nil {
		if next.Close != nil {
			err = errors.Join(err, next.Close())
		}
		return err
	}
	mounted := s.anyMounted(ctx)
	s.mu.Lock()
	old := s.snap
	s.snap = next
	for machine := range s.hold { // the new limits count
		s.holdLocked(machine, time.Time{})
	}
	s.mu.Unlock()
	now := s.p.Clock.Now().UTC()
	err = s.change(func(st *State) {
		s.timersLocked(st, next.Times, now)
		s.staggerLocked(st)
	})
	s.gate()
	if old.Close != nil {
		err = errors.Join(err, old.Close())
	}
	if err != nil { // the new one counts all the same
		s.say(orchestrator.Warning, "", "after the reload: "+err.Error())
	}
	if mounted { // the new parts take it over now: at the end of the service it may be too late
		if _, e := s.openVolume(ctx); e != nil && !wasCutBy(e) {
			s.say(orchestrator.Warning, "", "after the reload: "+e.Error()) // people were told
		}
	}
	return nil
}

// anyMounted tells whether a volume is in use, as far as can be found out.
func (s *Service) anyMounted(ctx context.Context) bool {
	disks, err := s.snapshot().Volumes.Disks(ctx)
	return err == nil && slices.ContainsFunc(disks, func(d Disk) bool { return d.Current })
}

// Jobs are all jobs of the journal.
func (s *Service) Jobs() ([]Job, error) { return s.p.Jobs.List() }

// Drop gives a job up; its source may be removed then. One that is being worked off is cut off first.
func (s *Service) Drop(ctx context.Context, id string) error {
	return s.onJob(ctx, id, s.p.Jobs.Drop)
}

// Retry lets a failed job begin again.
func (s *Service) Retry(ctx context.Context, id string) error {
	return s.onJob(ctx, id, s.p.Jobs.Retry)
}

func (s *Service) onJob(ctx context.Context, id string, fn func(context.Context, string) error) error {
	defer s.tell()
	defer s.work.shut(fmt.Errorf("a job is changed: %w", ErrPaused), copying)()
	drain, cancel := context.WithTimeout(ctx, s.settings().DrainLimit)
	defer cancel()
	if err := s.work.idle(drain, copying); err != nil {
		return fmt.Errorf("the copy that is running did not end: %w", err)
	}
	s.mu.Lock()
	maps.DeleteFunc(s.stuck, func(_ string, x stuck) bool { return x.id == id })
	s.mu.Unlock()
	return fn(ctx, id)
}

// Backups are those on the volume in use and on the buffer.
func (s *Service) Backups(ctx context.Context) (volume string, onVolume, onBuffer []orchestrator.Backup, err error) {
	sn := s.snapshot()
	err = s.with(ctx, looking, func(ctx context.Context, v Volume) error {
		volume = v.Name
		onVolume, err = sn.Keeper.Backups(ctx, v)
		return err
	})
	if sn.Buffer != nil {
		list, berr := sn.Buffer.List(ctx)
		onBuffer, err = list, errors.Join(err, berr)
	}
	return volume, onVolume, onBuffer, err
}

// Prune applies the rules of retention to the volume in use, or says what they would do.
func (s *Service) Prune(ctx context.Context, dry bool) (p Pruned, err error) {
	err = s.with(ctx, looking, func(ctx context.Context, v Volume) error {
		if !dry {
			p, err = s.pruneVolume(ctx, v, false)
			return err
		}
		busy, err := s.busy()
		if err == nil {
			p, err = s.snapshot().Keeper.Prune(ctx, v, busy, false, true)
		}
		return err
	})
	return p, err
}

// Verify proves published backups of the volume in use again, all of them or those named; each gets its outcome when it is there. found gets them.
func (s *Service) Verify(ctx context.Context, names []string, found func(backup string, v orchestrator.Verification)) error {
	defer s.at(anybody, "")
	return s.with(ctx, looking, func(ctx context.Context, v Volume) error {
		keeper := s.snapshot().Keeper
		list, err := keeper.Backups(ctx, v)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !slices.ContainsFunc(list, func(b orchestrator.Backup) bool { return b.Name == name }) {
				return fmt.Errorf("%w: there is no backup %q on volume %s", ErrUnknown, name, v.Name)
			}
		}
		for _, b := range list {
			if len(names) > 0 && !slices.Contains(names, b.Name) {
				continue
			}
			s.at(anybody, "verification of %s", b.Name)
			got, err := keeper.Verify(ctx, v, b.Name)
			bad := got.Verdict == orchestrator.Mismatch || got.Verdict == orchestrator.Unreadable
			if (err != nil || bad) && len(names) == 0 && s.removed(ctx, v, b.Name) { // by retention, meanwhile
				continue
			}
			if err != nil {
				return fmt.Errorf("verify %s: %w", b.Name, err)
			}
			if bad {
				s.notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.VerifyFailed, Machine: b.Machine, Volume: v.Name,
					Subject: "backup " + b.Name + " is not what it was", Body: got.Reason, Advice: "It is marked. Use an older one, or one on another disk; prove this disk."})
			}
			found(b.Name, got)
		}
		return nil
	})
}

// removed tells whether a volume has no such backup, as far as that can be found out.
func (s *Service) removed(ctx context.Context, v Volume, backup string) bool {
	list, err := s.snapshot().Keeper.Backups(ctx, v)
	return err == nil && !slices.ContainsFunc(list, func(b orchestrator.Backup) bool { return b.Name == backup })
}

// Scrub asks for a scrub of the volume in use.
func (s *Service) Scrub() error { return s.change(func(st *State) { st.Scrub = true }) }

// Exclusively runs fn while no work uses a volume: what was running is cut off and goes on afterwards.
func (s *Service) Exclusively(ctx context.Context, fn func(ctx context.Context, v Volumes) error) error {
	if !s.hands.TryLock() {
		return fmt.Errorf("%w: the disk is being switched, or the configuration loaded", ErrBusy)
	}
	defer s.hands.Unlock()
	defer s.tell()
	defer s.work.shut(ErrSwitching, onVolume()...)()
	drain, cancel := context.WithTimeout(ctx, s.settings().DrainLimit)
	defer cancel()
	if err := s.work.idle(drain, onVolume()...); err != nil {
		return fmt.Errorf("work in the volume did not end: %w", err)
	}
	s.mu.Lock()
	s.volume = Volume{}
	s.mu.Unlock()
	return fn(ctx, s.snapshot().Volumes)
}

// Alive is nil as long as the loop answers, for the watchdog of the service manager.
func (s *Service) Alive(limit time.Duration) error {
	done := make(chan struct{})
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(done)
	}()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return errors.New("the state of the loop is held for too long")
	}
}

// InUse is the volume in use as it was seen last; without a name: none.
func (s *Service) InUse() Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.volume
}
