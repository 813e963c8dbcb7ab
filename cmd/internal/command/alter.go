package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/alter"
)

func alterVerb() *Verb {
	return &Verb{
		Name: "alter", Calls: []string{"alterddumbfs"}, Args: "-f [-n SEED] DAMAGE... PARENT",
		Short: "Damages a volume on purpose, for tests of check and repair.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "damaged as printed; with --dry-run: nothing was touched"},
			{Code: cli.ExitFailure, Text: "could not be done; also without --force, or where there is nothing to damage. Nothing was touched unless the disk failed"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "the volume is mounted, or another process owns it"},
			{Code: cli.ExitCorrupt, Text: "its configuration cannot be read"},
			{Code: cli.ExitNoVolume, Text: "there is no volume"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted; nothing was touched"},
		},
		new: func() runner { return new(alterVolume) },
	}
}

type alterVolume struct {
	counts              map[alter.Kind]*int
	flags               map[alter.Kind]*bool
	seed                uint64
	seeded              func() bool
	onIndex, onBlocks   string
	shake               []string
	force, dryRun, json bool
	index, blocks       string
}

// alterKind is the option of a kind.
type alterKind struct {
	kind         alter.Kind
	letter, help string
}

func (v *alterVolume) Flags(f *pflag.FlagSet) {
	v.counts, v.flags = map[alter.Kind]*int{}, map[alter.Kind]*bool{}
	f.BoolVarP(&v.force, "force", "f", false, "really do it")
	f.Uint64VarP(&v.seed, "seed", "n", 0, "the `SEED` that decides what is hit (default: a new one, which is printed)")
	v.seeded = func() bool { return f.Changed("seed") }
	for _, k := range []alterKind{
		{alter.SwapSlots, "i", "index: swap an entry and the slot behind it, used or not, `NUM` times"},
		{alter.SwapNeighbours, "s", "index: swap an entry and the next one, `NUM` times"},
		{alter.SwapRandom, "S", "index: swap two entries anywhere, `NUM` times"},
		{alter.Clear, "r", "index: clear `NUM` entries"},
		{alter.Duplicate, "d", "index: copy an entry over a slot anywhere, `NUM` times"},
		{alter.DuplicateInPlace, "p", "index: put a copy behind an entry, `NUM` times"},
		{alter.SwapAddresses, "a", "index: swap the addresses of two entries, `NUM` times"},
		{alter.CorruptByte, "c", "index: write `NUM` random bytes into the table"},
		{alter.FlipBitmap, "", "index: flip `NUM` bits of the used-block bitmap"},
		{alter.FlipBlock, "", "block file: flip `NUM` bits of allocated blocks"},
		{alter.FlipHeader, "", "files: flip `NUM` bits of headers of underlying files"},
		{alter.FlipEntry, "", "files: flip `NUM` bits of entries of underlying files"},
		{alter.FlipConfig, "", "configuration: flip `NUM` bits"},
		{alter.CutFile, "", "files: cut the end off underlying files, `NUM` times"},
		{alter.RotSnapshot, "", "snapshot: flip `NUM` bits"},
	} {
		v.counts[k.kind] = f.IntP(string(k.kind), k.letter, 0, k.help)
	}
	f.StringVarP(&v.onIndex, "damage-index", "I", "", "the index as a whole: `OP` is delete, magic (blank it), truncate (to the half) or empty")
	f.StringVarP(&v.onBlocks, "damage-blocks", "B", "", "the same for the block file: `OP`")
	f.StringArrayVarP(&v.shake, "shake", "k", nil, "swap the addresses in `FILE`, a path relative to the root; may be given several times")
	for _, k := range []alterKind{
		{alter.PowerCut, "u", "as after a power cut: an entry whose block was never written, and a block that is not in the snapshot"},
		{alter.OddFiles, "", "create damaged and unusual files, ff_*"},
		{alter.DeleteSnapshot, "", "remove the snapshot"},
	} {
		v.flags[k.kind] = f.BoolP(string(k.kind), k.letter, false, k.help)
	}
	f.BoolVar(&v.dryRun, "dry-run", false, "print what would be done")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
	f.StringVar(&v.index, "index", "", "index `FILE` to use instead of the configured one")
	f.StringVar(&v.blocks, "blocks", "", "block `FILE` to use instead of the configured one")
	f.BoolP("verbose", "v", false, "accepted, without effect")
	f.BoolP("lock-index", "l", false, "accepted, without effect")
}

