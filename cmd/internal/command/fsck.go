package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/fsck"
)

func fsckVerb() *Verb {
	return &Verb{
		Name: "fsck", Calls: []string{"fsckddumbfs"}, Args: "-c|-C|-n [OPTION...] PARENT",
		Short: "Checks a volume, or repairs it.",
		Codes: []cli.Meaning{
			{Code: cli.FsckOK, Text: "no error; of a repair: everything is in order now"},
			{Code: cli.FsckErrors, Text: "errors were found; or the check or repair could not be done, a wrong command line included"},
			{Code: cli.FsckDamaged, Text: "the volume is sound, but files are damaged: they have lost blocks or a bad header"},
			{Code: cli.FsckNoVolume, Text: "there is no volume"},
		},
		new:    func() runner { return new(fsckVolume) },
		codeOf: cli.FsckCodeOf,
	}
}

type fsckVolume struct {
	check, hashes, repair bool
	verbose, progress     bool
	index, blocks         string
	json                  bool
}

func (v *fsckVolume) Flags(f *pflag.FlagSet) {
	f.BoolVarP(&v.check, "check", "c", false, "check index and files; changes nothing")
	f.BoolVarP(&v.hashes, "check-hashes", "C", false, "as -c, and hash every block")
	f.BoolVarP(&v.repair, "repair", "n", false, "repair: hash what is in doubt and put index, files and free list right")
	f.BoolVarP(&v.verbose, "verbose", "v", false, "say what is being done on the error stream")
	f.BoolVarP(&v.progress, "progress", "p", false, "show progress on the error stream")
	f.BoolP("lock-index", "l", false, "accepted, without effect")
	f.BoolP("debug", "d", false, "accepted, without effect")
	f.BoolP("force", "f", false, "accepted, without effect")
	f.StringVar(&v.index, "index", "", "index `FILE` to use instead of the configured one; it counts as not closed cleanly")
	f.StringVar(&v.blocks, "blocks", "", "block `FILE` to use instead of the configured one")
	f.BoolVar(&v.json, "json", false, "print one JSON object instead of text")
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
	volume, done, err := v.volume(p, s)
	if err != nil {
		return err
	}
	defer done()
	if v.repair {
		return v.runRepair(ctx, s, volume)
	}
	advice := "ddumbfs fsck -n " + p.Dir + " repairs it"
	if mnt, ok := index.MountOf(p.Dir); ok {
		cli.Note(s.Err, "fsck", "warning: the volume is mounted on %s; what is not written yet looks like damage", mnt)
		advice = "the volume is in use: unmount it and check again before you repair anything"
		if deadMount(mnt) {
			advice = deadAdvice(mnt)
		}
	}
	err = v.runCheck(ctx, s, volume)
	if exit := (*cli.ExitError)(nil); errors.As(err, &exit) && exit.Code == cli.FsckErrors {
		err = cli.Hint(err, advice)
	}
	return err
}

func (v *fsckVolume) oneMode() error {
	modes := 0
	for _, on := range []bool{v.check, v.hashes, v.repair} {
		if on {
			modes++
		}
	}
	if modes != 1 {
		return arguments("want exactly one of -c, -C and -n, have %d", modes)
	}
	return nil
}

// acquire opens the parent, for a repair as its owner.
func (v *fsckVolume) acquire(path string) (*index.Parent, error) {
	mode := index.Read
	if v.repair {
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
	case !v.json && !v.repair:
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

// checkResult is the JSON form of a check.
type checkResult struct {
	Status   string        `json:"status"`
	Exit     int           `json:"exit"`
	Summary  *fsck.Summary `json:"summary"`
	Findings []string      `json:"findings"`
}

func (v *fsckVolume) runCheck(ctx context.Context, s Streams, volume *fsck.Volume) error {
	findings := []string{}
	found := func(f fsck.Finding) { fmt.Fprintln(s.Out, f) }
	if v.json {
		found = func(f fsck.Finding) { findings = append(findings, f.String()) }
	}
	sum, err := fsck.Check(ctx, volume, fsck.CheckOptions{Hashes: v.hashes, Found: found})
	if err != nil {
		return err
	}
	if v.json {
		err = cli.JSON(s.Out, checkResult{sum.StatusText(), int(sum.Status()), sum, findings})
	} else {
		err = sum.Print(s.Out)
	}
	if err == nil && sum.Status() != fsck.OK {
		err = cli.Exit(cli.Code(sum.Status()), nil)
	}
	return err
}

// repairResult is the JSON form of a repair.
type repairResult struct {
	Exit   int          `json:"exit"`
	Result *fsck.Result `json:"result"`
	Files  []string     `json:"files"` // the lines of corrupted.txt
}

func (v *fsckVolume) runRepair(ctx context.Context, s Streams, volume *fsck.Volume) error {
	r, err := fsck.Repair(ctx, volume, fsck.RepairOptions{})
	if err != nil {
		return err
	}
	if v.json {
		lines := []string{}
		for i := range r.Reports {
			lines = append(lines, r.Reports[i].String())
		}
		err = cli.JSON(s.Out, repairResult{int(r.Status()), r, lines})
	} else {
		err = printRepair(s, volume, r)
	}
	if err == nil && r.Status() != fsck.OK {
		err = cli.Exit(cli.Code(r.Status()), nil)
	}
	return err
}

func printRepair(s Streams, volume *fsck.Volume, r *fsck.Result) error {
	for i := range r.Reports {
		report := &r.Reports[i]
		fmt.Fprintln(s.Out, report)
		if report.Err != nil {
			cli.Note(s.Err, "fsck", "%v", report.Err)
		}
	}
	if r.IndexMade {
		fmt.Fprintf(s.Out, "the index was missing or unusable and was made anew: %s\n", volume.IndexPath)
	}
	if r.Unreadable > 0 {
		fmt.Fprintf(s.Out, "%d of %d doubtful blocks could not be read\n", r.Unreadable, r.Suspects)
	}
	if r.Incomplete {
		fmt.Fprintln(s.Out, "some files could not be read or written: nothing was freed")
	}
	_, err := fmt.Fprintf(s.Out, "repaired %s: %d files, %d blocks in use, %d doubtful blocks hashed, %d files fixed, %d damaged\n",
		volume.Dir, r.Files, r.Used, r.Suspects, len(r.Reports)-r.Damaged(), r.Damaged())
	return err
}
