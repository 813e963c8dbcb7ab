package service

import (
	"context"
	"fmt"
	"time"

	"tresor/orchestrator"
)

// mountGrace is what a mount gets to come to its end when its work is cut off: undoing half of one takes longer.
const mountGrace = 4 * time.Second

// openVolume returns the volume in use after it was proved, or has one mounted. Where that fails the loop changes the disk, or waits.
func (s *Service) openVolume(ctx context.Context) (Volume, error) {
	s.volumes.Lock()
	defer s.volumes.Unlock()
	if err := ctx.Err(); err != nil {
		return Volume{}, context.Cause(ctx)
	}
	for owner, l := range s.State().Leases {
		if l.Unmounted {
			return Volume{}, fmt.Errorf("%w by %s: %s", ErrPaused, owner, l.Reason)
		}
	}
	vs := s.snapshot().Volumes
	mount, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(mountGrace, func() { cancel(context.Cause(ctx)) }) })
	defer stop()
	v, err := vs.Open(mount)
	if err == nil {
		err = vs.Check(ctx, v)
	}
	if err != nil {
		if !wasCutBy(context.Cause(ctx)) {
			s.lost(v.Name, err)
		}
		return Volume{}, err
	}
	s.mu.Lock()
	s.volume, s.trouble = v, ""
	s.mu.Unlock()
	return v, nil
}

// lost tells that the volume cannot be used, and asks for another disk as long as that was not done too often.
func (s *Service) lost(name string, cause error) {
	set, now := s.settings(), s.p.Clock.Now().UTC()
	s.mu.Lock()
	first := s.trouble == ""
	s.trouble, s.volume = cause.Error(), Volume{}
	s.mu.Unlock()
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
		st.Volumes[v.Name] = VolumeNote{Seen: s.p.Clock.Now().UTC(), Total: u.Total, Used: u.Used, Files: u.Files, Scrub: u.LastScrub, Backups: len(list)}
	})
}

// with runs fn on the volume in use as work that a switch and the end of the service cut off.
func (s *Service) with(ctx context.Context, fn func(ctx context.Context, v Volume) error) error {
	life := ctx
	ctx, done, err := s.work.enter(ctx, looking)
	if err != nil {
		return err
	}
	defer done()
	v, err := s.openVolume(life)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return cutOr(ctx, err)
	}
	return cutOr(ctx, fn(ctx, v))
}
