package command

import (
	"context"

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
	if len(args) > 1 {
		return arguments("want at most one verb, have %d arguments", len(args))
	}
	v := find(args[0])
	if v == nil {
		return unknownVerb(args[0])
	}
	v.help(s.Out)
	return nil
}
