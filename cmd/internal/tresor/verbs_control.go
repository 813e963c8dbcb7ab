package tresor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/service"
)

func pauseVerb() *Verb {
	return &Verb{Name: "pause", Args: "[--for DURATION] [REASON…]", Short: "Pauses everything within seconds, also in the middle of a copy, until `tresor resume`.",
		Codes: asked(), new: func() runner { return new(pause) }}
}

type pause struct {
	client
	length time.Duration
}

// Flags declares the options.
func (v *pause) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.DurationVar(&v.length, "for", 0, "end the pause by itself after `DURATION`, such as 2h")
}

func (v *pause) Run(ctx context.Context, s Streams, args []string) error {
	if v.length < 0 {
		return arguments("--for wants a time that is not negative")
	}
	a := pauseArgs{Owner: "operator", For: v.length, Reason: strings.Join(args, " ")}
	if u, err := user.Current(); err == nil {
		a.Owner += " " + u.Username
	}
	if err := v.ask(ctx, "pause", a, nil, nil); err != nil {
		return err
	}
	return v.say(s, struct{}{}, func(p *printer) { p.line("paused; `tresor resume` goes on") })
}

func resumeVerb() *Verb {
	return &Verb{Name: "resume", Args: "", Short: "Ends all pauses, that after a round too: then the next round begins.", Codes: asked(), new: func() runner { return new(resume) }}
}

type resume struct{ client }

func (v *resume) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var owners []string
	if err := v.ask(ctx, "resume", nil, &owners, nil); err != nil {
		return err
	}
	return v.say(s, owners, func(p *printer) {
		if len(owners) == 0 {
			p.line("nothing was paused")
		} else {
			p.line("ended the pause of: %s", strings.Join(owners, ", "))
		}
	})
}

func stopVerb() *Verb {
	return &Verb{Name: "stop", Args: "[--now] [--no-wait]", Short: "Ends the service after the machine that is being backed up, or at once; what was begun goes on at the next start.",
		Codes: asked(), new: func() runner { return new(stop) }}
}

type stop struct {
	client
	now, noWait bool
}

// Flags declares the options.
func (v *stop) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.now, "now", false, "cut off what is being done")
	f.BoolVar(&v.noWait, "no-wait", false, "return when it is noted, not when the service has ended")
}

func (v *stop) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	return v.end(ctx, s, stopArgs{Now: v.now}, v.noWait, "stopped")
}

// end asks the service to end, and waits for that.
func (c *client) end(ctx context.Context, s Streams, a stopArgs, noWait bool, word string) error {
	if err := c.ask(ctx, "stop", a, nil, nil); err != nil {
		return err
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !noWait {
		if _, err := os.Lstat(c.place()); err != nil {
			break // the service removes its socket when all else is done
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if noWait {
		word = "noted"
	}
	return c.say(s, struct{}{}, func(p *printer) { p.line("%s", word) })
}

func rebootVerb() *Verb {
	return &Verb{Name: "reboot", Args: "[--now]", Short: "Ends the service as stop does, unmounts the volume, and starts the machine anew.", Codes: asked(), new: func() runner { return new(rebootMachine) }}
}

type rebootMachine struct {
	client
	now bool
}

// Flags declares the options.
func (v *rebootMachine) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.now, "now", false, "cut off what is being done")
}

func (v *rebootMachine) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	return v.end(ctx, s, stopArgs{Now: v.now, Reboot: true}, true, "")
}

func reloadVerb() *Verb {
	return &Verb{Name: "reload", Args: "", Short: "Has the service read its configuration again; a wrong one changes nothing. Jobs stay.",
		Codes: asked(cli.Meaning{Code: cli.ExitConfig, Text: "the configuration is wrong; the old one stays in use"}), new: func() runner { return new(reload) }}
}

type reload struct{ client }

func (v *reload) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	if err := v.ask(ctx, "reload", nil, nil, nil); err != nil {
		return err
	}
	return v.say(s, struct{}{}, func(p *printer) { p.line("reloaded") })
}

func switchVerb() *Verb {
	return &Verb{Name: "switch", Args: "[--soft] [--wait] [NAME] | --cancel | --forbid | --allow", Short: "Changes the disk: the next of the rotation, or the one named.",
		Codes: asked(cli.Meaning{Code: cli.ExitNoVolume, Text: "there is no such volume"}), new: func() runner { return new(switchDisk) }}
}

type switchDisk struct {
	client
	soft, wait, cancel, forbid, allow bool
}

