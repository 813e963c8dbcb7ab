package tresor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
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
	place, err := c.place()
	if err != nil {
		return err
	}
	before, err := os.Lstat(place)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return mayNot(err)
	}
	if err := c.ask(ctx, "stop", a, nil, nil); err != nil {
		return err
	}
	if noWait {
		word = "noted"
	} else if err := c.untilGone(ctx, place, before); err != nil {
		return cli.Hint(err, "the service ends all the same; `tresor status` tells when it has")
	}
	return c.say(s, struct{}{}, func(p *printer) { p.line("%s", word) })
}

// untilGone returns when a service has ended: it removes its socket when all else is done. One that was killed meanwhile leaves it, and does not answer;
// another one that was started has a socket of its own.
func (c *client) untilGone(ctx context.Context, place string, before os.FileInfo) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		now, err := os.Lstat(place)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case before != nil && !os.SameFile(before, now) || !control.Answers(place):
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
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
