package query

import (
	"context"
	"encoding/hex"

	"tresor/index/format"
)

// Content is what a block was found to hold.
type Content string

// The contents of a block, held against an entry.
const (
	NotRead    Content = ""           // it was not asked for
	Right      Content = "right"      // it hashes to the entry's hash
	Wrong      Content = "wrong"      // it hashes to something else
	Unreadable Content = "unreadable" // the disk did not deliver it, or the block file ends before it
)

// Entry is an entry of the index.
type Entry struct {
	Slot      format.Slot    `json:"slot"`
	Addr      format.Address `json:"address"`
	Hash      string         `json:"hash"` // hexadecimal
	Allocated bool           `json:"allocated"`
	Content   Content        `json:"content,omitempty"`
	Err       string         `json:"error,omitempty"` // why the block is unreadable
}

// Block is a block by itself.
type Block struct {
	Addr      format.Address `json:"address"`
	Allocated *bool          `json:"allocated,omitempty"` // nil without an index
	Indexed   bool           `json:"indexed"`             // an entry of the index has its address
	Hash      string         `json:"hash,omitempty"`      // of its content, if that was read
	Err       string         `json:"error,omitempty"`
}

// chunk is how many slots are searched between two looks at the context.
const chunk = 1 << 16

// entries hands out the entries of the index that are wanted.
func (q *query) entries(ctx context.Context) error {
	if q.idx == nil {
		return nil
	}
	t := q.idx.Table()
	var e format.Entry
	for s := range t.Slots() {
		if s%chunk == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if t.Empty(s) {
			continue
		}
		if t.Get(s, &e); !q.match.entry(&e) {
			continue
		}
		q.sum.Entries++
		if q.o.Entry == nil {
			continue
		}
		if err := q.o.Entry(q.describe(s, &e)); err != nil {
			return err
		}
	}
	return nil
}

func (q *query) describe(s format.Slot, e *format.Entry) Entry {
	g := q.p.Geometry
	d := Entry{Slot: s, Addr: e.Addr, Hash: hex.EncodeToString(e.Hash[:g.HashSize]), Allocated: q.idx.Bitmap().Get(uint64(e.Addr))}
	if q.blocks == nil {
		return d
	}
	switch have, err := q.sumOf(e.Addr); {
	case err != nil:
		d.Content, d.Err = Unreadable, err.Error()
	case have == d.Hash:
		d.Content = Right
	default:
		d.Content = Wrong
	}
	return d
}

// sumOf hashes the content of a block.
func (q *query) sumOf(a format.Address) (string, error) {
	p := make([]byte, q.p.Geometry.BlockSize)
	if err := q.blocks.Read(a, p); err != nil {
		return "", err
	}
	sum := q.p.Geometry.Kind.Sum(p)
	return hex.EncodeToString(sum[:q.p.Geometry.HashSize]), nil
}

// block hands out the block that was asked for.
func (q *query) block(context.Context) error {
	if q.asked == nil || q.o.Block == nil {
		return nil
	}
	b := Block{Addr: *q.asked, Indexed: len(q.match.hashes) > 0}
	if q.idx != nil {
		used := q.idx.Bitmap().Get(uint64(b.Addr))
		b.Allocated = &used
	}
	if q.blocks != nil && q.p.Geometry.InRange(b.Addr) {
		var err error
		if b.Hash, err = q.sumOf(b.Addr); err != nil {
			b.Err = err.Error()
		}
	}
	return q.o.Block(b)
}
