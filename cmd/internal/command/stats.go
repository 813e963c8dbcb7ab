package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
)

func statsVerb() *Verb {
	return &Verb{
		Name: "stats", Args: "MNT|PARENT [--json|--prometheus]",
		Short: "Prints the statistics of a volume.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "printed"},
			{Code: cli.ExitFailure, Text: "could not be read"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitCorrupt, Text: "the volume is not mounted, and too damaged to be read"},
			{Code: cli.ExitNoVolume, Text: "there is no volume"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted"},
		},
		new: func() runner { return new(stats) },
	}
}

type stats struct{ json, prometheus bool }

func (v *stats) Flags(f *pflag.FlagSet) {
	f.BoolVar(&v.json, "json", false, "print one JSON object")
	f.BoolVar(&v.prometheus, "prometheus", false, "print Prometheus' text format")
}

func (v *stats) Run(ctx context.Context, s Streams, args []string) error {
	name, err := oneArgument(args, "mount point or parent directory")
	if err != nil {
		return err
	}
	if v.json && v.prometheus {
		return arguments("want --json or --prometheus, have both")
	}
	t, err := findTarget(name)
	if err != nil {
		return err
	}
	parent, text := t.parent, ""
	if t.mount != nil {
		parent = t.mount.Source
		text, err = readSpecial(ctx, t.mount, "stats", func() {})
	} else {
		parent, text, err = offlineStats(ctx, t.parent)
	}
	if err != nil {
		return err
	}
	switch {
	case v.json:
		return cli.JSON(s.Out, parseValues(text))
	case v.prometheus:
		return parseValues(text).prometheus(s.Out, parent)
	}
	_, err = io.WriteString(s.Out, text)
	return err
}

// statisticsLine is one line of the statistics (format page, section 8).
func statisticsLine(name string, value any) string {
	return fmt.Sprintf("%-30s %9v\n", name, value)
}
