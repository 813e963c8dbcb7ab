package tresor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/orchestrator/config"
	"tresor/orchestrator/service"
)

func roundVerb() *Verb {
	return &Verb{Name: "run", Args: "[--no-wait | --wait] [MACHINE…]", Short: "Backs up all machines now, or those named: through the service if one runs, else by itself.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "all machines are backed up (what is on the buffer may still be copied by the service), or noted with --no-wait"},
			{Code: cli.ExitFailure, Text: "it could not be done"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "a round is running already, everything is paused, or another process works with the state"},
			{Code: cli.ExitNoVolume, Text: "there is no such machine"}, {Code: cli.ExitInterrupted, Text: "interrupted; what was begun goes on, in the service or at the next run"},
			{Code: cli.ExitNoService, Text: "the service ended meanwhile"}, {Code: cli.ExitPartly, Text: "some machines could not be backed up, or not to all their targets"},
			{Code: cli.ExitConfig, Text: "no service runs, and the configuration is wrong or missing"},
			{Code: cli.ExitWaits, Text: "nothing is lost, but copies have failed, or could not begin, and wait for their next attempt: their jobs stay"},
		}, new: func() runner { return new(runNow) }}
}

type runNow struct {
	client
	noWait, wait bool
}

// Flags declares the options.
func (v *runNow) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.noWait, "no-wait", false, "return when it is noted (with a service only)")
	f.BoolVar(&v.wait, "wait", false, "return when the copies have ended too, those included that are tried again after a failure")
}

// runResult is the result of a run: the round, and what is not done of its copies.
type runResult struct {
	*service.Round
	Jobs  []service.Job `json:"jobs"`                   // of this round that are not published, and others that wait or have failed meanwhile
	Later []string      `json:"copied_later,omitempty"` // backups whose machines had failed in the round, and whose copies are whole and published by now
	alone bool          // no service works on them
}

func (v *runNow) Run(ctx context.Context, s Streams, args []string) error {
	if v.wait && v.noWait {
		return arguments("want one of --wait and --no-wait")
	}
	show := newWatcher(s, v.json)
	defer show.close()
	var r *runResult
	err := v.ask(ctx, "run", runArgs{Machines: args, Wait: !v.noWait, All: v.wait}, &r, show.message)
	switch {
	case errors.Is(err, control.ErrNobody):
		r, err = v.alone(ctx, show, args)
	case err != nil && ctx.Err() != nil && !v.noWait:
		err = cli.Hint(err, "the service goes on with the round: `tresor status` shows it, `tresor pause` and `tresor stop` hold it")
	}
	show.close()
	if err != nil {
		return mayNot(err)
	}
	if r == nil || r.Round == nil {
		return v.say(s, struct{}{}, func(p *printer) { p.line("noted") })
	}
	if err := v.say(s, r, r.print); err != nil {
		return err
	}
	return r.code(args)
}

// has tells whether a backup is of this round.
func (r *runResult) has(backup string) bool {
	return slices.ContainsFunc(r.Machines, func(m service.Result) bool { return m.Backup == backup })
}

func (r *runResult) print(p *printer) {
	printRound(p, "Round", r.Round, true)
	if len(r.Later) > 0 {
		p.line("Copied by a later attempt: %s", strings.Join(r.Later, ", "))
	}
	printJobs(p, "Not copied", r.Jobs, !r.alone)
}

// code is the exit code that a round deserves, with what to do.
func (r *runResult) code(asked []string) error {
	failed := slices.ContainsFunc(r.Jobs, func(j service.Job) bool { return j.Ended && !j.Published && !j.Dropped })
	behind := slices.ContainsFunc(r.Jobs, func(j service.Job) bool { return !j.Ended && j.Error != "" && !j.Running }) // a second copy after a mismatch waits for nothing
	for _, m := range r.Machines {
		bad := m.Outcome == service.Failed && !slices.Contains(r.Later, m.Backup)
		waits := slices.ContainsFunc(r.Jobs, func(j service.Job) bool { return j.Backup == m.Backup && !j.Ended })
		behind = behind || bad && waits // also where no attempt was made: without a disk, or behind another one
		failed = failed || m.Outcome == service.Partial || bad && !waits ||
			slices.ContainsFunc(m.Targets, func(t service.TargetState) bool { return t.Error != "" })
	}
	var missing []string
	for _, name := range asked { // an interrupted round went on, which may have been over others
		if !slices.ContainsFunc(r.Machines, func(m service.Result) bool { return m.Machine == name }) {
			missing = append(missing, name)
		}
	}
	var next time.Time
	for _, j := range r.Jobs {
		if !j.Ended && j.After.After(next) {
			next = j.After
		}
	}
	switch {
	case len(missing) > 0:
		return cli.Hint(cli.Exit(cli.ExitPartly, fmt.Errorf("not backed up: %s; the round that went on was over others", strings.Join(missing, ", "))), "tresor run "+strings.Join(missing, " "))
	case failed:
		return cli.Exit(cli.ExitPartly, nil)
	case behind:
		return cli.Hint(cli.Exit(cli.ExitWaits, errors.New("copies wait for their next attempt: nothing is lost, their jobs stay")),
			"a service tries again by itself, `tresor run` at once, `tresor run --wait` as often as the configuration says; `tresor jobs drop ID` gives one up")
	}
	return nil
}

