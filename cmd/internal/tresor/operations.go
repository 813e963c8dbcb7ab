package tresor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/orchestrator"
	"tresor/orchestrator/service"
)

// Arguments of the operations on the control socket.
type (
	runArgs struct {
		Machines []string `json:"machines,omitempty"`
		Wait     bool     `json:"wait,omitempty"`
	}
	idArgs    struct{ ID string }
	pauseArgs struct {
		Owner  string        `json:"owner"`
		For    time.Duration `json:"for_ns,omitempty"`
		Reason string        `json:"reason,omitempty"`
	}
	stopArgs struct {
		Now    bool `json:"now,omitempty"`
		Reboot bool `json:"reboot,omitempty"`
	}
	switchArgs struct {
		Soft   bool   `json:"soft,omitempty"`
		To     string `json:"to,omitempty"`
		Cancel bool   `json:"cancel,omitempty"`
		Allow  *bool  `json:"allow,omitempty"`
		Wait   bool   `json:"wait,omitempty"`
	}
	namesArgs  struct{ Names []string }
	pruneArgs  struct{ Dry bool }
	volumeArgs struct {
		Do    string // mount, umount, eject, second, end-second, reinit
		Name  string
		Check bool
		Size  int64
	}
)

// listed is what the verb backups prints.
type listed struct {
	Volume   string                `json:"volume,omitempty"`
	OnVolume []orchestrator.Backup `json:"on_volume"`
	OnBuffer []orchestrator.Backup `json:"on_buffer"`
}

// found is the outcome of one verification.
type found struct {
	Backup string `json:"backup"`
	orchestrator.Verification
}

// poll is how often an operation looks whether what it waits for has come.
const poll = 200 * time.Millisecond

// operations are what the service answers.
func (a *app) operations(s *service.Service) map[string]control.Operation {
	return map[string]control.Operation{
		"status": func(ctx context.Context, _ json.RawMessage, _ func(any)) (any, error) { return s.Status(ctx), nil },
		"jobs":   func(context.Context, json.RawMessage, func(any)) (any, error) { return s.Jobs() },
		"run": with(func(ctx context.Context, r runArgs, progress func(any)) (any, error) {
			return runRound(ctx, s, r, progress)
		}),
		"drop": with(func(ctx context.Context, r idArgs, _ func(any)) (any, error) {
			return nil, a.jobError(s.Drop(ctx, r.ID))
		}),
		"retry": with(func(ctx context.Context, r idArgs, _ func(any)) (any, error) {
			return nil, a.jobError(s.Retry(ctx, r.ID))
		}),
		"pause": with(func(_ context.Context, r pauseArgs, _ func(any)) (any, error) {
			l := service.Lease{Rounds: true, Copies: true, Reason: r.Reason}
			if r.For > 0 {
				l.Until = a.clock.Now().UTC().Add(r.For)
			}
			return nil, s.Pause(r.Owner, l)
		}),
		"resume": func(context.Context, json.RawMessage, func(any)) (any, error) { return s.ResumeAll() },
		"stop": with(func(_ context.Context, r stopArgs, _ func(any)) (any, error) {
			s.Stop(r.Now, r.Reboot)
			return nil, nil
		}),
		"switch": with(func(ctx context.Context, r switchArgs, _ func(any)) (any, error) { return a.switchDisk(ctx, s, r) }),
		"reload": func(ctx context.Context, _ json.RawMessage, _ func(any)) (any, error) {
			err := errors.Join(a.manager.Reloading(), s.Reload(ctx))
			return nil, errors.Join(err, a.manager.Ready("ready"))
		},
		"verify": with(func(ctx context.Context, r namesArgs, progress func(any)) (any, error) {
			list := []found{}
			err := s.Verify(ctx, r.Names, func(backup string, v orchestrator.Verification) {
				list = append(list, found{backup, v})
				progress(found{backup, v})
			})
			return list, err
		}),
		"prune":   with(func(ctx context.Context, r pruneArgs, _ func(any)) (any, error) { return s.Prune(ctx, r.Dry) }),
		"scrub":   func(context.Context, json.RawMessage, func(any)) (any, error) { return nil, s.Scrub() },
		"backups": func(ctx context.Context, _ json.RawMessage, _ func(any)) (any, error) { return listBackups(ctx, s) },
		"volume":  with(func(ctx context.Context, r volumeArgs, _ func(any)) (any, error) { return nil, a.onVolume(ctx, s, r) }),
	}
}

