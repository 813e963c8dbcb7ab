package tresor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index/format"
	"tresor/orchestrator"
	"tresor/orchestrator/runlog"
	"tresor/orchestrator/service"
)

func jobsVerb() *Verb {
	return &Verb{Name: "jobs", Args: "", Short: "Lists the jobs: copies into the volume that wait, run or have failed.", Codes: asked(), new: func() runner { return new(jobs) }}
}

type jobs struct{ client }

func (v *jobs) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var list []service.Job
	if err := v.ask(ctx, "jobs", nil, &list, nil); err != nil {
		return err
	}
	return v.say(s, list, func(p *printer) {
		if len(list) == 0 {
			p.line("no jobs")
		}
		printJobs(p, "Jobs", list)
	})
}

func jobsDropVerb() *Verb {
	return &Verb{Name: "jobs drop", Args: "ID", Short: "Gives a job up; its backup on the buffer may be removed then.", Codes: asked(), new: func() runner { return &jobVerb{op: "drop"} }}
}

func jobsRetryVerb() *Verb {
	return &Verb{Name: "jobs retry", Args: "ID", Short: "Lets a failed job begin again.", Codes: asked(), new: func() runner { return &jobVerb{op: "retry"} }}
}

type jobVerb struct {
	client
	op string
}

func (v *jobVerb) Run(ctx context.Context, s Streams, args []string) error {
	if len(args) != 1 {
		return arguments("want one id of a job, have %d arguments", len(args))
	}
	if err := v.ask(ctx, v.op, idArgs{args[0]}, nil, nil); err != nil {
		return err
	}
	return v.say(s, struct{}{}, func(p *printer) { p.line("done") })
}

func verifyVerb() *Verb {
	return &Verb{Name: "verify", Args: "NAME… | --all", Short: "Reads published backups of the volume in use back from the disk and compares them with the sums of their sources.",
		Codes: asked(cli.Meaning{Code: cli.ExitDiffers, Text: "a backup is not what its source was, or cannot be read"}), new: func() runner { return new(verifyBackups) }}
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
	err := v.ask(ctx, "verify", namesArgs{args}, &list, func(m json.RawMessage) {
		var f found
		if !v.json && json.Unmarshal(m, &f) == nil {
			fmt.Fprintf(s.Out, "%s: %s %s\n", f.Backup, orWord(string(f.Verdict), "nothing to compare with"), f.Reason)
		}
	})
	if err != nil {
		return err
	}
	if v.json {
		err = cli.JSON(s.Out, list)
	}
	for _, f := range list {
		if err == nil && (f.Verdict == orchestrator.Mismatch || f.Verdict == orchestrator.Unreadable) {
			err = cli.Exit(cli.ExitDiffers, nil)
		}
	}
	return err
}

func pruneVerb() *Verb {
	return &Verb{Name: "prune", Args: "[--dry-run]", Short: "Applies the rules of retention to the volume in use and frees the room, or shows what they would do and why.",
		Codes: asked(), new: func() runner { return new(prune) }}
}

type prune struct {
	client
	dry bool
}

// Flags declares the options.
func (v *prune) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.dry, "dry-run", false, "print the calendar and remove nothing")
}

func (v *prune) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var got service.Pruned
	if err := v.ask(ctx, "prune", pruneArgs{v.dry}, &got, nil); err != nil {
		return err
	}
	return v.say(s, got, func(p *printer) {
		p.line("%s", strings.TrimRight(got.Text, "\n"))
		p.line("limit: %s", got.Limit)
		if v.dry {
			p.line("would remove %d, keep %d", len(got.Removed), got.Kept)
		} else {
			p.line("removed %d, kept %d", len(got.Removed), got.Kept)
		}
	})
}

func backupsVerb() *Verb {
	return &Verb{Name: "backups", Args: "", Short: "Lists the backups on the volume in use and on the buffer, with what is known of their content.", Codes: asked(), new: func() runner { return new(backups) }}
}

type backups struct{ client }

func (v *backups) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var got listed
	if err := v.ask(ctx, "backups", nil, &got, nil); err != nil {
		return err
	}
	return v.say(s, got, func(p *printer) {
		printBackups(p, "On "+orWord(got.Volume, "no volume"), got.OnVolume)
		printBackups(p, "On the buffer", got.OnBuffer)
	})
}

func printBackups(p *printer, title string, list []orchestrator.Backup) {
	p.line("%s: %d", title, len(list))
	var rows [][]string
	for _, b := range list {
		rows = append(rows, []string{b.Name, size(b.Bytes), fmt.Sprintf("%d files", b.Files), service.BackupState(b)})
	}
	p.table("  ", rows)
}

func volumesVerb() *Verb {
	return &Verb{Name: "volumes", Args: "", Short: "Lists the disks, how full their volumes are, and which can be taken away.", Codes: asked(), new: func() runner { return new(listVolumes) }}
}

type listVolumes struct{ client }

