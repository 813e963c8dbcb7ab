package alter

import (
	"errors"
	"slices"
)

// Kind is one kind of damage. Its text is the name of the option of `ddumbfs alter`.
type Kind string

// The kinds that damage the table of the index. Each may be asked for several times.
const (
	// SwapSlots exchanges an entry and the slot behind it, whatever that holds.
	SwapSlots Kind = "swap-slots"
	// SwapNeighbours exchanges two entries of which one is the next after the other.
	SwapNeighbours Kind = "swap-neighbours"
	// SwapRandom exchanges two entries anywhere in the table.
	SwapRandom Kind = "swap-random"
	// Clear clears an entry, so that its run may have a gap.
	Clear Kind = "clear"
	// Duplicate copies an entry over a slot anywhere in the table.
	Duplicate Kind = "duplicate"
	// DuplicateInPlace puts a copy of an entry behind it and moves the rest of the run up.
	DuplicateInPlace Kind = "duplicate-in-place"
	// SwapAddresses exchanges the addresses of two entries: the order of the table does not show it.
	SwapAddresses Kind = "swap-addresses"
	// CorruptByte writes a random byte into the table, half of them into entries.
	CorruptByte Kind = "corrupt-byte"
)

// The kinds that hit index or block file as a whole.
const (
	IndexDelete    Kind = "index-delete"    // the file is removed
	IndexMagic     Kind = "index-magic"     // the first eight bytes become zero
	IndexTruncate  Kind = "index-truncate"  // the file loses its second half
	IndexEmpty     Kind = "index-empty"     // the file loses all of its content
	BlocksDelete   Kind = "blocks-delete"   // as for the index
	BlocksMagic    Kind = "blocks-magic"    // as for the index
	BlocksTruncate Kind = "blocks-truncate" // as for the index
	BlocksEmpty    Kind = "blocks-empty"    // as for the index
)

// The kinds that stage what happens to volumes.
const (
	// PowerCut leaves the volume as a power cut does: marked unclean, with an entry whose block was never written and a block that was
	// written after the last snapshot, each with a file that refers to it.
	PowerCut Kind = "power-cut"
	// OddFiles creates files that are damaged or unusual, all named ff_ and what is the matter with them.
	OddFiles Kind = "odd-files"
	// Shake exchanges the addresses in a file; Plan.Shake names it.
	Shake Kind = "shake"
)

// The kinds of decay: single bits, and parts that went missing.
const (
	FlipBitmap     Kind = "flip-bitmap"     // a bit of the used-block bitmap in the index
	FlipBlock      Kind = "flip-block"      // a bit of an allocated block in the block file
	FlipHeader     Kind = "flip-header"     // a bit of the header of an underlying file
	FlipEntry      Kind = "flip-entry"      // a bit of an entry of an underlying file
	FlipConfig     Kind = "flip-config"     // a bit of ddfs.cfg
	CutFile        Kind = "cut-file"        // an underlying file loses its end
	RotSnapshot    Kind = "rot-snapshot"    // a bit of the used-block snapshot
	DeleteSnapshot Kind = "delete-snapshot" // the used-block snapshot is removed
)

// ErrNothing is the cause where there is nothing that a kind could damage: an index without entries, a part that is missing.
var ErrNothing = errors.New("nothing there to damage")

// Kinds lists the kinds that Plan.Add takes, in the order in which `ddumbfs alter` does them.
func Kinds() []Kind {
	return []Kind{SwapSlots, SwapNeighbours, SwapRandom, Clear, Duplicate, DuplicateInPlace, SwapAddresses, CorruptByte,
		FlipBitmap, FlipBlock, FlipHeader, FlipEntry, FlipConfig, CutFile, RotSnapshot, PowerCut, OddFiles, DeleteSnapshot,
		IndexDelete, IndexMagic, IndexTruncate, IndexEmpty, BlocksDelete, BlocksMagic, BlocksTruncate, BlocksEmpty}
}

// Counted tells whether a kind may be asked for several times at once.
func (k Kind) Counted() bool {
	return slices.Contains([]Kind{SwapSlots, SwapNeighbours, SwapRandom, Clear, Duplicate, DuplicateInPlace, SwapAddresses, CorruptByte,
		FlipBitmap, FlipBlock, FlipHeader, FlipEntry, FlipConfig, CutFile, RotSnapshot}, k)
}