// with decodes the arguments of an operation.
func with[A any](fn func(ctx context.Context, args A, progress func(any)) (any, error)) control.Operation {
	return func(ctx context.Context, raw json.RawMessage, progress func(any)) (any, error) {
		var args A
		if err := control.Decode(raw, &args); err != nil {
			return nil, err
		}
		result, err := fn(ctx, args, progress)
		if errors.Is(err, service.ErrBusy) {
			err = cli.Exit(cli.ExitBusy, err)
		}
		return result, err
	}
}

// jobError gives an unknown job its exit code.
func (a *app) jobError(err error) error {
	if err != nil {
		return cli.Hint(err, "tresor jobs lists them")
	}
	return nil
}

// runRound asks for a round, and with Wait returns its results when it is over. A client that goes away does not end the round.
func runRound(ctx context.Context, s *service.Service, r runArgs, progress func(any)) (any, error) {
	before := s.State().LastRound
	if err := s.RunNow(r.Machines); err != nil {
		return nil, err
	}
	if !r.Wait {
		return nil, nil
	}
	told := map[string]bool{}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	tell := func(r *service.Round) {
		for _, m := range r.Machines {
			if m.Outcome != service.Waiting && m.Outcome != service.Begun && !told[m.Machine] {
				told[m.Machine] = true
				progress(m)
			}
		}
	}
	for {
		st := s.State()
		if st.LastRound != nil && (before == nil || st.LastRound.ID != before.ID) {
			tell(st.LastRound)
			return st.LastRound, nil
		}
		if st.Round != nil {
			tell(st.Round)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// switchDisk asks for a switch, and with Wait returns what became of it.
func (a *app) switchDisk(ctx context.Context, s *service.Service, r switchArgs) (any, error) {
	if r.Allow != nil {
		return nil, s.AllowSwitch(*r.Allow)
	}
	if r.Cancel {
		return nil, s.CancelSwitch()
	}
	if r.To != "" && a.config().Volume(r.To) == nil {
		return nil, cli.Exit(cli.ExitNoVolume, fmt.Errorf("there is no volume %q in the configuration", r.To))
	}
	before := s.State().Switched
	if err := s.Switch(r.Soft, r.To, "asked for"); err != nil || !r.Wait {
		return nil, err
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		st := s.State()
		if st.Wish == nil {
			if st.Switched == nil || before != nil && st.Switched.Time.Equal(before.Time) {
				return nil, cli.Exit(cli.ExitBusy, errors.New("not switched: it is disabled, or was taken back"))
			}
			if st.Switched.Error != "" {
				return st.Switched, errors.New(st.Switched.Error)
			}
			return st.Switched, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func listBackups(ctx context.Context, s *service.Service) (listed, error) {
	name, onVolume, onBuffer, err := s.Backups(ctx)
	if onVolume == nil {
		onVolume = []orchestrator.Backup{}
	}
	if onBuffer == nil {
		onBuffer = []orchestrator.Backup{}
	}
	return listed{name, onVolume, onBuffer}, err
}

// umountOwner keeps the loop paused while an operator has the volume unmounted.
const umountOwner = "umount"

// onVolume does something with a disk by hand. What concerns the volume in use is done while nobody else works with it.
func (a *app) onVolume(ctx context.Context, s *service.Service, r volumeArgs) error {
	return s.Exclusively(ctx, func(ctx context.Context, vs service.Volumes) error {
		v, ok := vs.(*volumes)
		if !ok {
			return fmt.Errorf("these volumes (%T) cannot do that", vs)
		}
		switch r.Do {
		case "mount":
			if _, err := v.Open(ctx); err != nil {
				return err
			}
			_, err := s.Resume(umountOwner)
			return err
		case "umount":
			if err := s.Pause(umountOwner, service.Lease{Rounds: true, Copies: true, Unmounted: true, Reason: "the volume was unmounted by hand"}); err != nil {
				return err
			}
			return v.Close(ctx)
		}
		return v.byHand(ctx, r, a.config().Paths.SecondMount)
	})
}