// alterWhole reads the operand of -I and -B, which stands for a kind.
func alterWhole(part, op string) (alter.Kind, error) {
	ops := []string{"delete", "magic", "truncate", "empty"}
	if !slices.Contains(ops, op) {
		return "", arguments("damage to the %s: want one of %q, have %q", part, ops, op)
	}
	return alter.Kind(part + "-" + op), nil
}

// wanted is how often each kind is asked for.
func (v *alterVolume) wanted() (map[alter.Kind]int, error) {
	want := map[alter.Kind]int{}
	for k, n := range v.counts {
		if *n < 0 {
			return nil, arguments("--%s: want a number from 0, have %d", k, *n)
		}
		want[k] = *n
	}
	for k, on := range v.flags {
		if *on {
			want[k] = 1
		}
	}
	for part, op := range map[string]string{"index": v.onIndex, "blocks": v.onBlocks} {
		if op == "" {
			continue
		}
		k, err := alterWhole(part, op)
		if err != nil {
			return nil, err
		}
		want[k] = 1
	}
	total := len(v.shake)
	for _, n := range want {
		total += n
	}
	if total == 0 {
		return nil, arguments("want some damage to do, have none")
	}
	return want, nil
}

func (v *alterVolume) Run(ctx context.Context, s Streams, args []string) error {
	path, err := oneArgument(args, "parent directory")
	if err != nil {
		return err
	}
	want, err := v.wanted()
	if err != nil {
		return err
	}
	if !v.force && !v.dryRun {
		return cli.Hint(errors.New("the volume would be damaged: -f is needed"), "--dry-run prints what would be done")
	}
	p, err := index.Acquire(index.Location{Parent: path, Index: v.index, Blocks: v.blocks}, index.Write)
	if err != nil {
		return explainBusy(err, path)
	}
	defer p.Close()
	if err := index.CheckUnfinished(p.FS, p.Dir); err != nil {
		return err
	}
	if !v.seeded() {
		v.seed = rand.Uint64()
	}
	plan := alter.New(p, v.seed)
	if err := v.plan(ctx, plan, want); err != nil {
		return alterMissing(err)
	}
	if !v.dryRun {
		if err := plan.Apply(); err != nil {
			return alterMissing(err)
		}
	}
	return v.print(s, p, plan.Damages())
}

// alterMissing keeps a part of the volume that is not there from counting as a volume that is not there.
func alterMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Exit(cli.ExitFailure, err)
	}
	return err
}

// plan asks for everything, in the order of alter.Kinds, whatever that of the command line.
func (v *alterVolume) plan(ctx context.Context, plan *alter.Plan, want map[alter.Kind]int) error {
	for _, name := range v.shake {
		if err := plan.Shake(ctx, name); err != nil {
			return err
		}
	}
	for _, k := range alter.Kinds() {
		if want[k] == 0 {
			continue
		}
		if err := plan.Add(ctx, k, want[k]); err != nil {
			return err
		}
	}
	return nil
}

func (v *alterVolume) print(s Streams, p *index.Parent, list []alter.Damage) error {
	if v.json {
		return cli.JSON(s.Out, struct {
			Parent  string         `json:"parent"`
			Seed    uint64         `json:"seed"`
			DryRun  bool           `json:"dry_run"`
			Damages []alter.Damage `json:"damages"`
		}{p.Dir, v.seed, v.dryRun, list})
	}
	fmt.Fprintf(s.Out, "seed %d\n", v.seed)
	for _, d := range list {
		fmt.Fprintln(s.Out, d)
	}
	done := "done to"
	if v.dryRun {
		done = "would be done to"
	}
	_, err := fmt.Fprintf(s.Out, "%d damages %s %s\n", len(list), done, p.Dir)
	return err
}
