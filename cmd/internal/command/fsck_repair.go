package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/pack"
)

// repairResult is the JSON form of a repair, and of the pack after it.
type repairResult struct {
	Exit   int          `json:"exit"`
	Result *fsck.Result `json:"result,omitempty"`
	Files  []string     `json:"files"` // the lines of corrupted.txt, up to fsck.MaxReports
	Pack   *pack.Result `json:"pack,omitempty"`
	Error  string       `json:"error,omitempty"`
}

// runRepair repairs, packs, prints, and keeps the report. What was done before an error is printed all the same.
func (v *fsckVolume) runRepair(ctx context.Context, s Streams, p *index.Parent) error {
	out := repairResult{Files: []string{}}
	err := v.target.find(v.report, p)
	if err != nil {
		return err
	}
	err = v.work(ctx, s, p, &out)
	if err != nil {
		out.Exit, out.Error = int(fsck.Errors), err.Error()
	}
	if out.Result != nil {
		if err == nil {
			out.Exit = int(out.Result.Status())
		}
		for i := range out.Result.Reports {
			out.Files = append(out.Files, out.Result.Reports[i].String())
		}
	}
	if e := v.keep(&out); e != nil {
		err = errors.Join(err, fmt.Errorf("write the report: %w", e))
		out.Exit, out.Error = int(fsck.Errors), err.Error()
	}
	if v.json && (err == nil || out.Result != nil) {
		err = errors.Join(err, cli.JSON(s.Out, out))
	}
	if err == nil && out.Exit != int(fsck.OK) {
		err = cli.Exit(cli.Code(out.Exit), nil)
	}
	return err
}

// work is the repair and the pack. A pack that was begun is finished first: until then nobody else may touch the volume. A rebuild that is
// forced gives it up.
func (v *fsckVolume) work(ctx context.Context, s Streams, p *index.Parent, out *repairResult) (err error) {
	there, err := pack.Unfinished(p)
	if err != nil {
		return err
	}
	o := pack.Options{DryRun: v.dryRun}
	if v.verbose {
		o.Log = func(line string) { cli.Note(s.Err, "fsck", "%s", line) }
	}
	if v.progress {
		progress := cli.NewProgress(s.Err, "fsck", cli.Interval)
		o.Progress = progress.Stage
		defer progress.Done()
	}
	switch {
	case there && v.force && v.mode().Rebuilds() && !v.dryRun:
		err = pack.Abandon(p)
	case there && v.pack:
		out.Pack, err = pack.Resume(ctx, p, o)
		if err == nil && v.dryRun {
			return v.printPack(s, p, out.Pack)
		}
	}
	if err != nil {
		return err
	}
	volume, done, err := v.volume(p, s)
	if err != nil {
		return err
	}
	out.Result, err = fsck.Repair(ctx, volume, fsck.RepairOptions{Mode: v.mode(), Force: v.force, DryRun: v.dryRun})
	done()
	if err == nil && !v.json {
		err = printRepair(s, volume, out.Result)
	}
	if err != nil || !v.pack {
		return err
	}
	return v.runPack(ctx, s, p, o, out)
}

// runPack packs after a repair that saw everything.
func (v *fsckVolume) runPack(ctx context.Context, s Streams, p *index.Parent, o pack.Options, out *repairResult) error {
	if out.Result.Incomplete {
		cli.Note(s.Err, "fsck", "the block file is not packed: some files could not be read or written")
		return nil
	}
	r, err := pack.Run(ctx, p, o)
	if v.dryRun && errors.Is(err, format.ErrCorrupt) {
		cli.Note(s.Err, "fsck", "what the pack would do is known only after the repair")
		return nil
	}
	if err != nil {
		return err
	}
	if out.Pack != nil { // one that was gone on with
		r.Moved += out.Pack.Moved
		r.Rounds += out.Pack.Rounds
		r.Cut += out.Pack.Cut
		r.GivenBack += out.Pack.GivenBack
		r.Resumed = true
	}
	out.Pack = r
	return v.printPack(s, p, r)
}

func (v *fsckVolume) printPack(s Streams, p *index.Parent, r *pack.Result) error {
	if v.json || r == nil {
		return nil
	}
	packed := "packed"
	if v.dryRun {
		packed = "would pack"
	}
	_, err := fmt.Fprintf(s.Out, "%s %s: %s in use, %d moved, block file shorter by %s, %s given back\n", packed, p.BlocksPath,
		format.Count(r.Used, "block"), r.Moved, format.FormatSize(r.Cut), format.FormatSize(r.GivenBack))
	return err
}

// keep writes the report to the file that was asked for.
func (v *fsckVolume) keep(out *repairResult) error {
	if v.report == "" {
		return nil
	}
	var b bytes.Buffer
	if err := cli.JSON(&b, out); err != nil {
		return err
	}
	return v.target.write(b.Bytes())
}

// printRepair prints what was done, or would be.
func printRepair(s Streams, volume *fsck.Volume, r *fsck.Result) error {
	was, were, repaired, fixed := "was", "were", "repaired", "fixed"
	if r.DryRun {
		was, were, repaired, fixed = "would be", "would be", "would repair", "to be fixed"
	}
	be := func(n uint64) string {
		if n == 1 {
			return was
		}
		return were
	}
	for i := range r.Reports {
		report := &r.Reports[i]
		fmt.Fprintln(s.Out, report.Moved())
		if report.Err != nil {
			cli.Note(s.Err, "fsck", "%v", report.Err)
		}
	}
	for _, note := range []struct {
		on   bool
		text string
	}{
		{r.More > 0, fmt.Sprintf("and %d more: .ddumbfs/corrupted.txt has them all", r.More)},
		{r.IndexMade, fmt.Sprintf("the index was missing or unusable and %s made anew: %s", was, volume.IndexPath)},
		{r.HeadMade, fmt.Sprintf("header and zero block of the block file %s written again: %s", were, volume.BlocksPath)},
		{r.Believed > 0, fmt.Sprintf("%s %s taken over on the word of the files, without hashing", format.Count(r.Believed, "block"), be(r.Believed))},
		{r.Searched > 0, fmt.Sprintf("%s read in search of lost content", format.Count(r.Searched, "more block"))},
		{r.Unreadable > 0, fmt.Sprintf("%d of %s could not be read", r.Unreadable, format.Count(r.Suspects+r.Searched, "hashed block"))},
		{r.Quarantined > 0, fmt.Sprintf("files without a usable header %s moved to %[3]s: %[2]d; what they refer to stays in use", were, r.Quarantined, volume.Dir+"/"+format.QuarantineName)},
		{r.Incomplete, "some files could not be read or written: nothing " + was + " freed"},
		{!r.Mode.Rebuilds(), "blocks about which index and files agree are not read by this: fsck -C, or a scrub, finds those that have decayed, fsck -r puts right what can be"},
	} {
		if note.on {
			fmt.Fprintln(s.Out, note.text)
		}
	}
	_, err := fmt.Fprintf(s.Out, "%s %s: %s, %s in use, %s hashed, %s %s, %d damaged\n", repaired, volume.Dir, format.Count(r.Files, "file"),
		format.Count(r.Used, "block"), format.Count(r.Suspects, "doubtful block"), format.Count(r.FilesFixed, "file"), fixed, r.FilesDamaged)
	return err
}
