package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"tresor/bench/picture"
	"tresor/bench/result"
	"tresor/bench/run"
	"tresor/cmd/internal/cli"
	"tresor/index/format"
)

// flags are the command line before it is understood.
type flags struct {
	o              run.Options
	programs       []string
	only, space    string
	json, svg, png string
}

func (f *flags) set() *pflag.FlagSet {
	s := pflag.NewFlagSet("ddbench", pflag.ContinueOnError)
	s.SortFlags = false
	s.StringArrayVar(&f.programs, "ddumbfs", []string{""}, "`PATH` of the ddumbfs program, or LABEL=PATH to measure several (default: beside ddbench, else in $PATH)")
	s.StringVar(&f.o.Original, "original", "", "`DIR` with the programs of the original, as one more contender")
	s.StringVar(&f.o.Dir, "dir", defaultDir(), "existing `DIR` on the disk to be measured")
	s.IntVar(&f.o.Rounds, "rounds", run.DefaultRounds, "how often everything is measured")
	s.DurationVar(&f.o.Time, "time", run.DefaultTime, "how long all of it may take")
	s.StringVar(&f.space, "space", format.FormatSize(run.DefaultSpace), "how much of the disk may be used at one time; `SIZE`")
	s.IntVar(&f.o.Files, "files", run.DefaultFiles, "how many small files are made, listed, read and removed")
	s.StringVar(&f.only, "only", "", "measure only what matches, of \"WORKLOAD CONTENDER\"; `REGEX`")
	s.BoolVar(&f.o.All, "all", false, "every hash with every block size")
	s.BoolVar(&f.o.Quick, "quick", false, "everything once, in seconds and with little data: shows that it works, not how fast")
	s.StringVar(&f.json, "json", "", "write the record to `FILE`")
	s.StringVar(&f.svg, "svg", "", "write the picture to `FILE`")
	s.StringVar(&f.png, "png", "", "write the picture to `FILE`")
	s.SetOutput(io.Discard) // errors are reported once
	return s
}

// defaultDir is more likely to be on a disk than /tmp.
func defaultDir() string {
	if info, err := os.Stat("/var/tmp"); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		return "/var/tmp"
	}
	return os.TempDir()
}

func (f *flags) parse(args []string) (help string, err error) {
	s := f.set()
	err = s.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return "Usage: ddbench [OPTION...]\n       ddbench compare [--json FILE] A.json [B.json]\n\nMeasures ddumbfs beside what limits it, or compares two " +
			"records, or the programs A:... and B:... of one.\n\n" + s.FlagUsagesWrapped(100), nil
	}
	if err != nil {
		return "", err
	}
	if s.NArg() > 0 {
		return "", fmt.Errorf("want no arguments, have %q", s.Args())
	}
	if f.o.Quick && !s.Changed("rounds") {
		f.o.Rounds = 1
	}
	if f.o.Quick && !s.Changed("files") {
		f.o.Files = run.QuickFiles
	}
	if f.o.Space, err = format.ParseSize(f.space); err != nil {
		return "", fmt.Errorf("--space: %w", err)
	}
	if f.only != "" {
		if f.o.Only, err = regexp.Compile(f.only); err != nil {
			return "", fmt.Errorf("--only: %w", err)
		}
	}
	f.o.Given = map[string]string{}
	s.VisitAll(func(o *pflag.Flag) {
		if !slices.Contains([]string{"json", "svg", "png"}, o.Name) {
			f.o.Given[o.Name] = strings.Trim(o.Value.String(), "[]")
		}
	})
	return "", nil
}

func measure(ctx context.Context, args []string, out, messages io.Writer) error {
	var f flags
	help, err := f.parse(args)
	if err != nil {
		return cli.Hint(cli.Usage(err), "ddbench --help lists the options")
	}
	if help != "" {
		_, err := io.WriteString(out, help)
		return err
	}
	for _, text := range f.programs {
		p, err := run.ParseProgram(text)
		if err != nil {
			return cli.Hint(err, "make build makes it; --ddumbfs names it")
		}
		f.o.Programs = append(f.o.Programs, p)
	}
	if f.o.Program, err = os.Executable(); err != nil {
		return err
	}
	f.o.Progress = messages
	record, err := run.Do(ctx, f.o)
	if record == nil {
		return err
	}
	if err = errors.Join(err, f.write(record, out)); err != nil {
		return cli.Exit(cli.ExitFailure, err)
	}
	return nil
}

// write prints the table and writes the files. An error of one does not keep the others from being written.
func (f *flags) write(r *result.Run, out io.Writer) error {
	errs := []error{r.WriteTable(out)}
	for _, file := range []struct {
		name  string
		write func(io.Writer, *result.Run) error
	}{
		{f.json, func(w io.Writer, r *result.Run) error { return r.WriteJSON(w) }},
		{f.svg, picture.WriteSVG},
		{f.png, picture.WritePNG},
	} {
		if file.name == "" {
			continue
		}
		var text bytes.Buffer
		err := file.write(&text, r)
		if err == nil {
			err = os.WriteFile(file.name, text.Bytes(), 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
