package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tresor/orchestrator"
)

// doSwitch changes the disk: work is cut off and waited for, the rules of retention are applied, the report is made, and the next volume is mounted.
func (s *Service) doSwitch(ctx context.Context) error {
	if !s.hands.TryLock() {
		return errHands
	}
	defer s.hands.Unlock()
	now := s.p.Clock.Now().UTC()
	err := s.change(func(st *State) {
		if st.Wish != nil && st.Wish.Begun.IsZero() {
			st.Wish.Begun = now
		}
	})
	st := s.State()
	if err != nil || st.Wish == nil { // it was taken back a moment ago
		return err
	}
	wish := *st.Wish
	s.at(theLoop, "switch of the volume")
	defer s.tell()
	defer s.work.shut(ErrSwitching, onVolume()...)()
	drain, cancel := context.WithTimeout(ctx, s.settings().DrainLimit)
	defer cancel()
	if err := s.work.idle(drain, onVolume()...); err != nil {
		if wasCutBy(context.Cause(ctx)) {
			return context.Cause(ctx) // the service ends: the wish is for the next one
		}
		stays := s.InUse().Name
		return s.switchEnded(wish, Switched{From: stays, To: stays, FellBack: true}, "", fmt.Errorf("work in the volume did not end within %s: %w", s.settings().DrainLimit, err))
	}
	v, err := s.snapshot().Volumes.Open(ctx)
	if err == nil && wish.From != "" && v.Name != wish.From {
		// The service was killed between the change and its note.
		return s.switchEnded(wish, Switched{From: wish.From, To: v.Name}, "The report was lost with a restart of the service.", nil)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	report := s.leftBehind(wish)
	if err == nil && !wish.Dead {
		if dead := s.snapshot().Volumes.Check(ctx, v); dead != nil { // whoever writes to it now may hang
			report += fmt.Sprintf("\nVolume %s does not answer, so nothing was removed from it and there is no report of it: %v\n", v.Name, dead)
		} else {
			report += s.beforeSwitch(ctx, v)
		}
	}
	if len(st.Forbidden) > 0 {
		return s.notSwitched(v.Name, report)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if v.Name != "" {
		if err := s.change(func(st *State) { st.Wish.From = v.Name }); err != nil {
			return err
		}
	}
	res, err := s.snapshot().Volumes.Switch(ctx, wish.To)
	if err != nil && ctx.Err() != nil { // the service ends: the next one finds the wish, and sees what has become of it
		return context.Cause(ctx)
	}
	if res.From == "" {
		res.From = v.Name
	}
	if len(res.Take) > 0 {
		report += "\nCan be taken away: " + strings.Join(res.Take, ", ") + "\n"
	}
	return s.switchEnded(wish, res, report, err)
}

// errHands: another one changes the volume in use. It is tried again.
var errHands = fmt.Errorf("%w by somebody else", ErrSwitching)

// leftBehind says for a soft switch that could not wait any longer what was not done.
func (s *Service) leftBehind(wish Wish) string {
	jobs, err := s.p.Jobs.List()
	if n := open(jobs); err == nil && wish.Soft && n > 0 {
		return fmt.Sprintf("\n%d jobs were not done within %s; they go on on the next disk.\n", n, s.settings().IdleLimit)
	}
	return ""
}

// beforeSwitch prunes and reclaims the volume that is about to go, and returns the report.
func (s *Service) beforeSwitch(ctx context.Context, v Volume) string {
	p, err := s.pruneVolume(ctx, v, true)
	report := s.report(ctx, v, p)
	if err != nil {
		report += "\nRetention: " + err.Error() + "\n"
	}
	if err := s.note(ctx, v); err != nil {
		report += "\n" + err.Error() + "\n"
	}
	return report
}

// switchEnded tells what became of a switch, and notes it.
func (s *Service) switchEnded(wish Wish, res Switched, report string, err error) error {
	now := s.p.Clock.Now().UTC()
	e := orchestrator.Event{Severity: orchestrator.Info, Kind: orchestrator.SwitchEnded, Volume: res.To, Subject: fmt.Sprintf("switched from %s to %s", orNone(res.From), res.To)}
	switch {
	case err != nil && res.To == "":
		e.Severity, e.Subject = orchestrator.Failure, "switch failed, no volume is in use"
		e.Advice = "Attach a disk of the rotation; `tresor volumes` says what is there."
	case err != nil || res.FellBack:
		e.Severity, e.Subject = orchestrator.Failure, fmt.Sprintf("switch failed, %s stays in use", res.To)
		e.Advice = "Attach another disk of the rotation, then `tresor switch`."
	case wish.Reason != "":
		e.Body = "Why: " + wish.Reason + "\n"
	}
	if err != nil {
		e.Body += "Error: " + err.Error() + "\n"
	}
	for _, t := range res.Tried {
		e.Body += "Not used: " + t + "\n"
	}
	e.Body += report
	s.notify(e)
	change := Change{From: res.From, To: res.To, Time: now}
	switch {
	case err != nil:
		change.Error = err.Error()
	case res.FellBack: // whoever waits for another disk must not take this for one
		change.Error = "no other volume could be used"
		if len(res.Tried) > 0 {
			change.Error += ": " + strings.Join(res.Tried, "; ")
		}
	}
	s.settled(res, err)
	s.served()
	saved := s.change(func(st *State) {
		st.Wish, st.Switched = nil, &change
		if err == nil && !res.FellBack {
			st.Counters.Switches++
		}
	})
	s.gate()
	return saved
}

// settled notes what is in use after a switch.
func (s *Service) settled(res Switched, err error) {
	if res.To != "" {
		err = nil
	} else if err == nil {
		err = errors.New("a switch has left no volume in use")
	}
	s.found(Volume{}, err)
}

// served tells whoever asked for the switch that it was tried.
func (s *Service) served() {
	if s.p.Served != nil {
		s.p.Served()
	}
}

func orNone(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

// notSwitched ends a wish that is not to be fulfilled: only the report is made.
func (s *Service) notSwitched(name, report string) error {
	who := s.forbidden()
	s.notify(orchestrator.Event{Severity: orchestrator.Info, Kind: orchestrator.SwitchEnded, Volume: name, Subject: "not switched (disabled), " + orNone(name) + " stays in use",
		Body: "Disabled by: " + strings.Join(who, ", ") + "\n" + report, Advice: "`tresor switch --allow`, or the end of the signal donotswitch, lets disks be changed again."})
	s.served()
	return s.change(func(st *State) { st.Wish = nil })
}

// doPrune applies the rules of retention to the volume in use.
func (s *Service) doPrune(ctx context.Context) error {
	s.at(theStep, "retention")
	err := s.with(ctx, looking, func(ctx context.Context, v Volume) error {
		_, err := s.pruneVolume(ctx, v, false)
		return errors.Join(err, s.note(ctx, v))
	})
	if wasCutBy(err) {
		return err
	}
	// Also after an error: it is told, and the next round or timer tries again.
	return errors.Join(err, s.change(func(st *State) { st.Prune = false }))
}

// MakeRoom prunes and reclaims the volume for a copy that found it full, in turn with the loop's retention. A deletion that failed is told, and does not keep what
// was removed, now or earlier, from becoming room.
func (s *Service) MakeRoom(ctx context.Context, v Volume) error {
	end, err := s.pruneTurn(ctx)
	if err != nil {
		return err
	}
	defer end()
	if _, err := s.prune(ctx, v, false); err != nil {
		if ctx.Err() != nil {
			return cutOr(ctx, err)
		}
		s.say(orchestrator.Warning, "", fmt.Sprintf("retention on %s, which is full: %v", v.Name, err))
	}
	return s.reclaim(ctx, v)
}

// pruneVolume prunes and, if anything was removed, reclaims.
func (s *Service) pruneVolume(ctx context.Context, v Volume, atSwitch bool) (Pruned, error) {
	end, err := s.pruneTurn(ctx)
	if err != nil {
		return Pruned{}, err
	}
	defer end()
	p, err := s.prune(ctx, v, atSwitch)
	if len(p.Removed) > 0 {
		err = errors.Join(err, s.reclaim(ctx, v))
	}
	return p, err
}

// pruneTurn waits until nobody else removes backups from a volume. The caller does, until end.
func (s *Service) pruneTurn(ctx context.Context) (end func(), err error) {
	select {
	case s.pruning <- struct{}{}:
		return func() { <-s.pruning }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// prune removes what the rules do not keep, and counts it. The caller has the turn, and reclaims.
func (s *Service) prune(ctx context.Context, v Volume, atSwitch bool) (Pruned, error) {
	busy, err := s.busy()
	if err != nil {
		return Pruned{}, err
	}
	p, err := s.snapshot().Keeper.Prune(ctx, v, busy, atSwitch, false)
	if len(p.Removed) > 0 {
		s.noteRemoved(len(p.Removed))
		s.say(orchestrator.Info, "", fmt.Sprintf("retention on %s removed %s", v.Name, strings.Join(p.Removed, ", ")))
	}
	return p, err
}

func (s *Service) reclaim(ctx context.Context, v Volume) error {
	got, err := v.Store.Reclaim(ctx)
	if err != nil {
		return fmt.Errorf("reclaim %s: %w", v.Name, err)
	}
	s.say(orchestrator.Info, "", fmt.Sprintf("reclaim of %s freed %d MB in %s", v.Name, got.Bytes/1e6, got.Took.Round(time.Second)))
	return nil
}

// busy are the backups that jobs work with.
func (s *Service) busy() ([]string, error) {
	jobs, err := s.p.Jobs.List()
	if err != nil {
		return nil, fmt.Errorf("list of jobs: %w", err)
	}
	var list []string
	for _, j := range jobs {
		if !j.Ended {
			list = append(list, j.Backup)
		}
	}
	return list, nil
}

func (s *Service) noteRemoved(n int) {
	if err := s.change(func(st *State) { st.Counters.Pruned += int64(n) }); err != nil {
		s.say(orchestrator.Failure, "", err.Error())
	}
}

// doScrub proves the blocks of the volume in use for as long as the settings allow; the next scrub goes on where this one ends.
func (s *Service) doScrub(ctx context.Context) error {
	s.at(theStep, "scrub")
	err := s.with(ctx, scrubbing, func(ctx context.Context, v Volume) error {
		got, err := v.Store.Scrub(ctx, s.settings().ScrubLimit)
		if got.Bad > 0 || len(got.Damaged) > 0 {
			s.notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.ScrubFound, Volume: v.Name,
				Subject: fmt.Sprintf("volume %s has %d damaged blocks", v.Name, got.Bad), Body: "Files that lost something:\n" + strings.Join(got.Damaged, "\n"),
				Advice: "`tresor verify --all` says which backups are sound. Replace the disk if its own diagnosis is bad too; the next backup stores lost blocks again."})
		}
		if noted := s.damage(v, got); err != nil || noted != nil {
			return errors.Join(err, noted)
		}
		s.say(orchestrator.Info, "", fmt.Sprintf("scrub of %s: %d MB proved, %d bad blocks, complete: %v", v.Name, got.Bytes/1e6, got.Bad, got.Complete))
		return s.note(ctx, v)
	})
	if wasCutBy(err) {
		return err
	}
	return errors.Join(err, s.change(func(st *State) { st.Scrub = false }))
}

// damage remembers what a scrub has found; one that went over all of the volume and found nothing says that it is over.
func (s *Service) damage(v Volume, got orchestrator.Scrubbed) error {
	if len(got.Damaged) == 0 && !got.Complete {
		return nil
	}
	return s.change(func(st *State) {
		if st.Volumes == nil {
			st.Volumes = map[string]VolumeNote{}
		}
		n := st.Volumes[v.Name]
		n.Damaged = got.Damaged[:min(len(got.Damaged), longList)]
		st.Volumes[v.Name] = n
	})
}
