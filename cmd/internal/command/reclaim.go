package command

import (
	"context"
	"io"
	"path/filepath"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index/format"
)

func reclaimVerb() *Verb {
	return &Verb{
		Name: "reclaim", Args: "MNT|PARENT [--json]",
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

type reclaimBlocks struct{ json bool }

func (v *reclaimBlocks) Flags(f *pflag.FlagSet) {
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
	if t.mount != nil {
		text, err = readSpecial(ctx, t.mount, "reclaim", func() { progress.Say("reclaim of %s is running", t.mount.Point) })
		err = cli.Hint(err, "the volume's log says why: "+filepath.Join(t.mount.Point, format.SpecialName, format.LogName))
	} else {
		text, err = offlineReclaim(ctx, t.parent, func(what string) { progress.Say("%s", what) })
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
