package tresor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		Wait     bool     `json:"wait,omitempty"` // for the end of the round
		All      bool     `json:"all,omitempty"`  // with Wait: for the end of its jobs too
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
	namesArgs struct{ Names []string }
	pruneArgs struct{ Dry bool }
	pinArgs   struct {
		Names []string
		Pin   bool
	}
	jobsArgs    struct{ All bool }
	backupsArgs struct{ All bool }
	volumeArgs  struct {
		Do        string // mount, umount, eject, second, end-second, init, reinit
		Name      string
		Check     bool
		Size      int64 // bytes; 0: as the configuration says
		BlockSize int
		Hash      string
	}
)

// found is the outcome of one verification.
type found struct {
	Backup string `json:"backup"`
	orchestrator.Verification
}

// operations are what the service answers.
func (a *app) operations(s *service.Service) map[string]control.Operation {
	return map[string]control.Operation{
		"status": func(ctx context.Context, _ json.RawMessage, _ func(any)) (any, error) { return s.Status(ctx), nil },
		"jobs": with(func(_ context.Context, r jobsArgs, _ func(any)) (any, error) {
			list, err := s.Jobs()
			return chosen(list, r.All), err
		}),
		"run": with(func(ctx context.Context, r runArgs, progress func(any)) (any, error) {
			return a.runRound(ctx, s, r, progress)
		}),
		"drop": with(func(ctx context.Context, r idArgs, _ func(any)) (any, error) {
			return a.onJob(ctx, r.ID, s.Drop)
		}),
		"retry": with(func(ctx context.Context, r idArgs, _ func(any)) (any, error) {
			return a.onJob(ctx, r.ID, s.Retry)
		}),
		"pause": with(func(_ context.Context, r pauseArgs, _ func(any)) (any, error) {
			l := service.Lease{Rounds: true, Copies: true, Reason: r.Reason}
			if r.For > 0 {
				l.Until = a.clock.Now().UTC().Add(r.For)
			}
			return nil, s.Pause(r.Owner, l)
		}),
		"resume": with(func(context.Context, noArgs, func(any)) (any, error) {
			owners, err := a.resume(s)
			return append([]string{}, owners...), err
		}),
		"stop": with(func(_ context.Context, r stopArgs, _ func(any)) (any, error) {
			s.Stop(r.Now, r.Reboot)
			return nil, nil
		}),
		"switch": with(func(ctx context.Context, r switchArgs, _ func(any)) (any, error) { return a.switchDisk(ctx, s, r) }),
		"reload": with(func(ctx context.Context, _ noArgs, _ func(any)) (any, error) {
			err := errors.Join(a.manager.Reloading(), s.Reload(ctx))
			return nil, errors.Join(err, a.manager.Ready("ready"))
		}),
		"verify": with(func(ctx context.Context, r namesArgs, progress func(any)) (any, error) {
			list := []found{}
			err := s.Verify(ctx, r.Names, func(backup string, v orchestrator.Verification) {
				list = append(list, found{backup, v})
				progress(found{backup, v})
			})
			return list, err
		}),
		"prune": with(func(ctx context.Context, r pruneArgs, _ func(any)) (any, error) { return s.Prune(ctx, r.Dry) }),
		"scrub": with(func(context.Context, noArgs, func(any)) (any, error) { return nil, s.Scrub() }),
		"backups": with(func(ctx context.Context, r backupsArgs, _ func(any)) (any, error) {
			return a.listBackups(ctx, s, r.All)
		}),
		"pin":    with(func(ctx context.Context, r pinArgs, _ func(any)) (any, error) { return a.pin(ctx, s, r) }),
		"volume": with(func(ctx context.Context, r volumeArgs, _ func(any)) (any, error) { return nil, a.onVolume(ctx, s, r) }),
	}
}

// noArgs are those of operations that take none.
type noArgs struct{}

