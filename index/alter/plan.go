package alter

import (
	"context"
	"fmt"
	"math/rand/v2"

	"tresor/index"
	"tresor/index/format"
)

// Damage is one thing that a plan changes. Which fields count depends on Kind.
type Damage struct {
	Kind   Kind             `json:"kind"`
	File   string           `json:"file"`             // the file that is changed, with its whole path
	Path   string           `json:"path,omitempty"`   // of a user's file, relative to the root
	Slots  []format.Slot    `json:"slots,omitempty"`  // of the index
	Addrs  []format.Address `json:"addrs,omitempty"`  // the blocks concerned
	Entry  uint64           `json:"entry,omitempty"`  // of the user's file
	Offset int64            `json:"offset,omitempty"` // in File, in bytes; of a cut, the new length
	Bit    int              `json:"bit,omitempty"`    // of the byte at Offset, 0 the lowest
	What   string           `json:"what"`             // in words
}

// String is the damage as one line.
func (d Damage) String() string { return fmt.Sprintf("%s: %s", d.Kind, d.What) }

// Plan is a set of damages to one volume. It is not safe for concurrent use.
type Plan struct {
	p     *index.Parent
	rnd   *rand.Rand
	ctx   context.Context // of the running call of Add or Shake
	idx   *image          // nil until a kind needs it
	files []file          // nil until a kind needs them
	edits []edit          // what Apply does, beside the changes of idx
	list  []Damage
}

// New begins a plan for the volume p; nothing is read yet.
func New(p *index.Parent, seed uint64) *Plan {
	return &Plan{p: p, rnd: rand.New(rand.NewPCG(seed, 0))}
}

// Damages lists what was planned, in the order in which it was asked for.
func (pl *Plan) Damages() []Damage { return pl.list }

// Add plans n damages of a kind; kinds that are not Counted are planned once, whatever n. The error matches ErrNothing where
// there is nothing to damage; what was planned until then stays.
func (pl *Plan) Add(ctx context.Context, k Kind, n int) error {
	one := pl.action(k)
	if one == nil {
		return fmt.Errorf("alter: unknown kind of damage %q", k)
	}
	if !k.Counted() {
		n = 1
	}
	pl.ctx = ctx
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := one(); err != nil {
			return fmt.Errorf("alter: %s: %w", k, err)
		}
	}
	return nil
}

// action is what plans one damage of a kind.
func (pl *Plan) action(k Kind) func() error {
	switch k {
	case SwapSlots, SwapNeighbours, SwapRandom, SwapAddresses:
		return func() error { return pl.swap(k) }
	case Clear, Duplicate, DuplicateInPlace, CorruptByte:
		return func() error { return pl.change(k) }
	case IndexDelete, IndexMagic, IndexTruncate, IndexEmpty:
		return func() error { return pl.whole(k, pl.p.IndexPath) }
	case BlocksDelete, BlocksMagic, BlocksTruncate, BlocksEmpty:
		return func() error { return pl.whole(k, pl.p.BlocksPath) }
	case PowerCut:
		return pl.powerCut
	case OddFiles:
		return pl.oddFiles
	case FlipBitmap:
		return pl.flipBitmap
	case FlipBlock:
		return pl.flipBlock
	case FlipHeader, FlipEntry, CutFile:
		return func() error { return pl.hitFile(k) }
	case FlipConfig:
		return func() error { return pl.flipFile(k, format.ConfigName) }
	case RotSnapshot:
		return func() error { return pl.flipFile(k, format.SnapshotName) }
	case DeleteSnapshot:
		return func() error { return pl.whole(k, pl.p.Path(format.SnapshotName)) }
	}
	return nil
}

// note adds a damage to the report.
func (pl *Plan) note(d Damage, what string, args ...any) {
	d.What = fmt.Sprintf(what, args...)
	pl.list = append(pl.list, d)
}
