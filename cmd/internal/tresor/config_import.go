package tresor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/config"
)

func configImportVerb() *Verb {
	return &Verb{
		Name: "config import", Args: "DIR [--out FILE] [--fstab FILE] [--crypttab FILE] [--dry-run] [--json]",
		Short: "Makes a configuration from the predecessor's files, which are read and never executed.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "written, or with --dry-run printed"}, {Code: cli.ExitFailure, Text: "a file could not be read or written"},
			{Code: cli.ExitUsage, Text: "wrong command line"}, {Code: cli.ExitBusy, Text: "a file that would be written is there already; nothing was written"},
			{Code: cli.ExitNoVolume, Text: "a file or directory does not exist"},
			{Code: cli.ExitConfig, Text: "something in the files is not understood; nothing was written"},
		},
		new: func() runner { return new(configImport) },
	}
}

type configImport struct {
	out, fstab, crypttab string
	dry, json            bool
}

func (v *configImport) Flags(f *pflag.FlagSet) {
	f.StringVar(&v.out, "out", config.DefaultFile, "the `file` to write; passwords go into files beside it")
	f.StringVar(&v.fstab, "fstab", "", "the `file` with the disks, mostly /etc/fstab")
	f.StringVar(&v.crypttab, "crypttab", "", "the `file` with the encrypted disks, mostly /etc/crypttab")
	f.BoolVar(&v.dry, "dry-run", false, "print what would be written, and write nothing")
	f.BoolVar(&v.json, "json", false, "print JSON")
}

// imported is the result of `config import`.
type imported struct {
	File     string           `json:"file"`
	Written  bool             `json:"written"`
	Secrets  []string         `json:"secrets"` // files
	Report   []config.Remark  `json:"report"`
	Mistakes []config.Mistake `json:"mistakes"`
	Text     string           `json:"text,omitempty"` // with --dry-run
}

func (v *configImport) Run(_ context.Context, s Streams, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return arguments("want one directory, have %d arguments", len(args))
	}
	file, err := filepath.Abs(v.out)
	if err != nil {
		return err
	}
	result := imported{File: file, Secrets: []string{}, Report: []config.Remark{}, Mistakes: []config.Mistake{}}
	got, err := config.Import(config.ImportOptions{Dir: args[0], Fstab: v.fstab, Crypttab: v.crypttab, Secrets: filepath.Dir(file)})
	var wrong config.Mistakes
	if errors.As(err, &wrong) {
		result.Mistakes = wrong
		err = v.print(s, &result)
		return errors.Join(err, cli.Exit(cli.ExitConfig, fmt.Errorf("%s: %s; nothing was written", args[0], countOf(len(wrong), "mistake"))))
	}
	if err != nil {
		return err
	}
	result.Report = append(result.Report, got.Report...)
	for _, secret := range got.Secrets {
		result.Secrets = append(result.Secrets, secret.File)
	}
	if v.dry {
		result.Text = string(got.Text)
	} else {
		if err := writeImported(file, got); err != nil {
			return err
		}
		result.Written = true
	}
	return v.print(s, &result)
}

// writeImported writes nothing if one of the files is there already. The configuration comes last, so that what it names is there when it is.
func writeImported(file string, got *config.Imported) error {
	names := []string{file}
	for _, secret := range got.Secrets {
		names = append(names, secret.File)
	}
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil {
			return cli.Hint(cli.Exit(cli.ExitBusy, fmt.Errorf("%s is there already; nothing was written", name)), "move it away, or choose another place with --out")
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	for _, secret := range got.Secrets {
		if err := writePrivate(secret.File, []byte(secret.Secret.Reveal()+"\n")); err != nil {
			return err
		}
	}
	return writePrivate(file, got.Text)
}

func (v *configImport) print(s Streams, r *imported) error {
	if v.json {
		return cli.JSON(s.Out, r)
	}
	for _, m := range r.Mistakes {
		if _, err := fmt.Fprintln(s.Out, m.Error()); err != nil {
			return err
		}
	}
	to := s.Out
	if r.Text != "" { // the file alone on the output stream, so that it can be redirected
		to = s.Err
		if _, err := io.WriteString(s.Out, r.Text); err != nil {
			return err
		}
	}
	for _, line := range r.Report {
		if _, err := fmt.Fprintln(to, line.String()); err != nil {
			return err
		}
	}
	if !r.Written {
		return nil
	}
	for _, name := range r.Secrets {
		if _, err := fmt.Fprintf(to, "written: %s (a secret)\n", name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(to, "written: %s\n", r.File)
	return err
}
