package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/pack"
	"tresor/index/resize"
)

func resizeVerb() *Verb {
	return &Verb{
		Name: "resize", Args: "[OPTION...] PARENT",
		Short: "Grows or shrinks a volume in place, or moves its index.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "done, or with --dry-run planned"},
			{Code: cli.ExitFailure, Text: "could not be done; the message says whether to run it again"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "the volume is mounted, or another process owns it"},
			{Code: cli.ExitCorrupt, Text: "the volume is damaged or was not closed cleanly: nothing was changed"},
			{Code: cli.ExitNoSpace, Text: "too small for the blocks in use, or no room on the disk below"},
			{Code: cli.ExitNoVolume, Text: "there is no volume, or a part of it is missing"},
			{Code: cli.ExitUnsupported, Text: "hash and block size cannot be changed in place, or a volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted; if it had begun, running it again goes on"},
		},
		new: func() runner { return new(resizeVolume) },
	}
}

type resizeVolume struct {
	o         resize.Options
	size      sizeValue
	blockSize sizeValue
	hash      string
	reuse     string
	json      bool
	finished  bool // an unfinished pack was found
}

func (v *resizeVolume) Flags(f *pflag.FlagSet) {
	f.VarP(&v.size, "size", "s", "new `SIZE` of the block file, with k, M, G or T")
	f.Float64VarP(&v.o.Overflow, "overflow", "o", 0, "slots of the index for each block, 1.1 to 10")
	f.StringVarP(&v.o.Index, "index", "i", "", "where the index is to lie: a new `FILE` or a blank block device; below PARENT unless absolute")
	f.StringVarP(&v.o.Blocks, "blocks", "b", "", "`FILE` or device where the block file lies now; it is not moved")
	f.StringVar(&v.reuse, "reuse-asap", "", "`0` or 1: whether freed blocks are filled first")
	f.StringVarP(&v.hash, "hash", "H", "", "refused: a `HASH` is changed by copying")
	f.VarP(&v.blockSize, "block-size", "B", "refused: a block `SIZE` is changed by copying")
	f.BoolVar(&v.o.DryRun, "dry-run", false, "say what would be done and change nothing")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
}

func (v *resizeVolume) Run(ctx context.Context, s Streams, args []string) error {
	path, err := oneArgument(args, "parent directory")
	if err == nil {
		err = v.options()
	}
	if err != nil {
		return err
	}
	p, err := index.Acquire(index.Location{Parent: path}, index.Write)
	if err != nil {
		return explainBusy(err, path)
	}
	defer p.Close()
	if err := v.inPlace(p); err != nil {
		return err
	}
	progress := cli.NewProgress(s.Err, "resize", cli.Interval)
	defer progress.Done()
	v.o.Progress = progress.Stage
	v.o.Pack = func(ctx context.Context, p *index.Parent) error { return v.pack(ctx, s, p) }
	r, err := resize.Run(ctx, p, v.o)
	progress.Done()
	if err != nil {
		return v.explain(p, err)
	}
	if v.json {
		return cli.JSON(s.Out, v.result(r))
	}
	return v.print(s, r)
}

// pack moves all blocks to the front. One that somebody else had begun is finished by that, although nobody asked for it.
func (v *resizeVolume) pack(ctx context.Context, s Streams, p *index.Parent) error {
	begun, err := pack.Unfinished(p)
	if err != nil {
		return err
	}
	if begun {
		v.finished = true
		cli.Note(s.Err, "resize", "a pack of %s was begun and did not finish: it is finished first", p.Dir)
	}
	_, err = pack.Run(ctx, p, pack.Options{Progress: v.o.Progress})
	return err
}

func (v *resizeVolume) options() error {
	v.o.Size = int64(v.size)
	switch v.reuse {
	case "":
	case "0", "1":
		on := v.reuse == "1"
		v.o.ReuseASAP = &on
	default:
		return arguments("--reuse-asap %q: want 0 or 1", v.reuse)
	}
	return nil
}

