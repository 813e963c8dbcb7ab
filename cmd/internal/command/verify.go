package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/verify"
)

func verifyVerb() *Verb {
	return &Verb{
		Name: "verify", Args: "FILE... [--against OUTSIDE [--read]] [--json]",
		Short: "Compares files of a volume with their hashes, or one with a file outside by reading only that.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "all files are what they should be"},
			{Code: cli.ExitFailure, Text: "a file could not be verified, or was written meanwhile"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "another process owns the volume"},
			{Code: cli.ExitCorrupt, Text: "something is lost, cannot be read, or differs; or a volume or file is damaged"},
			{Code: cli.ExitNoVolume, Text: "there is no such file, or no volume"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted"},
		},
		new: func() runner { return new(verifyFiles) },
	}
}

type verifyFiles struct {
	against    string
	read, json bool
}

func (v *verifyFiles) Flags(f *pflag.FlagSet) {
	f.StringVar(&v.against, "against", "", "compare with this file, of which only it is read, not the stored blocks")
	f.BoolVar(&v.read, "read", false, "with --against: read the stored blocks as well")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
}

// verified is the outcome for one file.
type verified struct {
	Path    string         `json:"path"`
	Good    bool           `json:"good"`
	Stored  *verify.Report `json:"stored,omitempty"`
	Outside *verify.Report `json:"against,omitempty"`
	Seconds float64        `json:"seconds"`
	Error   string         `json:"error,omitempty"`
}

func (v *verifyFiles) Run(ctx context.Context, s Streams, args []string) error {
	switch {
	case len(args) == 0:
		return arguments("want at least one file")
	case v.against != "" && len(args) != 1:
		return arguments("--against takes one file, have %d", len(args))
	case v.read && v.against == "":
		return arguments("--read goes with --against only; without that the stored blocks are read in any case")
	}
	progress := cli.NewProgress(s.Err, "verify", cli.Interval)
	defer progress.Done()
	var list []*verified
	var first error
	good, damaged := true, false
	for _, name := range args {
		res, err := v.one(ctx, name, s.Err, progress)
		progress.Done()
		list = append(list, res)
		good, damaged = good && res.Good, damaged || res.damaged()
		if err != nil {
			res.Error = err.Error()
			if first != nil { // the last line of the command is for the first
				cli.Note(s.Err, "verify", "%v", err)
			} else {
				first = err
			}
		}
		if !v.json {
			if err := verifyText(s.Out, res); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if v.json {
		if err := cli.JSON(s.Out, map[string]any{"good": good && first == nil, "files": list}); err != nil {
			return errors.Join(first, err)
		}
	}
	switch {
	case damaged && ctx.Err() == nil:
		return cli.Exit(cli.ExitCorrupt, first)
	case !good && first == nil: // written meanwhile: a line says so
		return cli.Exit(cli.ExitFailure, nil)
	}
	return first
}

// damaged tells whether something was found.
func (v *verified) damaged() bool {
	return v.Stored != nil && v.Stored.Damaged() || v.Outside != nil && v.Outside.Damaged()
}

// one verifies one file; the result says what was found by the time of an error.
func (v *verifyFiles) one(ctx context.Context, name string, warn io.Writer, progress *cli.Progress) (*verified, error) {
	res := &verified{Path: name, Good: true}
	t, err := verifyTarget(name)
	if err != nil {
		return res, err
	}
	if v.against != "" && t.Refresh == nil {
		idx, err := readIndex(t.File)
		if err != nil {
			cli.Note(warn, "verify", "the index cannot be read, and is not compared: %v", err)
		} else {
			defer idx.Close()
			table := idx.Table()
			t.Known = func(h *blockhash.Hash) (format.Address, bool) {
				a, _, ok := table.Lookup(h)
				return a, ok
			}
		}
	}
	begin := time.Now()
	defer func() { res.Seconds = time.Since(begin).Seconds() }()
	o := verify.Options{Progress: progress.Stage}
	if v.against != "" {
		out, err := verify.OpenOutside(v.against)
		if err != nil {
			return res, err
		}
		res.Outside, err = verify.Against(ctx, t, out, o)
		res.Good = res.Outside.Good()
		if err = errors.Join(err, out.Close()); err != nil {
			return res, err
		}
	}
	if v.against == "" || v.read {
		res.Stored, err = verify.Stored(ctx, t, o)
		res.Good = res.Good && res.Stored.Good()
	}
	return res, err
}

// rate is bytes a second as text.
func rate(bytes uint64, seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	return fmt.Sprintf("%s/s", format.FormatSize(int64(float64(bytes)/seconds)))
}
