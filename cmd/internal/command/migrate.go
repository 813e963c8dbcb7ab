package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/migrate"
)

func migrateVerb() *Verb {
	return &Verb{
		Name: "migrate", Calls: []string{"migrateddumbfs"}, Args: "[-v] [-p] [-f] [-m] SRC DST",
		Short: "Carries a volume over into a new, empty one of another size, hash or block size.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "done; what is left to do by hand is printed"},
			{Code: cli.ExitFailure, Text: "could not be done; it may be run again"},
			{Code: cli.ExitUsage, Text: "wrong command line; or files that could not be read or are damaged were left out and listed"},
			{Code: cli.ExitBusy, Text: "one of the volumes is mounted, or another process owns it"},
			{Code: cli.ExitCorrupt, Text: "a volume is damaged or was not closed cleanly"},
			{Code: cli.ExitNoSpace, Text: "DST has too few blocks, or no room on the disk below"},
			{Code: cli.ExitNoVolume, Text: "there is no volume, or a part of it is missing"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted; it may be run again"},
		},
		new: func() runner { return new(migrateVolume) },
	}
}

type migrateVolume struct {
	o        migrate.Options
	verbose  bool
	progress bool
	json     bool
}

func (v *migrateVolume) Flags(f *pflag.FlagSet) {
	f.BoolVarP(&v.verbose, "verbose", "v", false, "name every file on the error stream")
	f.BoolVarP(&v.progress, "progress", "p", false, "show progress on the error stream")
	f.BoolVarP(&v.o.Force, "force", "f", false, "go on over files that cannot be read, and list them")
	f.BoolVarP(&v.o.Move, "move", "m", false, "move the block file as well, as the last step")
	f.BoolVar(&v.o.DryRun, "dry-run", false, "look whether everything fits and change nothing")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
}

func (v *migrateVolume) Run(ctx context.Context, s Streams, args []string) (err error) {
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return arguments("want the parent directories of two volumes, have %d arguments", len(args))
	}
	var parents [2]*index.Parent
	for i, path := range args {
		if parents[i], err = v.acquire(path, parents[0]); err != nil {
			return err
		}
		defer parents[i].Close()
	}
	progress := cli.NewProgress(s.Err, "migrate", cli.Interval)
	defer progress.Done()
	if v.progress {
		v.o.Progress = progress.Stage
	}
	if v.verbose {
		v.o.Log = func(line string) { cli.Note(s.Err, "migrate", "%s", line) }
	}
	src, dst := parents[0], parents[1]
	if migrate.Compatible(src, dst) != nil {
		return v.copy(ctx, s, src, dst)
	}
	r, err := migrate.Run(ctx, src, dst, v.o)
	progress.Done()
	if errors.Is(err, index.ErrUnclean) {
		return cli.Exit(cli.ExitCorrupt, err)
	}
	if err != nil {
		return err
	}
	return v.print(s, src, dst, r)
}

// acquire owns one of the volumes: neither may change meanwhile.
func (v *migrateVolume) acquire(path string, other *index.Parent) (*index.Parent, error) {
	p, err := index.Acquire(index.Location{Parent: path}, index.Read)
	if err != nil {
		return nil, err
	}
	if other != nil && p.Dir == other.Dir {
		return nil, arguments("%s is both volumes", p.Dir)
	}
	if p, err = index.Acquire(index.Location{Parent: path}, index.Write); err != nil {
		return nil, explainBusy(err, path)
	}
	return p, nil
}

