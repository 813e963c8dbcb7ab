package command

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
)

func versionVerb() *Verb {
	return &Verb{
		Name: "version", Args: "[--json]",
		Short: "Prints the program's version and what it was built from.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "printed"}, {Code: cli.ExitUsage, Text: "wrong command line"}},
		new:   func() runner { return new(version) },
	}
}

type version struct{ json bool }

func (v *version) Flags(f *pflag.FlagSet) { f.BoolVar(&v.json, "json", false, "print JSON") }

// buildVersion is what `ddumbfs version` prints, as the Go tool chain recorded it at build time.
type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"` // the tree held changes that were not committed
	Time     string `json:"time"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (v *version) Run(_ context.Context, s Streams, args []string) error {
	if len(args) > 0 {
		return arguments("want no argument, have %d", len(args))
	}
	b := readVersion()
	if v.json {
		return cli.JSON(s.Out, b)
	}
	line := "ddumbfs " + b.Version
	if b.Revision != "" {
		line += ", revision " + b.Revision
		if b.Modified {
			line += " with changes"
		}
	}
	_, err := fmt.Fprintf(s.Out, "%s, %s, %s\n", line, b.Go, b.Platform)
	return err
}

func readVersion() buildVersion {
	b := buildVersion{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