// inPlace refuses what takes reading and storing every file anew.
func (v *resizeVolume) inPlace(p *index.Parent) error {
	other := v.hash != "" && v.hash != p.Config.Hash || v.blockSize != 0 && int(v.blockSize) != p.Config.BlockSize
	if !other {
		return nil
	}
	hash, size := p.Config.Hash, sizeValue(p.Config.BlockSize)
	if v.hash != "" {
		hash = v.hash
	}
	if v.blockSize != 0 {
		size = v.blockSize
	}
	return cli.Hint(format.Mark(format.ErrUnsupported, errors.New("hash and block size cannot be changed in place: every block would get another name")),
		fmt.Sprintf("ddumbfs mkfs -H %s -B %s NEW makes an empty volume, and ddumbfs migrate %s NEW copies every file into it", hash, size.String(), p.Dir))
}

// explain adds to an error what to do next.
func (v *resizeVolume) explain(p *index.Parent, err error) error {
	if errors.Is(err, index.ErrUnclean) {
		return cli.Hint(cli.Exit(cli.ExitCorrupt, err), "ddumbfs fsck -n "+p.Dir+" repairs it; so does a mount")
	}
	if begun, e := p.Has(format.ResizeName); e == nil && begun {
		return cli.Hint(err, "the resize has begun: ddumbfs resize "+p.Dir+" goes on with it; docs/recovery.md says what to do if it cannot")
	}
	return err
}

// resized is the JSON form of a result.
type resized struct {
	Parent    string   `json:"parent"`
	DryRun    bool     `json:"dry_run"`
	Unchanged bool     `json:"unchanged"`
	Resumed   bool     `json:"resumed"`
	Packed    bool     `json:"packed"`
	Finished  bool     `json:"pack_finished"` // one that had been begun before
	Used      uint64   `json:"blocks_used"`
	LastUsed  uint64   `json:"last_used_block"`
	Files     uint64   `json:"files_rewritten"`
	Entries   uint64   `json:"entries_rewritten"`
	Gone      []string `json:"gone"`
	Left      []string `json:"left"`
	Old       values   `json:"old"`
	New       values   `json:"new"`
}

func (v *resizeVolume) result(r *resize.Result) *resized {
	return &resized{Parent: r.Dir, DryRun: v.o.DryRun, Unchanged: r.Unchanged, Resumed: r.Resumed, Packed: r.Packed, Finished: v.finished, Used: r.Used, LastUsed: r.LastUsed,
		Files: r.Files, Entries: r.Entries, Gone: append([]string{}, r.Gone...), Left: append([]string{}, r.Left...),
		Old: parseValues(string(r.Old.Marshal())), New: parseValues(string(r.New.Marshal()))}
}

func (v *resizeVolume) print(s Streams, r *resize.Result) error {
	if r.Unchanged {
		_, err := fmt.Fprintf(s.Out, "%s is as asked for already\n", r.Dir)
		return err
	}
	will := "was"
	if v.o.DryRun {
		will = "would be"
	}
	if r.Packed {
		fmt.Fprintf(s.Out, "the %d blocks in use: moved to the front of the block file\n", r.Used)
	}
	if r.Files > 0 {
		fmt.Fprintf(s.Out, "addresses of %d bytes instead of %d: %d files with %d entries, rewritten in place\n",
			r.New.AddrSize, r.Old.AddrSize, r.Files, r.Entries)
	}
	for _, name := range r.Gone {
		cli.Note(s.Err, "resize", "%q was deleted while it was being rewritten: nothing is left of it to rewrite", name)
	}
	for _, name := range r.Left {
		cli.Note(s.Err, "resize", "%s is of no more use and was left", name)
	}
	line := func(what, old, new string) {
		if old != new {
			fmt.Fprintf(s.Out, "%s: %s -> %s\n", what, old, new)
		}
	}
	line("blocks", fmt.Sprint(r.Old.BlockCount), fmt.Sprint(r.New.BlockCount))
	line("overflow", fmt.Sprintf("%.2f", r.Old.Overflow), fmt.Sprintf("%.2f", r.New.Overflow))
	line("size of the index", format.FormatSize(r.Old.IndexSize), format.FormatSize(r.New.IndexSize))
	line("index", r.Old.IndexFilename, r.New.IndexFilename)
	line("block file", r.Old.BlockFilename, r.New.BlockFilename)
	_, err := fmt.Fprintf(s.Out, "%s %s resized to %d blocks of %s: room for %s of different data\n", r.Dir, will, r.New.BlockCount,
		format.FormatSize(int64(r.New.BlockSize)), format.FormatSize(int64(r.New.BlockCount)*int64(r.New.BlockSize)))
	return err
}