func (v *listVolumes) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var st service.Status
	if err := v.ask(ctx, "status", nil, &st, nil); err != nil {
		return err
	}
	return v.say(s, st.Disks, func(p *printer) { printDisks(p, st) })
}

// volumeVerbs do something with a disk by hand.
func volumeVerbs() []*Verb {
	verb := func(name, args, short, do string, named bool) *Verb {
		return &Verb{Name: "volumes " + name, Args: args, Short: short, Codes: asked(), new: func() runner { return &volumeVerb{do: do, named: named} }}
	}
	return []*Verb{
		verb("mount", "", "Mounts the volume again after `volumes umount`, and goes on.", "mount", false),
		verb("umount", "", "Unmounts the volume in use and pauses, until `volumes mount`.", "umount", false),
		verb("eject", "NAME", "Unmounts a disk that is not in use, so that it can be taken away.", "eject", true),
		verb("second", "NAME [--check]", "Mounts another volume read-only at paths.second_mount.", "second", true),
		verb("end-second", "", "Unmounts the second volume.", "end-second", false),
		verb("reinit", "NAME --yes-really NAME [--size SIZE]", "Makes a new, empty volume on a disk in place of the old one, whose backups are lost.", "reinit", true),
	}
}

type volumeVerb struct {
	client
	do     string
	named  bool
	check  bool
	really string
	size   string
}

// Flags declares the options.
func (v *volumeVerb) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	switch v.do {
	case "second":
		f.BoolVar(&v.check, "check", false, "check the volume before")
	case "reinit":
		f.StringVar(&v.really, "yes-really", "", "the `NAME` again: all backups on it are lost")
		f.StringVar(&v.size, "size", "", "`SIZE` of the new volume, such as 800G (default: the free room)")
	}
}

func (v *volumeVerb) Run(ctx context.Context, s Streams, args []string) error {
	r := volumeArgs{Do: v.do, Check: v.check}
	switch {
	case v.named && len(args) != 1:
		return arguments("want one volume, have %d arguments", len(args))
	case !v.named && len(args) > 0:
		return noArguments(args)
	case v.named:
		r.Name = args[0]
	}
	if v.do == "reinit" && v.really != r.Name {
		return arguments("all backups on %s would be lost: say --yes-really %s", r.Name, r.Name)
	}
	if v.size != "" {
		n, err := format.ParseSize(v.size)
		if err != nil {
			return cli.Usage(err)
		}
		r.Size = int64(n)
	}
	if err := v.ask(ctx, "volume", r, nil, nil); err != nil {
		return err
	}
	return v.say(s, struct{}{}, func(p *printer) { p.line("done") })
}

func logVerb() *Verb {
	return &Verb{Name: "log", Args: "[RUN]", Short: "Shows the log of a round (the beginning of its id is enough), or lists the rounds.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "shown"}, {Code: cli.ExitFailure, Text: "it cannot be read, or there is none of that name"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitInterrupted, Text: "interrupted"}, {Code: cli.ExitConfig, Text: "the configuration is wrong or missing"}}, new: func() runner { return new(showLog) }}
}

type showLog struct {
	client
	follow bool
}

// Flags declares the options.
func (v *showLog) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.follow, "follow", false, "go on as the log grows, until the round ends")
}

func (v *showLog) Run(ctx context.Context, s Streams, args []string) error {
	if len(args) > 1 {
		return arguments("want one round at most, have %d", len(args))
	}
	c, err := v.settings()
	if err != nil {
		return cli.Exit(cli.ExitConfig, err)
	}
	if _, err := os.Stat(c.LogDir()); err != nil {
		return err
	}
	logs, err := runlog.Open(runlog.Options{Dir: c.LogDir()})
	if err != nil {
		return err
	}
	if len(args) == 0 {
		list, err := logs.List()
		if err != nil {
			return err
		}
		return v.say(s, list, func(p *printer) {
			for _, i := range list {
				p.line("%s  %s", i.ID, orWord(string(i.Result), "goes on, or was cut off"))
			}
		})
	}
	id, err := logs.Find(args[0])
	if err != nil {
		return err
	}
	return logs.Read(ctx, id, v.follow, func(l runlog.Line) error { return v.print(s.Out, l) })
}

func (v *showLog) print(w io.Writer, l runlog.Line) error {
	if v.json {
		return json.NewEncoder(w).Encode(l)
	}
	_, err := l.WriteTo(w)
	return err
}

func mailTestVerb() *Verb {
	return &Verb{Name: "mail test", Args: "", Short: "Sends a test message to every address of the configuration at once, and tells what became of each.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "all were taken"}, {Code: cli.ExitFailure, Text: "none was taken, or there is nobody to write to"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitInterrupted, Text: "interrupted"}, {Code: cli.ExitPartly, Text: "some were taken"}, {Code: cli.ExitConfig, Text: "the configuration is wrong or missing"}},
		new: func() runner { return new(mailTest) }}
}

type mailTest struct{ client }
