package tresor

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
)

func helpVerb() *Verb {
	return &Verb{
		Name: "help", Args: "[VERB]",
		Short: "Lists the verbs, or shows one verb's options and exit codes.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "shown"}, {Code: cli.ExitUsage, Text: "there is no such verb"}},
		new:   func() runner { return help{} },
	}
}

type help struct{}

func (help) Flags(*pflag.FlagSet) {}

func (help) Run(_ context.Context, s Streams, args []string) error {
	if len(args) == 0 {
		overview(s.Out)
		return nil
	}
	v, rest := find(args)
	switch {
	case v == nil || len(rest) > 0 && len(below(v.Name)) > 0:
		return unknownVerb(args)
	case len(rest) > 0:
		return arguments("want one verb, have %q behind %s", rest, v.Name)
	}
	v.help(s.Out)
	return nil
}

func versionVerb() *Verb {
	return &Verb{
		Name: "version", Args: "[--json]",
		Short: "Prints the program's version and what it was built from.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "printed"}, {Code: cli.ExitUsage, Text: "wrong command line"}},
		new:   func() runner { return new(version) },
	}
}

type version struct{ json bool }

func (v *version) Flags(f *pflag.FlagSet) { f.BoolVar(&v.json, "json", false, "print one JSON object") }

func (v *version) Run(_ context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	b := struct {
		Version  string `json:"version"`
		Revision string `json:"revision"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{"(devel)", "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	if v.json {
		return cli.JSON(s.Out, b)
	}
	_, err := fmt.Fprintf(s.Out, "tresor %s %s, %s, %s\n", b.Version, b.Revision, b.Go, b.Platform)
	return err
}
