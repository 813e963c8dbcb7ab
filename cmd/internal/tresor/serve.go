package tresor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/orchestrator/config"
	"tresor/orchestrator/service"
	"tresor/orchestrator/signal"
	"tresor/orchestrator/systemd"
)

func serveVerb() *Verb {
	return &Verb{
		Name: "serve", Args: "[--config FILE]",
		Short: "Runs the service until it is stopped: rounds, copies, verification, disks, messages.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "stopped, or interrupted by a signal; all that was begun goes on at the next start"}, {Code: cli.ExitFailure, Text: "it could not start, or not end as it should"},
			{Code: cli.ExitUsage, Text: "wrong command line"}, {Code: cli.ExitBusy, Text: "another service works with this state"}, {Code: cli.ExitConfig, Text: "the configuration is wrong or missing"},
		},
		new: func() runner { return new(serve) },
	}
}

type serve struct{ file string }

func (v *serve) Flags(f *pflag.FlagSet) {
	f.StringVar(&v.file, "config", config.DefaultFile, "`FILE` of the configuration")
}

func (v *serve) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	a, err := openApp(ctx, v.file, s)
	if err != nil {
		return err
	}
	ending, err := a.serve(ctx, nil)
	if err == nil && ending.Reboot {
		err = reboot(context.WithoutCancel(ctx))
	}
	return errors.Join(err, a.close())
}

// aliveLimit is how long the loop may hold its state before the watchdog is no longer fed.
const aliveLimit = 5 * time.Second

// flushLimit is how long messages are waited for at the end; what is not sent goes out at the next start.
const flushLimit = 15 * time.Second

// serve is the service: it is what `tresor serve` and the demonstration run. ready is called when it answers.
func (a *app) serve(ctx context.Context, ready func(*service.Service)) (service.Ending, error) {
	manager, err := systemd.Open(os.Getenv)
	if err != nil {
		return service.Ending{}, err
	}
	a.manager = manager
	s, err := a.newService(ctx, func(text string) {
		if err := manager.Status(text); err != nil {
			a.logger.Warn(err)
		}
	})
	if err != nil {
		return service.Ending{}, err
	}
	server, err := control.Listen(a.config().Paths.Socket, a.operations(s), func(text string) { a.logger.Warn(text) })
	if err != nil {
		return service.Ending{}, err
	}
	besides, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() {
		err := manager.Watch(besides, a.clock, func() error { return s.Alive(aliveLimit) }, func(err error) { a.logger.Error(err) })
		if err != nil && besides.Err() == nil {
			a.logger.Error(err)
		}
	})
	if err := a.watchSignals(besides, s, &running); err != nil {
		a.logger.Error(err) // a front end for old scripts: the service does without
	}
	if err := manager.Ready("ready"); err != nil {
		a.logger.Warn(err)
	}
	if ready != nil {
		ready(s)
	}
	ending, err := s.Run(ctx)
	if e := manager.Stopping("ended"); e != nil {
		a.logger.Warn(e)
	}
	cancel()
	running.Wait()
	flush, cancelFlush := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancelFlush()
	if e := a.tell.flush(flush); e != nil {
		a.logger.Warnf("messages wait for the next start: %v", e)
	}
	return ending, errors.Join(err, server.Close())
}

// reboot asks the machine's service manager for an orderly restart.
func reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", "reboot")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the end of this process must not end it
	out, err := cmd.CombinedOutput()
	if err != nil {
		return cli.Hint(err, string(out))
	}
	return nil
}

// watchSignals serves the predecessor's signal files, if the configuration names a folder of them.
func (a *app) watchSignals(ctx context.Context, s *service.Service, running *sync.WaitGroup) error {
	dir := a.config().Paths.Signals
	if dir == "" {
		return nil
	}
	f, err := signal.Open(signal.Options{Dir: dir, Clock: a.clock})
	if err != nil {
		return err
	}
	running.Go(func() {
		if err := f.Run(ctx, &signals{a, s, f}); err != nil && ctx.Err() == nil {
			a.logger.Error(err)
		}
	})
	return nil
}

// signals turns signal files into commands of the loop.
type signals struct {
	a *app
	s *service.Service
	f *signal.Folder
}

// Trouble implements signal.Handler.
func (h *signals) Trouble(err error) { h.a.logger.Warn(err) }

// Signal implements signal.Handler.
func (h *signals) Signal(e signal.Event) {
	if err := h.obey(e); err != nil {
		h.a.logger.Errorf("signal %s: %v", e.Name, err)
	}
}

func (h *signals) obey(e signal.Event) error {
	owner := "signal " + string(e.Name)
	lease := service.Lease{Rounds: e.Name == signal.Wait, Copies: e.Name != signal.Wait, Reason: e.Text}
	switch e.Name {
	case signal.Wait, signal.WaitA, signal.AStop:
		if e.Active {
			return h.s.Pause(owner, lease)
		}
		_, err := h.s.Resume(owner)
		return err
	case signal.Stop:
		if e.Active {
			h.s.Stop(false, false)
		}
	case signal.Switch, signal.SoftSwitch:
		if !e.Active {
			return h.s.CancelSwitch()
		}
		err := h.s.Switch(e.Name == signal.SoftSwitch, "", owner)
		if err == nil {
			_, err = h.f.Consume(e.Name)
		}
		return err
	case signal.Reload:
		if e.Active {
			if _, err := h.f.Consume(e.Name); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
			defer cancel()
			return h.s.Reload(ctx)
		}
	case signal.DoNotSwitch:
		return h.s.AllowSwitch(!e.Active)
	case signal.DoNotCheck, signal.SkipCRC:
		h.a.mu.Lock()
		defer h.a.mu.Unlock()
		if e.Name == signal.SkipCRC {
			h.a.skip = e.Active
		} else {
			h.a.noCheck = e.Active
		}
	}
	return nil
}
