package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/fsck"
)

func fsckVerb() *Verb {
	return &Verb{
		Name: "fsck", Calls: []string{"fsckddumbfs"}, Args: "-c|-C|-n|-N|-r|-R [-k] [OPTION...] PARENT",
		Short: "Checks a volume, repairs it, or rebuilds its index.",
		Codes: []cli.Meaning{
			{Code: cli.FsckOK, Text: "no error; of a repair: everything is in order now"},
			{Code: cli.FsckErrors, Text: "errors were found; or the check or repair could not be done, a wrong command line included"},
			{Code: cli.FsckDamaged, Text: "the volume is sound, but files are damaged: they have lost blocks or a bad header, or were moved to the quarantine just now"},
			{Code: cli.FsckNoVolume, Text: "there is no volume"},
		},
		new:    func() runner { return new(fsckVolume) },
		codeOf: cli.FsckCodeOf,
	}
}

type fsckVolume struct {
	check, hashes                      bool
	repair, trust, rebuild, rebuildAll bool
	pack, force, dryRun                bool
	verbose, progress                  bool
	index, blocks, report              string
	target                             reportTarget
	mounted                            bool // what is checked is in use
	decayed                            bool // found by a check: blocks that are not what index and files say
	json                               bool
}

func (v *fsckVolume) Flags(f *pflag.FlagSet) {
	f.BoolVarP(&v.check, "check", "c", false, "check index and files; changes nothing")
	f.BoolVarP(&v.hashes, "check-hashes", "C", false, "as -c, and hash every block")
	f.BoolVarP(&v.repair, "repair", "n", false, "repair: hash what is in doubt and put index, files and free list right")
	f.BoolVarP(&v.trust, "repair-trusting", "N", false, "as -n, but take what all files say with one voice for true, without hashing")
	f.BoolVarP(&v.rebuild, "rebuild", "r", false, "make the index anew: hash every block that files refer to")
	f.BoolVarP(&v.rebuildAll, "rebuild-all", "R", false, "make the index anew: hash every block of the block file")
	f.BoolVarP(&v.pack, "pack", "k", false, "pack the block file after the repair; ignored with -c and -C")
	f.BoolVarP(&v.force, "force", "f", false, "repair where it is refused: a block file without its header, a cut one, an index path with something else")
	f.BoolVar(&v.dryRun, "dry-run", false, "of a repair: find out and print what it would do, and change nothing")
	f.BoolVarP(&v.verbose, "verbose", "v", false, "say what is being done on the error stream")
	f.BoolVarP(&v.progress, "progress", "p", false, "show progress on the error stream")
	f.BoolP("lock-index", "l", false, "accepted, without effect")
	f.BoolP("debug", "d", false, "accepted, without effect")
	f.StringVar(&v.index, "index", "", "index `FILE` to use instead of the configured one; it counts as not closed cleanly")
	f.StringVar(&v.blocks, "blocks", "", "block `FILE` to use instead of the configured one")
	f.BoolVar(&v.json, "json", false, "print one JSON object instead of text")
	f.StringVar(&v.report, "report", "", "of a repair: write the JSON object to this `FILE` as well")
}

func (v *fsckVolume) Run(ctx context.Context, s Streams, args []string) error {
	path, err := oneArgument(args, "parent directory")
	if err == nil {
		err = v.oneMode()
	}
	if err != nil {
		return err
	}
	p, err := v.acquire(path)
	if err != nil {
		return err
	}
	defer p.Close()
	if v.changes() {
		return v.runRepair(ctx, s, p)
	}
	volume, done, err := v.volume(p, s)
	if err != nil {
		return err
	}
	defer done()
	advice := "ddumbfs fsck -n " + p.Dir + " repairs it"
	if mnt, ok := index.MountOf(p.Dir); ok {
		v.mounted = true
		cli.Note(s.Err, "fsck", "warning: the volume is mounted on %s; what is not written yet looks like damage", mnt)
		advice = "the volume is in use: unmount it and check again before you repair anything"
		if deadMount(mnt) {
			advice = deadAdvice(mnt)
		}
	}
	err = v.runCheck(ctx, s, volume)
	if v.decayed && strings.HasPrefix(advice, "ddumbfs fsck -n") {
		advice = "blocks have decayed: ddumbfs fsck -r " + p.Dir + " hashes all of them and puts right what can be; -n relies on those about which index and files agree"
	}
	if exit := (*cli.ExitError)(nil); errors.As(err, &exit) && exit.Code == cli.FsckErrors || errors.Is(err, format.ErrCorrupt) {
		err = cli.Hint(err, advice)
	}
	return err
}

// changes tells whether a mode is given that changes the volume.
func (v *fsckVolume) changes() bool { return v.repair || v.trust || v.rebuild || v.rebuildAll }

// mode is what a repair relies on.
func (v *fsckVolume) mode() fsck.Mode {
	switch {
	case v.trust:
		return fsck.Trusting
	case v.rebuild:
		return fsck.Rebuild
	case v.rebuildAll:
		return fsck.RebuildAll
	}
	return fsck.Normal
}

func (v *fsckVolume) oneMode() error {
	modes := 0
	for _, on := range []bool{v.check, v.hashes, v.repair, v.trust, v.rebuild, v.rebuildAll} {
		if on {
			modes++
		}
	}
	switch {
	case modes != 1:
		return arguments("want exactly one of -c, -C, -n, -N, -r and -R, have %d", modes)
	case !v.changes() && v.dryRun:
		return arguments("--dry-run goes with -n, -N, -r or -R: a check changes nothing")
	case !v.changes() && v.report != "":
		return arguments("--report goes with -n, -N, -r or -R")
	}
	return nil
}

// acquire opens the parent, for a repair as its owner.
func (v *fsckVolume) acquire(path string) (*index.Parent, error) {
	mode := index.Read
	if v.changes() {
		mode = index.Write
	}
	p, err := index.Acquire(index.Location{Parent: path, Index: v.index, Blocks: v.blocks}, mode)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Exit(cli.FsckNoVolume, err)
	}
	return p, explainBusy(err, path)
}

// volume describes the volume to package fsck; done ends the progress line.
func (v *fsckVolume) volume(p *index.Parent, s Streams) (*fsck.Volume, func(), error) {
	volume := fsck.Of(p)
	if err := volume.LoadState(); err != nil {
		return nil, nil, err
	}
	switch {
	case !v.json && !v.changes():
		// As the original, whose output scripts keep: everything goes to the output stream.
		for _, line := range []string{"root directory: " + p.Root, "blockfile: " + p.BlocksPath, "indexfile: " + p.IndexPath} {
			fmt.Fprintln(s.Out, line)
		}
		volume.Log = func(line string) { fmt.Fprintln(s.Out, line) }
	case v.verbose:
		volume.Log = func(line string) { cli.Note(s.Err, "fsck", "%s", line) }
	}
	if !v.progress {
		return volume, func() {}, nil
	}
	progress := cli.NewProgress(s.Err, "fsck", cli.Interval)
	volume.Progress = progress.Stage
	return volume, progress.Done, nil
}
