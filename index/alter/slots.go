package alter

import (
	"fmt"

	"tresor/index/format"
)

// tries is how often a second entry is drawn before there counts as being none.
const tries = 64

// swap plans the kinds that exchange two slots or their addresses.
func (pl *Plan) swap(k Kind) error {
	s, a, err := pl.pick()
	if err != nil {
		return err
	}
	t := pl.idx.table
	other, ok, err := pl.partner(k, s)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("a second entry: %w", ErrNothing)
	}
	var b format.Entry
	t.Get(other, &b)
	if k == SwapAddresses {
		a.Addr, b.Addr = b.Addr, a.Addr
	} else {
		a, b = b, a
	}
	t.Put(s, &a)
	t.Put(other, &b)
	pl.note(Damage{Kind: k, File: pl.p.IndexPath, Slots: []format.Slot{s, other}, Addrs: []format.Address{a.Addr, b.Addr}},
		"slots %d and %d, now with addresses %d and %d", s, other, a.Addr, b.Addr)
	return nil
}

// partner finds the slot that the entry in slot s is exchanged with.
func (pl *Plan) partner(k Kind, s format.Slot) (format.Slot, bool, error) {
	t := pl.idx.table
	switch k {
	case SwapSlots:
		if s+1 < t.Slots() {
			return s + 1, true, nil
		}
		return s - 1, s > 0, nil
	case SwapNeighbours:
		other, ok := pl.idx.next(s + 1)
		if !ok {
			other, ok = pl.idx.next(0) // the last entry's neighbour is the first
		}
		return other, ok && other != s, nil
	}
	for range tries {
		other, e, err := pl.pick()
		if err != nil {
			return 0, false, err
		}
		if other != s && (k == SwapRandom || e.Addr != t.Addr(s)) {
			return other, true, nil
		}
	}
	return 0, false, nil
}

// change plans the kinds that change one slot, or copy one to another.
func (pl *Plan) change(k Kind) error {
	s, e, err := pl.pick()
	if err != nil {
		return err
	}
	t := pl.idx.table
	d := Damage{Kind: k, File: pl.p.IndexPath, Slots: []format.Slot{s}, Addrs: []format.Address{e.Addr}}
	switch k {
	case Clear:
		t.Clear(s, s+1)
		pl.note(d, "slot %d with address %d", s, e.Addr)
	case Duplicate:
		to := format.Slot(pl.rnd.Uint64N(uint64(t.Slots())))
		d.Slots, d.Addrs = append(d.Slots, to), append(d.Addrs, t.Addr(to))
		t.Put(to, &e)
		pl.note(d, "slot %d with address %d copied over slot %d with address %d", s, e.Addr, to, d.Addrs[1])
	case DuplicateInPlace:
		end, ok := t.RunEnd(s+1, t.Slots())
		if !ok {
			return fmt.Errorf("an empty slot behind slot %d: %w", s, ErrNothing)
		}
		t.InsertAt(&e, s+1, end)
		d.Slots = append(d.Slots, end)
		pl.note(d, "slot %d with address %d copied to the next; the run up to slot %d moved", s, e.Addr, end)
	default:
		pl.corruptByte(d, s)
	}
	return nil
}

// corruptByte changes one byte of slot s, or of any slot.
func (pl *Plan) corruptByte(d Damage, s format.Slot) {
	size := pl.p.Geometry.EntrySize
	table := &pl.idx.parts[1]
	at := int(s)*size + pl.rnd.IntN(size)
	if pl.rnd.IntN(2) == 0 {
		at = pl.rnd.IntN(len(table.now))
		s = format.Slot(at / size)
		d.Addrs = []format.Address{pl.idx.table.Addr(s)}
	}
	was := table.now[at]
	table.now[at] = byte(pl.rnd.Uint32())
	d.Slots, d.Offset = []format.Slot{s}, table.off+int64(at)
	pl.note(d, "byte %d of slot %d (address %d): %#02x becomes %#02x", at%size, s, d.Addrs[0], was, table.now[at])
}

// flipBitmap plans one bit of the used-block bitmap.
func (pl *Plan) flipBitmap() error {
	im, err := pl.index()
	if err != nil {
		return err
	}
	i := pl.rnd.Uint64N(im.bits.Len())
	now := "used"
	if !im.bits.Set(i) {
		im.bits.Clear(i)
		now = "free"
	}
	pl.note(Damage{Kind: FlipBitmap, File: pl.p.IndexPath, Addrs: []format.Address{format.Address(i)},
		Offset: pl.p.Config.FreeblockOffset + int64(i/8), Bit: int(7 - i%8)}, "the bitmap calls block %d %s", i, now)
	return nil
}
