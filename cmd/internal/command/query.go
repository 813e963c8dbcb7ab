package command

import (
	"context"
	"encoding/hex"
	"strconv"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/query"
)

func queryVerb() *Verb {
	return &Verb{
		Name: "query", Calls: []string{"queryddumbfs"}, Args: "[-n NODE] [-b BLOCK] [-H HASH] [--hash-blocks] PARENT | --file FILE PARENT",
		Short: "Shows who uses a block, an entry of the index or a hash, or what a file is made of.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "printed, also where nothing was found"},
			{Code: cli.ExitFailure, Text: "could not be done; or printed, but something could not be read, so that there may be more"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitCorrupt, Text: "the configuration cannot be read"},
			{Code: cli.ExitNoVolume, Text: "there is no volume, or no such file in it"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted"},
		},
		new: func() runner { return new(queryVolume) },
	}
}

type queryVolume struct {
	node, block, hash, file string
	hashBlocks, json        bool
	index, blocks           string
}

func (v *queryVolume) Flags(f *pflag.FlagSet) {
	f.StringVarP(&v.node, "node", "n", "", "the entry in slot `NODE` of the index, and all that has its address or its hash")
	f.StringVarP(&v.block, "block", "b", "", "block `BLOCK`, and all that has its address or a hash that the index has for it; 1 is what lost blocks have")
	f.StringVarP(&v.hash, "hash", "H", "", "all with a hash that is `HASH` or begins with it, in hexadecimal digits")
	f.StringVar(&v.file, "file", "", "header, size and ranges of blocks of `FILE`, a path relative to the root, and how many of its blocks other files share")
	f.BoolVar(&v.hashBlocks, "hash-blocks", false, "read the blocks and hold them against their entries")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
	f.StringVar(&v.index, "index", "", "index `FILE` to use instead of the configured one")
	f.StringVar(&v.blocks, "blocks", "", "block `FILE` to use instead of the configured one")
	f.BoolP("verbose", "v", false, "accepted, without effect")
	f.BoolP("force", "f", false, "accepted, without effect")
	f.BoolP("lock-index", "l", false, "accepted, without effect")
}

// wanted reads the question.
func (v *queryVolume) wanted() (w query.Wanted, err error) {
	if v.file != "" && v.node+v.block+v.hash != "" || v.file+v.node+v.block+v.hash == "" {
		return w, arguments("want --file, or some of -n, -b and -H")
	}
	if v.node != "" {
		n, err := strconv.ParseUint(v.node, 0, 64)
		if err != nil {
			return w, arguments("node: want a number, have %q", v.node)
		}
		w.Slot = (*format.Slot)(&n)
	}
	if v.block != "" {
		n, err := strconv.ParseUint(v.block, 0, 64)
		if err != nil {
			return w, arguments("block: want a number, have %q", v.block)
		}
		w.Block = (*format.Address)(&n)
	}
	if v.hash == "" {
		return w, nil
	}
	if w.Hash, err = hex.DecodeString(v.hash); err != nil {
		return w, arguments("hash: want an even number of hexadecimal digits, have %q", v.hash)
	}
	return w, nil
}

func (v *queryVolume) Run(ctx context.Context, s Streams, args []string) error {
	path, err := oneArgument(args, "parent directory")
	if err != nil {
		return err
	}
	w, err := v.wanted()
	if err != nil {
		return err
	}
	p, err := index.Acquire(index.Location{Parent: path, Index: v.index, Blocks: v.blocks}, index.Read)
	if err != nil {
		return err
	}
	defer p.Close()
	if mnt, ok := index.MountOf(p.Dir); ok {
		cli.Note(s.Err, "query", "the volume is mounted on %s; what is not written yet is not seen", mnt)
	}
	progress := cli.NewProgress(s.Err, "query", cli.Interval)
	defer progress.Done()
	note := func(line string) {
		progress.Done()
		cli.Note(s.Err, "query", "%s", line)
	}
	incomplete := false
	out := &queryPrinter{w: s.Out, json: v.json, parent: p.Dir}
	if v.file != "" {
		var f *query.File
		if f, err = query.LookAt(ctx, p, v.file, query.FileOptions{Shared: true, Range: out.fileRange, Note: note, Progress: progress.Stage}); err == nil {
			incomplete, err = f.Incomplete, out.file(f)
		}
	} else {
		var sum *query.Summary
		if sum, err = query.Run(ctx, p, w, query.Options{Hash: v.hashBlocks, Entry: out.entry, Block: out.block, Use: out.use, Note: note,
			Progress: progress.Stage}); err == nil {
			incomplete, err = sum.Incomplete, out.summary(sum)
		}
	}
	if err == nil && incomplete {
		err = cli.Exit(cli.ExitFailure, nil)
	}
	return err
}
