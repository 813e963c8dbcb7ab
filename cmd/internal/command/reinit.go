package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/mkfs"
)

func reinitVerb() *Verb {
	return &Verb{
		Name: "reinit", Args: "[OPTION...] PARENT",
		Short: "Makes a new, empty volume in place of an old one, whose files are lost.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "made, and on the disk; with --dry-run: could be made"},
			{Code: cli.ExitFailure, Text: "could not be made, or was not agreed to; also where --force is needed to go on"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "the volume is mounted, or another process owns it"},
			{Code: cli.ExitCorrupt, Text: "its configuration cannot be read"},
			{Code: cli.ExitNoSpace, Text: "no room for the new volume"},
			{Code: cli.ExitNoVolume, Text: "there is no volume"},
			{Code: cli.ExitUnsupported, Text: "no such hash, or no such file type"},
			{Code: cli.ExitInterrupted, Text: "interrupted before anything changed"},
		},
		new: func() runner { return &renewVolume{in: os.Stdin, terminal: onTerminal(os.Stdin)} },
	}
}

type renewVolume struct {
	in       io.Reader // where the answer comes from
	terminal bool      // somebody is there to answer

	o     mkfs.ReinitOptions
	given format.CreateOptions // what the command line says
	size  sizeValue
	blk   sizeValue
	flags *pflag.FlagSet

	yes, json bool
}

func (v *renewVolume) Flags(f *pflag.FlagSet) {
	v.flags = f
	f.BoolVarP(&v.yes, "yes", "y", false, "do not ask: the old volume's files are lost")
	f.BoolVar(&v.o.DryRun, "dry-run", false, "say what would be lost and made, and change nothing")
	f.BoolVarP(&v.o.Force, "force", "f", false, "go over files and devices in place of index and block file that are not this volume's own")
	f.BoolVarP(&v.given.ReuseASAP, "reuse-asap", "a", false, "fill freed blocks first; --reuse-asap=false: not")
	f.StringVarP(&v.given.IndexFilename, "index", "i", "", "index `FILE` or block device")
	f.StringVarP(&v.given.BlockFilename, "blocks", "b", "", "block `FILE` or block device")
	f.StringVarP(&v.given.Hash, "hash", "H", "", "hash function: "+strings.Join(blockhash.Names(), ", "))
	f.VarP(&v.size, "size", "s", "`SIZE` of the block file, with k, M, G or T")
	f.VarP(&v.blk, "block-size", "B", "`SIZE` of a block, a power of two from 512 to 2M")
	f.Float64VarP(&v.given.Overflow, "overflow", "o", 0, "slots of the index for each block, 1.1 to 10")
	f.BoolVar(&v.json, "json", false, "print what was lost and made as JSON")
}

// changes are the options that decide what is made.
func (v *renewVolume) changes() (names []string) {
	for _, name := range []string{"reuse-asap", "index", "blocks", "hash", "size", "block-size", "overflow"} {
		if v.flags.Changed(name) {
			names = append(names, name)
		}
	}
	return names
}

// change puts what the command line says over the options of the old volume.
func (v *renewVolume) change(o *format.CreateOptions) {
	for _, name := range v.changes() {
		switch name {
		case "reuse-asap":
			o.ReuseASAP = v.given.ReuseASAP
		case "index":
			o.IndexFilename = v.given.IndexFilename
		case "blocks":
			o.BlockFilename = v.given.BlockFilename
		case "hash":
			o.Hash = v.given.Hash
		case "size":
			o.Size = int64(v.size)
		case "block-size":
			o.BlockSize = int(v.blk)
		case "overflow":
			o.Overflow = v.given.Overflow
		}
	}
}

func (v *renewVolume) Run(ctx context.Context, s Streams, args []string) error {
	parent, err := oneArgument(args, "parent directory")
	if err != nil {
		return err
	}
	if v.blk > math.MaxInt32 {
		return arguments("block size %d: want at most %d", v.blk, format.MaxBlockSize)
	}
	if v.flags.Changed("overflow") && v.given.Overflow == 0 || v.flags.Changed("hash") && v.given.Hash == "" {
		return arguments("hash and overflow cannot be empty")
	}
	progress := cli.NewProgress(s.Err, "reinit", cli.Interval)
	defer progress.Done()
	v.o.Parent, v.o.Change, v.o.Progress = parent, v.change, progress.Stage
	v.o.Confirm = func(l *mkfs.Loss) error {
		progress.Done()
		return v.confirm(ctx, s, l)
	}
	r, err := mkfs.Reinit(ctx, v.o)
	progress.Done()
	if err != nil {
		return v.explain(err, parent)
	}
	if r.Resumed {
		cli.Note(s.Err, "reinit", "%s", v.resumed())
	}
	for _, name := range r.Left {
		cli.Note(s.Err, "reinit", "%s of the old volume is of no more use and was left", name)
	}
	if v.json {
		return cli.JSON(s.Out, renewed{madeVolume(r.Result), r.Loss, r.Resumed, v.o.DryRun})
	}
	return v.print(s, r)
}

// renewed is the JSON form of a result.
type renewed struct {
	made
	Lost    mkfs.Loss `json:"lost"`
	Resumed bool      `json:"resumed"`
	DryRun  bool      `json:"dry_run"`
}

func (v *renewVolume) resumed() string {
	text := "a reinit was begun and not finished: it is gone on with"
	if names := v.changes(); len(names) > 0 {
		text += "; its options hold, --" + strings.Join(names, ", --") + " of this command line not"
	}
	return text
}

// explain adds what the user can do.
func (v *renewVolume) explain(err error, parent string) error {
	switch {
	case errors.Is(err, mkfs.ErrNotEmpty):
		return cli.Hint(err, "look at the file; --force goes over it")
	case errors.Is(err, mkfs.ErrNoVolume):
		return cli.Hint(err, "ddumbfs mkfs "+parent+" makes the first one")
	case errors.Is(err, format.ErrCorrupt):
		return cli.Hint(err, "ddumbfs mkfs -f "+parent+" makes a volume whatever was there, with the options of its command line")
	}
	return explainBusy(err, parent)
}

func lossText(parent string, l *mkfs.Loss, what string) string {
	text := fmt.Sprintf("the volume in %s %s: %d files with %s", parent, what, l.Files, format.FormatSize(int64(min(l.Bytes, math.MaxInt64))))
	if l.Unreadable > 0 {
		text += fmt.Sprintf(" (%d could not be read and are not counted right)", l.Unreadable)
	}
	if l.Used > 0 {
		text += fmt.Sprintf(", %d blocks in use", l.Used)
	}
	return text + outsideText(l)
}

func outsideText(l *mkfs.Loss) string {
	if len(l.Outside) == 0 {
		return ""
	}
	return "; outside of it are removed or overwritten: " + strings.Join(l.Outside, ", ")
}

func (v *renewVolume) print(s Streams, r *mkfs.Renewed) error {
	if !v.o.DryRun {
		m := makeVolume{}
		return m.print(s, r.Result)
	}
	lost := "an unfinished reinit would be gone on with" + outsideText(&r.Loss)
	if !r.Resumed {
		lost = lossText(r.Dir, &r.Loss, "would be lost")
	}
	_, err := fmt.Fprintf(s.Out, "%s\n%s\nin place of it: index %s, block file %s\n", r.Config.Marshal(), lost, r.IndexPath, r.BlocksPath)
	return err
}