// Flags declares the options.
func (v *switchDisk) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.soft, "soft", false, "wait until all jobs are done")
	f.BoolVar(&v.wait, "wait", false, "return when it is done, with what became of it")
	f.BoolVar(&v.cancel, "cancel", false, "take a switch back that has not begun")
	f.BoolVar(&v.forbid, "forbid", false, "from now on a switch only makes its report")
	f.BoolVar(&v.allow, "allow", false, "let disks be switched again")
}

func (v *switchDisk) Run(ctx context.Context, s Streams, args []string) error {
	n := 0
	for _, set := range []bool{v.cancel, v.forbid, v.allow, v.soft || v.wait || len(args) > 0} {
		if set {
			n++
		}
	}
	if len(args) > 1 || n > 1 {
		return arguments("want one volume at most, and --cancel, --forbid and --allow alone")
	}
	a := switchArgs{Soft: v.soft, Wait: v.wait, Cancel: v.cancel}
	if v.forbid || v.allow {
		a.Allow = &v.allow
	}
	if len(args) == 1 {
		a.To = args[0]
	}
	var c *service.Change
	if err := v.ask(ctx, "switch", a, &c, nil); err != nil {
		return err
	}
	return v.say(s, c, func(p *printer) {
		if c != nil && c.To != "" {
			p.line("switched from %s to %s", orWord(c.From, "none"), c.To)
		} else {
			p.line("noted; `tresor status` tells what becomes of it")
		}
	})
}

func roundVerb() *Verb {
	return &Verb{Name: "run", Args: "[--no-wait] [MACHINE…]", Short: "Backs up all machines now, or those named: through the service if one runs, else by itself.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "all machines are backed up, or noted with --no-wait"}, {Code: cli.ExitFailure, Text: "it could not be done"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "a round is running already, or another process works with the state"}, {Code: cli.ExitInterrupted, Text: "interrupted; in a service the round goes on"},
			{Code: cli.ExitNoService, Text: "the service ended meanwhile"}, {Code: cli.ExitPartly, Text: "some machines could not be backed up"}, {Code: cli.ExitConfig, Text: "no service runs, and the configuration is wrong or missing"},
		}, new: func() runner { return new(runNow) }}
}

type runNow struct {
	client
	noWait bool
}

// Flags declares the options.
func (v *runNow) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.noWait, "no-wait", false, "return when it is noted (with a service only)")
}

func (v *runNow) Run(ctx context.Context, s Streams, args []string) error {
	var r *service.Round
	err := v.ask(ctx, "run", runArgs{Machines: args, Wait: !v.noWait}, &r, func(m json.RawMessage) { v.progress(s, m) })
	if cli.CodeOf(err) == cli.ExitNoService && strings.Contains(err.Error(), "no service answers") {
		r, err = v.alone(ctx, s, args)
	}
	if err != nil {
		return err
	}
	if r == nil {
		return v.say(s, struct{}{}, func(p *printer) { p.line("noted") })
	}
	if err := v.say(s, r, func(p *printer) { printRound(p, "Round", r) }); err != nil {
		return err
	}
	for _, m := range r.Machines {
		if m.Outcome == service.Failed || m.Outcome == service.Partial {
			return cli.Exit(cli.ExitPartly, nil)
		}
	}
	return nil
}

func (v *runNow) progress(s Streams, m json.RawMessage) {
	var r service.Result
	if v.json || json.Unmarshal(m, &r) != nil {
		return
	}
	fmt.Fprintf(s.Err, "%s: %s %s\n", r.Machine, r.Outcome, r.Text)
}

// alone is a service for one round and the jobs that there are.
func (v *runNow) alone(ctx context.Context, out Streams, machines []string) (*service.Round, error) {
	a, err := openApp(ctx, v.file, out)
	if err != nil {
		return nil, err
	}
	var svc *service.Service
	var asked error
	before := ""
	_, err = a.serve(ctx, func(s *service.Service) {
		svc = s
		if last := s.State().LastRound; last != nil {
			before = last.ID
		}
		s.Once()
		asked = s.RunNow(machines)
		if st := s.State(); errors.Is(asked, service.ErrBusy) && (st.Round != nil || st.Request != nil) {
			fmt.Fprintln(out.Err, "tresor run: a round that was interrupted goes on") // nobody else works with this state: the lock is ours
			asked = nil
		}
		if asked != nil {
			s.Stop(true, false)
		}
	})
	if err == nil {
		err = asked
	}
	if err == nil && svc != nil {
		err = svc.GaveUp()
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if closed := a.close(); err == nil {
		err = closed
	}
	if err != nil || svc == nil {
		return nil, err
	}
	last := svc.State().LastRound
	if last == nil || last.ID == before {
		return nil, fmt.Errorf("the round did not end")
	}
	return last, nil
}
