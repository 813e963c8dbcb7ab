package tresor

import (
	"context"
	"encoding/json"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/orchestrator/config"
)

// client is what verbs have in common that ask the service.
type client struct {
	file, socket string
	json         bool
}

// Flags declares the options of every such verb.
func (c *client) Flags(f *pflag.FlagSet) {
	f.StringVar(&c.file, "config", config.DefaultFile, "`FILE` of the configuration")
	f.StringVar(&c.socket, "socket", "", "control `SOCKET` of the service (default: that of the configuration)")
	f.BoolVar(&c.json, "json", false, "print one JSON object")
}

// place is the socket of the service. Who may not read the configuration asks at its usual place.
func (c *client) place() string {
	if c.socket != "" {
		return c.socket
	}
	if cfg, err := c.settings(); err == nil {
		return cfg.Paths.Socket
	}
	return config.Default().Paths.Socket
}

// settings is the configuration without its secrets.
func (c *client) settings() (*config.Config, error) {
	o := outside()
	o.NoSecrets = true
	return config.Load(c.file, o)
}

func (c *client) ask(ctx context.Context, op string, args, result any, progress func(json.RawMessage)) error {
	err := control.Call(ctx, c.place(), op, args, result, progress)
	if cli.CodeOf(err) == cli.ExitNoService {
		return errNoService(err)
	}
	return err
}

// say prints a result: as JSON, or as the text.
func (c *client) say(s Streams, v any, text func(p *printer)) error {
	if c.json {
		return cli.JSON(s.Out, v)
	}
	p := &printer{w: s.Out}
	text(p)
	return p.err
}

// asked are the exit codes of verbs that ask the service, with what is special to one of them.
func asked(more ...cli.Meaning) []cli.Meaning {
	list := []cli.Meaning{
		{Code: cli.ExitOK, Text: "done"}, {Code: cli.ExitFailure, Text: "it failed"}, {Code: cli.ExitUsage, Text: "wrong command line"},
		{Code: cli.ExitBusy, Text: "something else is going on"}, {Code: cli.ExitInterrupted, Text: "interrupted"}, {Code: cli.ExitNoService, Text: "no service answers"},
	}
	return append(list, more...)
}
