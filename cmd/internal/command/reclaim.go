package command

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/index"
	"tresor/index/format"
)

func reclaimVerb() *Verb {
	return &Verb{
		Name: "reclaim", Args: "MNT|PARENT [--dry-run] [--json]",
		Short: "Frees the blocks that no file refers to, and prints what it found.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "done"},
			{Code: cli.ExitFailure, Text: "could not be done; nothing that is in use was freed"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "another process owns the volume"},
			{Code: cli.ExitCorrupt, Text: "the volume is inconsistent or was not closed cleanly: nothing was freed"},
			{Code: cli.ExitNoSpace, Text: "no room on the disk below"},
			{Code: cli.ExitNoVolume, Text: "there is no volume"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted"},
		},
		new: func() runner { return new(reclaimBlocks) },
	}
}

type reclaimBlocks struct{ json, dryRun bool }

func (v *reclaimBlocks) Flags(f *pflag.FlagSet) {
	f.BoolVar(&v.dryRun, "dry-run", false, "print the report and free nothing")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
}

func (v *reclaimBlocks) Run(ctx context.Context, s Streams, args []string) error {
	name, err := oneArgument(args, "mount point or parent directory")
	if err != nil {
		return err
	}
	t, err := findTarget(name)
	if err != nil {
		return err
	}
	progress := cli.NewProgress(s.Err, "reclaim", cli.Interval)
	defer progress.Done()
	var text string
	switch {
	case t.mount != nil:
		text, err = onlineReclaim(ctx, t.mount, v.dryRun, progress)
		err = cli.Hint(err, "the volume's log says why: "+filepath.Join(t.mount.Point, format.SpecialName, format.LogName))
	default:
		text, err = offlineReclaim(ctx, t.parent, v.dryRun, progress.Stage)
	}
	progress.Done()
	if v.json && err == nil {
		return cli.JSON(s.Out, parseValues(text))
	}
	if _, werr := io.WriteString(s.Out, text); err == nil {
		err = werr
	}
	return err
}

// onlineReclaim has the serving process reclaim. One without a control socket is asked by reading the special file, which knows no dry run.
func onlineReclaim(ctx context.Context, m *index.Mount, dryRun bool, progress *cli.Progress) (text string, err error) {
	var res control.ReclaimResult
	err = askServer(ctx, m, control.OpReclaim, control.ReclaimArgs{DryRun: dryRun}, &res, progress)
	switch {
	case !errors.Is(err, socket.ErrNobody):
		return res.Text, err
	case dryRun:
		return "", cli.Exit(cli.ExitUnsupported, err)
	}
	return readSpecial(ctx, m, "reclaim", func() { progress.Say("reclaim of %s is running", m.Point) })
}
