package service

import (
	"context"
	"fmt"
	"maps"

	"tresor/orchestrator"
)

// openVolume returns the volume in use after it was proved, or has one mounted. Where that fails the loop changes the disk, or waits. Whoever asks is let go when
// its ctx ends: a mount or a repair that has begun then goes on without it, and whoever asks next gets the volume.
func (s *Service) openVolume(ctx context.Context) (Volume, error) {
	select {
	case s.volumes <- struct{}{}:
		defer func() { <-s.volumes }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return Volume{}, context.Cause(ctx)
	}
	if err := s.leftAlone(); err != nil {
		return Volume{}, err
	}
	vs := s.snapshot().Volumes
	v, err := vs.Open(ctx)
	if err == nil {
		err = vs.Check(ctx, v)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.lost(v.Name, err)
		}
		return Volume{}, err
	}
	s.found(v, nil)
	return v, nil
}

// leftAlone is why the volume is not to be mounted.
func (s *Service) leftAlone() error {
	for owner, l := range s.State().Leases {
		if l.Unmounted {
			return fmt.Errorf("%w by %s: %s", ErrPaused, owner, l.Reason)
		}
	}
	return nil
}

// found notes which volume is in use, or why there is none. It tells whether there was none before.
func (s *Service) found(v Volume, trouble error) (before bool) {
	now := s.p.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.trouble != ""
	if before && trouble == nil {
		maps.DeleteFunc(s.stuck, func(_ string, x stuck) bool { return x.volume })
		s.tellLocked()
	}
	s.volume, s.trouble = v, ""
	if trouble != nil {
		s.volume, s.trouble = Volume{}, trouble.Error()
		s.probe = now.Add(s.snap.Settings.Poll)
		if !before {
			s.since = now
		}
	}
	return before
}

// doProbe looks whether a volume can be used again.
func (s *Service) doProbe(ctx context.Context) error {
	err := s.with(ctx, looking, func(context.Context, Volume) error { return nil })
	if wasCutBy(err) {
		return err
	}
	s.tell() // the status is another; an error is in it, and was told once
	return nil
}

// lost tells that the volume cannot be used, and asks for another disk as long as that was not done too often.
func (s *Service) lost(name string, cause error) {
	set, now := s.settings(), s.p.Clock.Now().UTC()
	first := !s.found(Volume{}, cause)
	asked := false
	err := s.change(func(st *State) {
		recent := st.FailOvers[:0:0]
		for _, t := range st.FailOvers {
			if now.Sub(t) < set.FailOverWithin {
				recent = append(recent, t)
			}
		}
		st.FailOvers = recent
		if name != "" && st.Wish == nil && len(recent) < set.FailOverLimit {
			st.Wish = &Wish{Since: now, Dead: true, Reason: fmt.Sprintf("volume %s cannot be used: %v", name, cause)}
			st.FailOvers = append(st.FailOvers, now)
			asked = true
		}
	})
	if err != nil {
		s.say(orchestrator.Failure, "", err.Error())
	}
	if !first && !asked {
		return // it was told
	}
	e := orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.NoVolume, Volume: name, Subject: "no volume can be used", Body: cause.Error(),
		Advice: fmt.Sprintf("Attach a disk of the rotation. It is tried again every %s; `tresor volumes` says what is there.", set.Poll)}
	if asked {
		e.Severity, e.Subject, e.Advice = orchestrator.Warning, "volume "+name+" cannot be used, the next disk is taken", "Look at the disk before it is used again."
	}
	s.notify(e)
}

// note remembers what a volume looks like, for the time when it is not there.
func (s *Service) note(ctx context.Context, v Volume) error {
	u, err := v.Store.Usage(ctx)
	if err != nil {
		return fmt.Errorf("usage of %s: %w", v.Name, err)
	}
	list, err := s.snapshot().Keeper.Backups(ctx, v)
	if err != nil {
		return fmt.Errorf("backups of %s: %w", v.Name, err)
	}
	return s.change(func(st *State) {
		if st.Volumes == nil {
			st.Volumes = map[string]VolumeNote{}
		}
		now, first := s.p.Clock.Now().UTC(), st.Volumes[v.Name].First
		if first.IsZero() {
			first = now
		}
		st.Volumes[v.Name] = VolumeNote{First: first, Seen: now, Total: u.Total, Used: u.Used, Files: u.Files, Scrub: u.LastScrub, Backups: len(list),
			Damaged: st.Volumes[v.Name].Damaged}
	})
}

// OnVolume runs fn on the volume in use, beside the copies. A switch and the end of the service cut it off.
func (s *Service) OnVolume(ctx context.Context, fn func(ctx context.Context, v Volume) error) error {
	return s.with(ctx, looking, fn)
}

// with runs fn on the volume in use as work of this kind.
func (s *Service) with(ctx context.Context, k kind, fn func(ctx context.Context, v Volume) error) error {
	ctx, done, err := s.work.enter(ctx, k)
	if err != nil {
		return err
	}
	defer done()
	v, err := s.openVolume(ctx)
	if err != nil {
		return cutOr(ctx, err)
	}
	return cutOr(ctx, fn(ctx, v))
}
