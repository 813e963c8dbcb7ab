package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/fs/control"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/scrub"
)

func scrubVerb() *Verb {
	return &Verb{
		Name: "scrub", Args: "MNT|PARENT [OPTION...]",
		Short: "Reads all blocks from the disk and proves them; names the files that have lost something.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "done, or the time was up; no bad block is known"},
			{Code: cli.ExitFailure, Text: "could not be done, or not all files could be looked at"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "another process owns the volume"},
			{Code: cli.ExitCorrupt, Text: "there are bad blocks; or the volume was not closed cleanly and is not mounted"},
			{Code: cli.ExitNoSpace, Text: "no room on the disk below"},
			{Code: cli.ExitNoVolume, Text: "there is no volume"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted; the next run goes on"},
		},
		new: func() runner { return new(scrubVolume) },
	}
}

type scrubVolume struct {
	maxRate, maxTime, olderThan string
	status, reset, json         bool
}

func (v *scrubVolume) Flags(f *pflag.FlagSet) {
	f.StringVar(&v.maxRate, "max-rate", "", "read at most so much a second, for instance 50M")
	f.StringVar(&v.maxTime, "max-time", "", "end after so long, for instance 1h; the next run goes on")
	f.StringVar(&v.olderThan, "older-than", "", "only what was not verified for so long, for instance 30d")
	f.BoolVar(&v.status, "status", false, "tell what was verified when, and which blocks are bad, and read nothing")
	f.BoolVar(&v.reset, "reset", false, "begin anew: forget what was verified when")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
}

// arguments makes the options those of the operation.
func (v *scrubVolume) arguments() (a control.ScrubArgs, err error) {
	a.Reset = v.reset
	if v.maxRate != "" {
		if a.MaxRate, err = format.ParseSize(strings.TrimSuffix(v.maxRate, "/s")); err != nil || a.MaxRate <= 0 {
			return a, arguments("--max-rate: want bytes a second, for instance 50M, have %q", v.maxRate)
		}
	}
	for _, o := range []struct {
		name, text string
		to         *float64
	}{{"--max-time", v.maxTime, &a.MaxTime}, {"--older-than", v.olderThan, &a.OlderThan}} {
		if o.text == "" {
			continue
		}
		d, err := parseLong(o.text)
		if err != nil || d <= 0 {
			return a, arguments("%s: want a time such as 90s, 1h30m or 30d, have %q", o.name, o.text)
		}
		*o.to = d.Seconds()
	}
	if v.status && a != (control.ScrubArgs{}) {
		return a, arguments("--status goes with --json only")
	}
	return a, nil
}

// parseLong reads a duration that may also be whole days (d) or weeks (w).
func parseLong(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			count, err := strconv.ParseUint(n, 10, 14)
			return time.Duration(count) * unit, err
		}
	}
	return time.ParseDuration(text)
}

func (v *scrubVolume) Run(ctx context.Context, s Streams, args []string) error {
	name, err := oneArgument(args, "mount point or parent directory")
	if err != nil {
		return err
	}
	a, err := v.arguments()
	if err != nil {
		return err
	}
	t, err := findTarget(name)
	if err != nil {
		return err
	}
	if v.status {
		return v.showStatus(ctx, s, t)
	}
	progress := cli.NewProgress(s.Err, "scrub", cli.Interval)
	defer progress.Done()
	var res *control.ScrubResult
	if t.mount != nil {
		res = new(control.ScrubResult)
		err = askServer(ctx, t.mount, control.OpScrub, &a, res, progress)
	} else {
		res, err = offlineScrub(ctx, t.parent, a, progress)
	}
	progress.Done()
	if res == nil || err != nil && res.Blocks == 0 && !res.Damaged() {
		return err
	}
	if res.Joined {
		cli.Note(s.Err, "scrub", "a scrub was running already, with options of its own; this is its report")
	}
	if perr := v.print(s, res); perr != nil {
		return errors.Join(err, perr)
	}
	if err == nil && res.Damaged() {
		return cli.Exit(cli.ExitCorrupt, nil)
	}
	return err
}

func (v *scrubVolume) print(s Streams, res *control.ScrubResult) error {
	if v.json {
		return cli.JSON(s.Out, res)
	}
	return scrubText(s.Out, &res.Report)
}

// offlineScrub scrubs a volume that is not mounted, and owns it meanwhile.
func offlineScrub(ctx context.Context, path string, a control.ScrubArgs, show *cli.Progress) (res *control.ScrubResult, err error) {
	p, err := index.Acquire(index.Location{Parent: path}, index.Write)
	if err != nil {
		return nil, err
	}
	v, err := index.Open(p, index.Options{}) // takes p over
	if errors.Is(err, index.ErrUnclean) {
		return nil, cli.Hint(cli.Exit(cli.ExitCorrupt, err), "ddumbfs fsck -n "+p.Dir+" repairs it; so does a mount")
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := v.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("close volume: %w", e))
		}
	}()
	o, err := a.Options()
	if err != nil {
		return nil, err
	}
	o.Progress = show.Stage
	rep, err := scrub.Run(ctx, v, o)
	return &control.ScrubResult{Report: *rep}, err
}

// showStatus prints what is known without reading anything.
func (v *scrubVolume) showStatus(ctx context.Context, s Streams, t target) error {
	var res control.ScrubStatus
	if t.mount != nil {
		if err := askServer(ctx, t.mount, control.OpScrubStatus, nil, &res, cli.NewProgress(s.Err, "scrub", cli.Interval)); err != nil {
			return err
		}
	} else if err := offlineStatus(t.parent, &res.Status); err != nil {
		return err
	}
	var err error
	if v.json {
		err = cli.JSON(s.Out, &res)
	} else {
		err = statusText(s.Out, &res)
	}
	if err == nil && len(res.BadBlocks) > 0 {
		return cli.Exit(cli.ExitCorrupt, nil)
	}
	return err
}

func offlineStatus(path string, to *scrub.Status) (err error) {
	p, err := index.Acquire(index.Location{Parent: path}, index.Read)
	if err != nil {
		return err
	}
	v, err := index.Open(p, index.Options{ReadOnly: true}) // takes p over
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	st, err := scrub.ReadStatus(v)
	if err == nil {
		*to = *st
	}
	return err
}
