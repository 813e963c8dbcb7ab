package tresor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/config"
)

func setupVerb() *Verb {
	return &Verb{
		Name: "setup", Args: "[--config FILE]",
		Short: "Asks what to back up, where to, and whom to tell, and writes the configuration.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "written, or left as it was because the last answer was no"},
			{Code: cli.ExitFailure, Text: "the answers ended too early, or nothing could be written"},
			{Code: cli.ExitUsage, Text: "wrong command line"}, {Code: cli.ExitInterrupted, Text: "interrupted; nothing was written"},
			{Code: cli.ExitConfig, Text: "the file that is there has mistakes; nothing was written"},
		},
		new: func() runner {
			return &setup{blockDevices: "/dev/disk/by-uuid", mounts: "/proc/self/mounts", sizes: "/sys/class/block"}
		},
	}
}

// setup is one conversation. Nothing is written before its last answer.
type setup struct {
	file string

	blockDevices, mounts, sizes string // where disks are found

	ask     *asker
	c       *config.Config
	secrets map[string]string // file to content
}

func (v *setup) Flags(f *pflag.FlagSet) {
	f.StringVar(&v.file, "config", config.DefaultFile, "the `file` to write")
}

func (v *setup) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	file, err := filepath.Abs(v.file)
	if err != nil {
		return err
	}
	v.file, v.secrets = file, map[string]string{}
	if v.c, err = existing(file); err != nil {
		return mayNot(err)
	}
	if err := writable(filepath.Dir(file)); err != nil { // before the questions, not after the last answer
		return mayNot(notWritten(err))
	}
	v.ask = newAsker(ctx, s)
	v.ask.say("Settings of tresor, to be written to %s.\nAn answer in [brackets] is taken with the Enter key. Ctrl-C leaves everything as it is.\n", file)
	for _, part := range []func() error{v.sources, v.servers, v.disks, v.buffer, v.mail, v.schedule} {
		if err := part(); err != nil {
			return notWritten(err)
		}
	}
	return v.finish()
}

// existing reads the file that is there, or starts with the defaults.
func existing(file string) (*config.Config, error) {
	o := outside()
	o.NoSecrets = true
	c, err := config.Load(file, o)
	if errors.Is(err, fs.ErrNotExist) {
		c = config.Default()
		c.File = file
		return c, nil
	}
	if err != nil {
		return nil, cli.Hint(cli.Exit(cli.ExitConfig, err), "repair the file, which `tresor config check` tells how, or move it away")
	}
	return c, nil
}

// writable tells whether files can be made in a directory, or the directory itself. It changes nothing.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			continue
		}
		if err == nil && !info.IsDir() {
			err = unix.ENOTDIR
		} else if err == nil {
			err = unix.Access(dir, unix.W_OK|unix.X_OK)
		}
		if err != nil {
			return fmt.Errorf("write into %s: %w", dir, err)
		}
		return nil
	}
}

func notWritten(err error) error { return fmt.Errorf("nothing was written: %w", err) }

// finish shows the whole and writes it after a yes.
func (v *setup) finish() error {
	if wrong := v.c.Check(outside()); len(wrong) > 0 {
		return notWritten(wrong)
	}
	text := config.Render(v.c)
	v.ask.say("\nThis is the configuration:\n\n%s\n", text)
	yes, err := v.ask.yes("Write it", true)
	if err != nil {
		return notWritten(err)
	}
	if !yes {
		v.ask.say("Nothing was written.\n")
		return nil
	}
	return v.write(text)
}

// write puts the secrets first, so that what the configuration names is there when it is.
func (v *setup) write(text []byte) error {
	if err := os.MkdirAll(filepath.Dir(v.file), 0o700); err != nil {
		return err
	}
	for name, secret := range v.secrets {
		if err := writePrivate(name, []byte(secret+"\n")); err != nil {
			return err
		}
	}
	old, err := keepOld(v.file, time.Now())
	if err != nil {
		return err
	}
	if err := writePrivate(v.file, text); err != nil {
		return err
	}
	if old != "" {
		v.ask.say("The old configuration is %s.\n", old)
	}
	v.ask.say("Written: %s. Next: `tresor config check`, `tresor mail test`, and start the service.\n", v.file)
	return v.ask.failed
}
