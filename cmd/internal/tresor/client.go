package tresor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

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

// place is the socket of the service. Who may not read the configuration of this machine, or finds a mistake in it, asks at the usual place; who names
// a configuration means its service and no other one.
func (c *client) place() (string, error) {
	if c.socket != "" {
		return c.socket, nil
	}
	cfg, err := c.settings()
	switch {
	case err == nil:
		return cfg.Paths.Socket, nil
	case c.file != config.DefaultFile:
		return "", err
	}
	return config.Default().Paths.Socket, nil
}

// settings is the configuration without its secrets.
func (c *client) settings() (*config.Config, error) {
	o := outside()
	o.NoSecrets = true
	return readConfig(c.file, o)
}

// ask puts a question to the service. Where nobody answers control.ErrNobody is matched, or control.ErrSilent.
func (c *client) ask(ctx context.Context, op string, args, result any, progress func(json.RawMessage)) error {
	place, err := c.place()
	if err != nil {
		return err
	}
	err = control.Call(ctx, place, op, args, result, progress)
	switch {
	case errors.Is(err, control.ErrNobody):
		return cli.Hint(err, fmt.Sprintf("start it: systemctl start tresor, or %s serve", program))
	case errors.Is(err, control.ErrSilent):
		return cli.Hint(err, "`tresor status` says what is known of it; its own log says more (journalctl -u tresor)")
	case errors.Is(err, fs.ErrPermission):
		return cli.Hint(err, fmt.Sprintf("whoever may write to %s may command the service: root, and the group that it belongs to", place))
	}
	return err
}

// readConfig reads a configuration; what is wrong with it has its own exit code.
func readConfig(file string, o config.Outside) (*config.Config, error) {
	c, err := config.Load(file, o)
	var wrong config.Mistakes
	switch {
	case errors.As(err, &wrong):
		return nil, cli.Hint(cli.Exit(cli.ExitConfig, err), "tresor config check "+file)
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Hint(cli.Exit(cli.ExitConfig, err), "`tresor setup` makes a first configuration, `tresor config example` shows one")
	case err != nil:
		return nil, cli.Exit(cli.ExitConfig, err)
	}
	return c, nil
}

// mayNot adds what a user can do who is not allowed to do something.
func mayNot(err error) error {
	if errors.Is(err, fs.ErrPermission) && cli.HintOf(err) == "" && os.Geteuid() != 0 {
		return cli.Hint(err, "this user may not: try again as root (sudo)")
	}
	return err
}

// say prints a result: as JSON, or as the text.
func (c *client) say(s Streams, v any, text func(p *printer)) error {
	if c.json {
		return cli.JSON(s.Out, v)
	}
	p := newPrinter(s.Out)
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
