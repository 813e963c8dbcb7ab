package tresor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/service"
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
	a, err := openApp(ctx, v.file, s.Err, false)
	if err != nil {
		return mayNot(err)
	}
	last := a.last()
	now := begun{Version: builtFrom(), Begun: a.clock.Now().UTC()}
	telling, cancel := context.WithCancel(ctx)
	var told sync.WaitGroup
	up := false
	ending, err := a.serve(ctx, func(s *service.Service) {
		up = true
		a.leave(now)
		told.Go(func() { a.tellStarted(telling, s, last) })
	})
	cancel()
	told.Wait()
	switch {
	case up && err == nil:
		now.Ended = a.clock.Now().UTC()
		a.leave(now)
	case !up && err != nil && !errors.Is(err, errStopSignal):
		a.tellNotStarted(ctx, err)
	case ending.Reboot && err != nil:
		a.tellNoReboot(err)
	}
	argv := a.config().Control.RebootCommand
	if err = errors.Join(err, a.close()); errors.Is(err, errStopSignal) {
		fmt.Fprintf(s.Err, "tresor serve: %v\n", err)
		return nil // as somebody wants it
	}
	if err == nil && ending.Reboot {
		err = reboot(context.WithoutCancel(ctx), argv)
	}
	return err
}

// tellNoReboot tells people that the machine stays as it is: what could not be closed might be damaged by a restart.
func (a *app) tellNoReboot(cause error) {
	err := a.tell.Notify(orchestrator.Event{Time: a.clock.Now().UTC(), Severity: orchestrator.Failure, Kind: orchestrator.RebootFailed,
		Subject: "the machine is not started anew: the service did not end as it should", Body: cause.Error() + "\n",
		Advice: "Look at what it says and at the mounts, then start the machine anew by hand."})
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
		defer cancel()
		err = a.tell.flush(ctx)
	}
	if err != nil {
		a.logger.Error(err)
	}
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
	front, err := a.openFront()
	if errors.Is(err, errStopSignal) {
		return service.Ending{}, err
	}
	if err != nil {
		a.logger.Error(err) // a front end for old scripts: the service does without
	}
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
	watchman := newWatchman(a, s)
	running.Go(func() {
		alive := func() error { return errors.Join(s.Alive(aliveLimit), watchman.hung()) }
		err := manager.Watch(besides, a.clock, alive, func(err error) { a.logger.Error(err) })
		if err != nil && besides.Err() == nil {
			a.logger.Error(err)
		}
	})
	running.Go(func() { watchman.run(besides) })
	if front != nil {
		front.begin(besides, s, &running)
		a.mu.Lock()
		a.front = front
		a.mu.Unlock()
	} else if a.config().Paths.Signals == "" { // and not where it cannot be read: what was known last holds
		if err := s.EndAll(bySignal); err != nil {
			a.logger.Error(err)
		}
	}
	if err := manager.Ready("ready"); err != nil {
		a.logger.Warn(err)
	}
	if ready != nil {
		ready(s)
	}
	stopping := sync.OnceFunc(func() {
		if e := manager.Stopping("ending"); e != nil {
			a.logger.Warn(e)
		}
	})
	stop := context.AfterFunc(ctx, stopping)
	defer stop()
	ending, err := s.Run(ctx)
	stopping()
	cancel()
	running.Wait()
	watchman.look()
	flush, cancelFlush := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancelFlush()
	if e := a.tell.flush(flush); e != nil {
		a.logger.Warnf("messages wait for the next start: %v", e)
	}
	return ending, errors.Join(err, server.Close())
}

// rebootLimit is how long the command may take that begins a restart of the machine.
const rebootLimit = time.Minute

// reboot has the machine started anew, by the command of the configuration. The volume is closed and the state is free by then.
func reboot(ctx context.Context, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, rebootLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the end of this process must not end it
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("start the machine anew by %q: %w: %s", argv, err, strings.TrimSpace(string(out)))
	}
	return nil
}