// copy stores every file anew, where hash or block size differ.
func (v *migrateVolume) copy(ctx context.Context, s Streams, src, dst *index.Parent) (err error) {
	if v.o.Move {
		return arguments("-m: hash or block size differ, so that every file is stored anew and the block file of %s is of no use in %s", src.Dir, dst.Dir)
	}
	if v.o.DryRun {
		_, err := fmt.Fprintf(s.Out, "hash or block size differ: every file of %s would be copied into %s\n", src.Dir, dst.Dir)
		return err
	}
	volume, err := index.Open(dst, index.Options{}) // takes dst over
	if errors.Is(err, index.ErrUnclean) {
		return cli.Hint(cli.Exit(cli.ExitCorrupt, err), "ddumbfs fsck -n "+dst.Dir+" repairs it; then the same command goes on")
	}
	if err != nil {
		return err
	}
	r, err := transfer.CopyTree(ctx, src, volume, transfer.TreeOptions{Force: v.o.Force, Progress: v.o.Progress, Log: v.o.Log})
	closed := volume.Close()
	incomplete := (*transfer.IncompleteError)(nil)
	if errors.As(err, &incomplete) && closed == nil {
		err = cli.Exit(cli.ExitUsage, err)
	}
	if err = errors.Join(err, closed); err != nil && incomplete == nil {
		return err
	}
	if v.json {
		return errors.Join(err, cli.JSON(s.Out, r))
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(s.Out, "%s: %s\n", d.Path, d.Reason)
	}
	fmt.Fprintf(s.Out, "copied %d files, %d further names, %d directories and %d others from %s to %s; "+
		"%d files were there already, %d objects are damaged\n",
		r.Files, r.Links, r.Dirs, r.Others, src.Dir, dst.Dir, r.Skipped, len(r.Damaged))
	return err
}

// migrated is the JSON form of a result.
type migrated struct {
	From       string   `json:"from"`
	To         string   `json:"to"`
	DryRun     bool     `json:"dry_run"`
	Files      uint64   `json:"files"`
	Links      uint64   `json:"links"`
	Dirs       uint64   `json:"dirs"`
	Others     uint64   `json:"others"`
	Entries    uint64   `json:"entries"`
	Blocks     uint64   `json:"blocks_used"`
	BlockFile  string   `json:"block_file"` // by hand, renamed, copied, the same
	Next       string   `json:"next"`       // the command that is left to do, or ""
	Unreadable []string `json:"unreadable"`
}

func (v *migrateVolume) print(s Streams, src, dst *index.Parent, r *migrate.Result) error {
	bad := []string{}
	for _, u := range r.Unreadable {
		bad = append(bad, fmt.Sprintf("%s: %v", u.Path, u.Err))
	}
	var err error
	if v.json {
		err = cli.JSON(s.Out, migrated{src.Dir, dst.Dir, v.o.DryRun, r.Files, r.Links, r.Dirs, r.Others, r.Entries, r.Blocks,
			string(r.Way), r.Next(), bad})
	} else {
		err = v.text(s.Out, src, dst, r, bad)
	}
	if err == nil && len(bad) > 0 {
		err = cli.Exit(cli.ExitUsage, fmt.Errorf("%d objects could not be read and were left out, or are damaged", len(bad)))
	}
	return err
}

func (v *migrateVolume) text(w io.Writer, src, dst *index.Parent, r *migrate.Result, bad []string) error {
	if v.o.DryRun {
		_, err := fmt.Fprintf(w, "%d blocks in use of %s fit into %s\n", r.Blocks, src.Dir, dst.Dir)
		return err
	}
	for _, line := range bad {
		fmt.Fprintf(w, "left out or damaged: %s\n", line)
	}
	fmt.Fprintf(w, "carried %d files, %d further names, %d directories and %d others with %d entries from %s over to %s\n",
		r.Files, r.Links, r.Dirs, r.Others, r.Entries, src.Dir, dst.Dir)
	switch r.Way {
	case migrate.ByHand:
		_, err := fmt.Fprintf(w, "the block file is to be moved by hand now, before anybody mounts %s:\n    %s\n", dst.Dir, r.Next())
		return err
	case migrate.Copied:
		_, err := fmt.Fprintf(w, "the block file was copied and compared: %s; the old one is of no more use with this volume: %s\n", r.To, r.From)
		return err
	}
	_, err := fmt.Fprintf(w, "the block file was moved: %s\n", r.To)
	return err
}
