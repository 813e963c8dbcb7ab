package tresor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/config"
	"tresor/orchestrator/schedule"
)

// outside is what the configuration needs from the rest: the grammar of the calendar, and the place of credentials.
func outside() config.Outside {
	return config.Outside{Credentials: os.Getenv("CREDENTIALS_DIRECTORY"), Calendar: func(e string) error {
		_, err := schedule.Parse(e, time.UTC)
		return err
	}}
}

func configCheckVerb() *Verb {
	return &Verb{
		Name: "config check", Args: "[FILE] [--json]",
		Short: "Reads a configuration and tells everything that is wrong with it.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "nothing is wrong"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitConfig, Text: "something is wrong, or there is no such file"},
		},
		new: func() runner { return new(configCheck) },
	}
}

type configCheck struct{ json bool }

func (v *configCheck) Flags(f *pflag.FlagSet) { f.BoolVar(&v.json, "json", false, "print JSON") }

// checked is the result of `config check`.
type checked struct {
	File     string           `json:"file"`
	OK       bool             `json:"ok"`
	Mistakes []config.Mistake `json:"mistakes"`
	Notes    []config.Note    `json:"notes"`
	Machines int              `json:"machines"` // sources of this machine
	Virtual  int              `json:"virtual_machines"`
	Volumes  int              `json:"volumes"`
	Borg     int              `json:"borg_repositories"`
}

func (v *configCheck) Run(_ context.Context, s Streams, args []string) error {
	file := config.DefaultFile
	switch len(args) {
	case 0:
	case 1:
		file = args[0]
	default:
		return arguments("want one file, have %d", len(args))
	}
	result := checked{File: file, Mistakes: []config.Mistake{}, Notes: []config.Note{}}
	c, err := config.Load(file, outside())
	var wrong config.Mistakes
	switch {
	case errors.As(err, &wrong):
		result.Mistakes = wrong
	case errors.Is(err, fs.ErrNotExist):
		return cli.Hint(cli.Exit(cli.ExitConfig, err), "`tresor setup` makes a first configuration, `tresor config example` shows one")
	case err != nil:
		return mayNot(cli.Exit(cli.ExitConfig, err))
	default:
		result.OK, result.Notes = true, append(result.Notes, c.Notes()...)
		result.Machines, result.Volumes, result.Borg = len(c.Machines()), len(c.Volumes), len(c.Borg)
		for _, server := range c.Servers {
			result.Virtual += len(server.VMs)
		}
	}
	if v.json {
		err = cli.JSON(s.Out, result)
	} else {
		err = result.print(s.Out)
	}
	if err == nil && !result.OK {
		err = cli.Exit(cli.ExitConfig, fmt.Errorf("%s: %s", file, countOf(len(wrong), "mistake")))
	}
	return err
}

func (r *checked) print(w io.Writer) (err error) {
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	for _, m := range r.Mistakes {
		say("%s\n", m.Error())
	}
	for _, n := range r.Notes {
		if n.Line > 0 {
			say("note: %s:%d: %s\n", r.File, n.Line, n.Text)
		} else {
			say("note: %s\n", n.Text)
		}
	}
	if r.OK {
		say("%s: nothing is wrong: %s, %s, %s, %s\n", r.File, countOf(r.Machines, "source"), countOf(r.Virtual, "virtual machine"),
			countOf(r.Volumes, "volume"), countOf(r.Borg, "borg repository"))
	}
	return err
}

// countOf is a number with its noun.
func countOf(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun[len(noun)-1] == 'y':
		return fmt.Sprintf("%d %sies", n, noun[:len(noun)-1])
	case strings.HasSuffix(noun, "ch"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func configExampleVerb() *Verb {
	return &Verb{
		Name: "config example", Args: "",
		Short: "Prints a configuration with every key, its default and what it means.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "printed"}, {Code: cli.ExitUsage, Text: "wrong command line"}},
		new:   func() runner { return configExample{} },
	}
}

type configExample struct{}

func (configExample) Flags(*pflag.FlagSet) {}

func (configExample) Run(_ context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	_, err := io.WriteString(s.Out, config.Example())
	return err
}