// with decodes the arguments of an operation, and gives errors of the loop their exit codes.
func with[A any](fn func(ctx context.Context, args A, progress func(any)) (any, error)) control.Operation {
	return func(ctx context.Context, raw json.RawMessage, progress func(any)) (any, error) {
		var args A
		if err := control.Decode(raw, &args); err != nil {
			return nil, err
		}
		result, err := fn(ctx, args, progress)
		switch {
		case errors.Is(err, service.ErrPaused):
			err = cli.Hint(cli.Exit(cli.ExitBusy, err), "`tresor resume` ends a pause; `tresor volumes mount` one of `volumes umount`")
		case errors.Is(err, service.ErrBusy), errors.Is(err, service.ErrSwitching), errors.Is(err, service.ErrStopped):
			err = cli.Hint(cli.Exit(cli.ExitBusy, err), "`tresor status` shows what is going on")
		case errors.Is(err, service.ErrUnknown):
			err = cli.Hint(cli.Exit(cli.ExitNoVolume, err), "`tresor backups` lists them")
		}
		if err != nil && cli.HintOf(err) == "" {
			err = cli.Hint(err, adviceFor(err.Error()))
		}
		return result, err
	}
}

// onJob does something with the job that is named by its id, the beginning of it, or its backup.
func (a *app) onJob(ctx context.Context, name string, fn func(context.Context, string) error) (any, error) {
	var ids []string
	for _, j := range a.queue.List() {
		if j.ID == name || j.Backup == name {
			ids = []string{j.ID}
			break
		}
		if name != "" && strings.HasPrefix(j.ID, strings.ToUpper(name)) {
			ids = append(ids, j.ID)
		}
	}
	switch len(ids) {
	case 0:
		return nil, cli.Hint(cli.Exit(cli.ExitNoVolume, fmt.Errorf("job %q: no such job", name)), "tresor jobs lists them")
	case 1:
		return nil, fn(ctx, ids[0])
	}
	return nil, cli.Hint(cli.Usage(fmt.Errorf("job %q: %d jobs begin so", name, len(ids))), "give more letters of the id, or the name of the backup")
}

// runRound asks for a round, and with Wait returns its results when it is over. A client that goes away does not end the round.
func (a *app) runRound(ctx context.Context, s *service.Service, r runArgs, progress func(any)) (any, error) {
	before := ""
	if last := s.State().LastRound; last != nil {
		before = last.ID
	}
	open := a.openJobs()
	if err := a.startRound(s, r.Machines); err != nil || !r.Wait {
		return nil, err
	}
	var out *runResult
	var failed error
	err := watch(ctx, s, before, func(t told) { progress(t) }, func(st service.State) bool {
		if st.LastRound == nil || st.LastRound.ID == before {
			return false
		}
		out, failed = ranOf(s, st.LastRound, open)
		return failed != nil || !r.All || !slices.ContainsFunc(out.Jobs, func(j service.Job) bool { return !j.Ended && out.has(j.Backup) })
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return out, nil
}

// switchDisk asks for a switch, and with Wait returns what became of it.
func (a *app) switchDisk(ctx context.Context, s *service.Service, r switchArgs) (any, error) {
	if r.Allow != nil {
		return nil, s.AllowSwitch(*r.Allow)
	}
	if r.Cancel {
		return nil, a.cancelSwitch(s)
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
			return umount(ctx, s, v)
		}
		return v.byHand(ctx, r, a.config().Paths.SecondMount)
	})
}

// umount unmounts the volume in use, and has the loop leave it alone until it is mounted by hand. One that stays mounted after an error leaves nothing paused.
func umount(ctx context.Context, s interface {
	Pause(owner string, l service.Lease) error
	Resume(owner string) (bool, error)
}, v interface {
	Close(ctx context.Context) error
	Disks(ctx context.Context) ([]service.Disk, error)
}) error {
	if err := s.Pause(umountOwner, service.Lease{Rounds: true, Copies: true, Unmounted: true, Reason: "the volume was unmounted by hand"}); err != nil {
		return err
	}
	err := v.Close(ctx)
	if err == nil {
		return nil
	}
	disks, derr := v.Disks(context.WithoutCancel(ctx))
	if derr == nil && slices.ContainsFunc(disks, func(d service.Disk) bool { return d.Current }) {
		_, derr = s.Resume(umountOwner)
	}
	return errors.Join(err, derr)
}

// resume ends all pauses, those of signal files too.
func (a *app) resume(s *service.Service) ([]string, error) {
	if h := a.frontNow(); h != nil {
		return h.resume()
	}
	return s.ResumeAll()
}

// cancelSwitch takes the wish for a switch back, that of a signal file too.
func (a *app) cancelSwitch(s *service.Service) error {
	if h := a.frontNow(); h != nil {
		return h.cancel()
	}
	return s.CancelSwitch()
}