// alone is a service for one round and the jobs that there are.
func (v *runNow) alone(ctx context.Context, show *watcher, machines []string) (*runResult, error) {
	c, err := v.settings()
	if err != nil {
		return nil, err
	}
	for _, name := range machines {
		if !slices.ContainsFunc(c.Machines(), func(m config.Machine) bool { return m.Name == name }) {
			return nil, unknownMachine(name, c)
		}
	}
	a, err := openApp(ctx, v.file, show.p, true)
	if err != nil {
		return nil, err
	}
	r, err := v.once(ctx, a, show, machines)
	return r, errors.Join(err, a.close())
}

// once runs the service of an open app until nothing can be done any more.
func (v *runNow) once(ctx context.Context, a *app, show *watcher, machines []string) (*runResult, error) {
	var svc *service.Service
	var asked error
	var open map[string]bool
	before := ""
	watching, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	close(ended)
	_, err := a.serve(ctx, func(s *service.Service) {
		svc = s
		if last := s.State().LastRound; last != nil {
			before = last.ID
		}
		s.Once(v.wait)
		open = a.openJobs()
		asked = a.startRound(s, machines)
		if st := s.State(); errors.Is(asked, service.ErrBusy) && !errors.Is(asked, service.ErrPaused) && (st.Round != nil || st.Request != nil) {
			show.note("a round that was begun before goes on") // nobody else works with this state: the lock is ours
			asked = nil
		}
		if asked != nil {
			s.Stop(true, false)
			return
		}
		ended = make(chan struct{})
		go func() {
			defer close(ended)
			_ = watch(watching, s, before, show.told, func(service.State) bool { return false }) // until it is told to stop
		}()
	})
	stop()
	<-ended
	switch {
	case err != nil || svc == nil:
		return nil, err
	case errors.Is(asked, service.ErrPaused):
		return nil, cli.Hint(cli.Exit(cli.ExitBusy, asked), "the pause was begun with a service: start it (systemctl start tresor), then `tresor resume`; or the signal file that pauses is to be removed")
	case asked != nil:
		return nil, asked
	case svc.GaveUp() != nil:
		return nil, svc.GaveUp()
	case ctx.Err() != nil:
		return nil, cli.Hint(context.Cause(ctx), "what was begun goes on at the next `tresor run`, or with the service")
	}
	last := svc.State().LastRound
	if last == nil || last.ID == before {
		return nil, errors.New("the round did not end: somebody has stopped it")
	}
	r, err := ranOf(svc, last, open)
	if r != nil {
		r.alone = true
	}
	return r, err
}

// startRound asks for a round, and lets copies that wait for their next attempt begin: somebody is there who may have repaired the cause.
func (a *app) startRound(s *service.Service, machines []string) error {
	c := a.config()
	for _, name := range machines {
		if !slices.ContainsFunc(c.Machines(), func(m config.Machine) bool { return m.Name == name }) {
			return unknownMachine(name, c)
		}
	}
	for _, j := range a.queue.List() {
		if !j.State.Ended() && j.NotBefore.After(a.clock.Now()) {
			if _, err := a.queue.Hurry(j.ID); err != nil {
				a.logger.Warn(err) // it waits, then
			}
		}
	}
	return s.RunNow(machines) // wakes whoever works the jobs off
}

func unknownMachine(name string, c *config.Config) error {
	var names []string
	for _, m := range c.Machines() {
		names = append(names, m.Name)
	}
	hint := "it has " + strings.Join(names, ", ")
	if near := cli.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return cli.Hint(cli.Exit(cli.ExitNoVolume, fmt.Errorf("there is no machine %q in the configuration", name)), hint)
}

// openJobs are the ids of jobs that have not ended.
func (a *app) openJobs() map[string]bool {
	ids := map[string]bool{}
	for _, j := range a.queue.List() {
		if !j.State.Ended() {
			ids[j.ID] = true
		}
	}
	return ids
}

// ranOf adds to a round what is not done of its copies, what was done after it, what else waits, and what of the jobs that were open before has failed meanwhile.
func ranOf(s interface{ Jobs() ([]service.Job, error) }, r *service.Round, open map[string]bool) (*runResult, error) {
	list, err := s.Jobs()
	if err != nil {
		return nil, err
	}
	out := &runResult{Round: r, Jobs: []service.Job{}}
	for _, j := range list {
		if !j.Ended || (out.has(j.Backup) || open[j.ID] && !j.Dropped) && !j.Published {
			out.Jobs = append(out.Jobs, j)
		}
		failed := func(m service.Result) bool { return m.Backup == j.Backup && m.Outcome == service.Failed }
		if j.Published && len(j.Partial) == 0 && slices.ContainsFunc(r.Machines, failed) {
			out.Later = append(out.Later, j.Backup)
		}
	}
	return out, nil
}
