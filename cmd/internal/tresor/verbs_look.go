package tresor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
	"tresor/orchestrator/service"
)

// looked are the exit codes of verbs that look at things, and at the disk where no service answers.
func looked(more ...cli.Meaning) []cli.Meaning {
	list := []cli.Meaning{
		{Code: cli.ExitOK, Text: "done"}, {Code: cli.ExitFailure, Text: "it failed"}, {Code: cli.ExitUsage, Text: "wrong command line"},
		{Code: cli.ExitBusy, Text: "something else is going on"}, {Code: cli.ExitInterrupted, Text: "interrupted"},
	}
	return append(append(list, more...), cli.Meaning{Code: cli.ExitConfig, Text: "no service answers, and the configuration is wrong or missing"})
}

func jobsVerb() *Verb {
	return &Verb{Name: "jobs", Args: "[--all]", Short: "Lists the jobs: copies into the volume that wait, run or have failed; without a service as they lie on the disk.",
		Codes: looked(), new: func() runner { return new(jobs) }}
}

type jobs struct {
	client
	all bool
}

// Flags declares the options.
func (v *jobs) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.all, "all", false, "those too that have ended well or were dropped, as long as they are remembered")
}

func (v *jobs) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	list := []service.Job{}
	o, err := v.orOffline(ctx, "jobs", jobsArgs{v.all}, &list, func(o *offline) error {
		all, err := o.List()
		list = chosen(all, v.all)
		return err
	})
	if err != nil {
		return err
	}
	o.warn(s, "jobs")
	return v.say(s, list, func(p *printer) {
		if len(list) == 0 {
			p.line("no jobs")
		}
		printJobs(p, "Jobs", list, o == nil)
	})
}

// chosen are the jobs that somebody may have to do something about, or all.
func chosen(list []service.Job, all bool) []service.Job {
	return slices.DeleteFunc(append([]service.Job{}, list...), func(j service.Job) bool { return !all && (j.Published || j.Dropped) })
}

func jobsDropVerb() *Verb {
	return &Verb{Name: "jobs drop", Args: "JOB", Short: "Gives a job up, named by its id, the beginning of it, or its backup; the backup on the buffer may be removed then.",
		Codes: asked(noJob()), new: func() runner { return &jobVerb{op: "drop"} }}
}

func jobsRetryVerb() *Verb {
	return &Verb{Name: "jobs retry", Args: "JOB", Short: "Lets a failed job begin again, or one that waits for its next attempt begin at once.",
		Codes: asked(noJob()), new: func() runner { return &jobVerb{op: "retry"} }}
}

func noJob() cli.Meaning { return cli.Meaning{Code: cli.ExitNoVolume, Text: "there is no such job"} }

type jobVerb struct {
	client
	op string
}

func (v *jobVerb) Run(ctx context.Context, s Streams, args []string) error {
	if len(args) != 1 {
		return arguments("want one job, have %d arguments", len(args))
	}
	if err := v.ask(ctx, v.op, idArgs{args[0]}, nil, nil); err != nil {
		return err
	}
	return v.say(s, struct{}{}, func(p *printer) { p.line("done") })
}

func verifyVerb() *Verb {
	return &Verb{Name: "verify", Args: "NAME… | --all", Short: "Reads published backups of the volume in use back from the disk and compares them with the sums of their sources.",
		Codes: asked(cli.Meaning{Code: cli.ExitNoVolume, Text: "there is no such backup"}, cli.Meaning{Code: cli.ExitPartly, Text: "some have no sums to be compared with; the others are as their sources were"},
			cli.Meaning{Code: cli.ExitDiffers, Text: "a backup is not what its source was, or cannot be read"}), new: func() runner { return new(verifyBackups) }}
}

type verifyBackups struct {
	client
	all bool
}

// Flags declares the options.
func (v *verifyBackups) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.all, "all", false, "all backups of the volume")
}

func (v *verifyBackups) Run(ctx context.Context, s Streams, args []string) error {
	if v.all == (len(args) > 0) {
		return arguments("want names of backups, or --all")
	}
	var list []found
	p := newPrinter(s.Out)
	err := v.ask(ctx, "verify", namesArgs{args}, &list, func(m json.RawMessage) {
		var f found
		if !v.json && json.Unmarshal(m, &f) == nil {
			p.wrapped("", fmt.Sprintf("%s: %s", f.Backup, judgement(f)))
		}
	})
	if err != nil {
		return err
	}
	if v.json {
		err = cli.JSON(s.Out, list)
	} else if len(list) == 0 {
		p.line("there is no backup")
	}
	if err == nil {
		err = p.err
	}
	if err != nil {
		return err
	}
	code := cli.ExitOK
	for _, f := range list {
		switch f.Verdict {
		case orchestrator.Mismatch, orchestrator.Unreadable:
			code = cli.ExitDiffers
		case orchestrator.Verified:
		default:
			code = max(code, cli.ExitPartly)
		}
	}
	if code != cli.ExitOK {
		return cli.Exit(code, nil)
	}
	return nil
}

// judgement is the outcome of a verification in words.
func judgement(f found) string {
	text := map[orchestrator.Verdict]string{orchestrator.Verified: "as its source was", orchestrator.Mismatch: "DIFFERS from its source", orchestrator.Unreadable: "UNREADABLE",
		orchestrator.Unverified: "there is nothing to compare it with"}[f.Verdict]
	if f.Reason != "" {
		text = orWord(text, string(f.Verdict)) + ": " + f.Reason
	}
	return text
}

func pruneVerb() *Verb {
	return &Verb{Name: "prune", Args: "[--dry-run]", Short: "Applies the rules of retention to the volume in use and frees the room, or shows what they would do and why.",
		Codes: asked(cli.Meaning{Code: cli.ExitConfig, Text: "no service answers, and the configuration is wrong or missing (with --dry-run)"}), new: func() runner { return new(prune) }}
}

type prune struct {
	client
	dry bool
}

// Flags declares the options.
func (v *prune) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.dry, "dry-run", false, "print the calendar and remove nothing; without a service by what was seen of the volume last")
}

func (v *prune) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var got service.Pruned
	if v.dry {
		var at contents
		o, err := v.orOffline(ctx, "prune", pruneArgs{true}, &got, func(o *offline) (err error) {
			got, at, err = o.prune()
			return err
		})
		if err != nil {
			return err
		}
		if o != nil {
			o.note += fmt.Sprintf(" Volume %s was seen %s.", at.Volume, moment(at.Seen))
			o.warn(s, "prune")
		}
	} else if err := v.ask(ctx, "prune", pruneArgs{}, &got, nil); err != nil {
		return err
	}
	return v.say(s, got, func(p *printer) {
		p.block(got.Text)
		p.wrapped("", "limit: "+got.Limit)
		if v.dry {
			p.line("would remove %d, keep %d", len(got.Removed), got.Kept)
		} else {
			p.line("removed %d, kept %d", len(got.Removed), got.Kept)
		}
	})
}

func scrubVerb() *Verb {
	return &Verb{Name: "scrub", Args: "", Short: "Has the service read the stored blocks of the volume in use and prove them, as soon as no round and no job is under way.",
		Codes: asked(), new: func() runner { return new(scrub) }}
}

type scrub struct{ client }

func (v *scrub) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	if err := v.ask(ctx, "scrub", nil, nil, nil); err != nil {
		return err
	}
	return v.say(s, struct{}{}, func(p *printer) {
		p.line("noted; `tresor volumes` tells when the last one was complete, and damage is told by mail")
	})
}
