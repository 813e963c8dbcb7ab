package tresor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/runlog"
)

func logVerb() *Verb {
	return &Verb{Name: "log", Args: "[RUN]", Short: "Shows the log of a round (the beginning of its id is enough), or lists the rounds, the newest first. Needs no service.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "shown"}, {Code: cli.ExitFailure, Text: "it cannot be read, or several begin so"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitNoVolume, Text: "there is none of that name"}, {Code: cli.ExitInterrupted, Text: "interrupted"}, {Code: cli.ExitConfig, Text: "the configuration is wrong or missing"}}, new: func() runner { return new(showLog) }}
}

type showLog struct {
	client
	follow bool
}

// Flags declares the options.
func (v *showLog) Flags(f *pflag.FlagSet) {
	v.client.Flags(f)
	f.BoolVar(&v.follow, "follow", false, "go on as the log grows, until the round ends; without RUN that of the newest round")
}

func (v *showLog) Run(ctx context.Context, s Streams, args []string) error {
	if len(args) > 1 {
		return arguments("want one round at most, have %d", len(args))
	}
	c, err := v.settings()
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.LogDir()); errors.Is(err, fs.ErrNotExist) && len(args) == 0 {
		return v.say(s, []runlog.Info{}, func(p *printer) { p.line("no round yet") }) // opening it would make the directory
	} else if err != nil {
		return mayNot(err)
	}
	logs, err := runlog.Open(runlog.Options{Dir: c.LogDir()})
	if err != nil {
		return mayNot(err)
	}
	if len(args) == 0 && !v.follow {
		return v.list(s, logs)
	}
	id, err := logs.Find(strings.Join(args, ""))
	if err != nil {
		return cli.Hint(err, "`tresor log` lists them")
	}
	return logs.Read(ctx, id, v.follow, func(l runlog.Line) error { return v.print(s.Out, l) })
}

// list lists the rounds. A log that cannot be looked at does not keep the others from being listed.
func (v *showLog) list(s Streams, logs *runlog.Logs) error {
	list, err := logs.List()
	list = append([]runlog.Info{}, list...)
	said := v.say(s, list, func(p *printer) {
		if len(list) == 0 {
			p.line("no round yet")
		}
		var rows []row
		for _, i := range list {
			result := string(i.Result)
			switch {
			case result == "" && i.InUse:
				result = "goes on"
			case result == "":
				result = "cut off"
			}
			rows = append(rows, row{cells: []string{i.ID, moment(i.Begun), result, i.What}})
		}
		p.table("", rows)
	})
	return errors.Join(err, said)
}

func (v *showLog) print(w io.Writer, l runlog.Line) error {
	if v.json {
		return json.NewEncoder(w).Encode(l)
	}
	_, err := l.WriteTo(w)
	return err
}
