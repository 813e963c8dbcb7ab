package query

import (
	"context"
	"fmt"

	"tresor/index"
	"tresor/index/blockfile"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
)

// Wanted is what is asked for; what is nil is not. Several are a union.
type Wanted struct {
	Slot  *format.Slot    // an entry of the index, with all that has its address or its hash
	Block *format.Address // a block, with all that has its address or a hash that the index has for it
	Hash  []byte          // all that has a hash which begins so, everything if it is empty; nil: none
}

// Options of a query. The functions are called one at a time, from several goroutines; an error of theirs ends the query.
type Options struct {
	// Hash reads the blocks of entries and hashes them.
	Hash bool
	// Entry takes the entries of the index, in the order of their slots, Block the block that was asked for. Both come before Use.
	Entry func(Entry) error
	Block func(Block) error
	// Use takes positions in files: those of a file in their order, files in any.
	Use func(Use) error
	// Note takes what could not be read, as a line.
	Note func(line string)
	// Progress may be nil.
	Progress progress.Func
}

// Summary is what a query came to.
type Summary struct {
	Entries   uint64 `json:"entries"`   // of the index
	Positions uint64 `json:"positions"` // entries of files
	Files     uint64 `json:"files"`     // with such positions; a file with several names counts once
	Searched  uint64 `json:"searched"`  // files looked at
	// Incomplete tells that something could not be read: there may be more.
	Incomplete bool `json:"incomplete"`
}

// Run looks for what is wanted. The error is for a query that could not be done, or was ended by one of the functions.
func Run(ctx context.Context, p *index.Parent, w Wanted, o Options) (*Summary, error) {
	q := &query{p: p, o: o, match: matcher{g: p.Geometry, prefix: w.Hash}}
	defer q.close()
	q.open()
	if err := q.want(w); err != nil {
		return nil, fmt.Errorf("query volume %s: %w", p.Dir, err)
	}
	for _, step := range []func(context.Context) error{q.entries, q.block, q.files} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("query volume %s: %w", p.Dir, err)
		}
	}
	return &q.sum, nil
}

// query is one run.
type query struct {
	p      *index.Parent
	o      Options
	idx    *indexfile.File // nil: it cannot be read
	blocks *blockfile.File // nil: not asked for, or it cannot be read
	asked  *format.Address
	match  matcher
	out    output
	sum    Summary
}

// open opens what there is.
func (q *query) open() {
	var err error
	if q.idx, err = indexfile.Open(q.p.FS, q.p.IndexPath, q.p.Config, indexfile.Options{ReadOnly: true}); err != nil {
		q.idx = nil
		q.note("the index cannot be read, only files are searched: %v", err)
	}
	if !q.o.Hash {
		return
	}
	if q.blocks, err = blockfile.Open(q.p.FS, q.p.BlocksPath, q.p.Geometry, true); err != nil {
		q.blocks = nil
		q.note("the block file cannot be read, no block is hashed: %v", err)
	}
}

func (q *query) close() {
	if q.idx != nil {
		q.idx.Close()
	}
	if q.blocks != nil {
		q.blocks.Close()
	}
}

// want turns the question into what is matched.
func (q *query) want(w Wanted) error {
	g := q.p.Geometry
	if w.Slot != nil {
		switch {
		case uint64(*w.Slot) >= g.EntryCount:
			return fmt.Errorf("slot %d: want one below %d", *w.Slot, g.EntryCount)
		case q.idx == nil:
			return fmt.Errorf("slot %d: there is no index to look it up", *w.Slot)
		case !q.idx.Table().Empty(*w.Slot):
			var e format.Entry
			q.idx.Table().Get(*w.Slot, &e)
			q.match.add(e)
		default:
			q.note("slot %d is empty", *w.Slot)
		}
	}
	if w.Block != nil {
		if *w.Block < format.AddressLost || uint64(*w.Block) >= g.BlockCount {
			return fmt.Errorf("block %d: want one from %d, below %d", *w.Block, format.AddressLost, g.BlockCount)
		}
		q.asked = w.Block
		q.match.addrs = append(q.match.addrs, *w.Block)
		q.hashesOf(*w.Block)
	}
	if len(w.Hash) > g.HashSize {
		return fmt.Errorf("hash of %d bytes: the volume's have %d", len(w.Hash), g.HashSize)
	}
	return nil
}

// hashesOf adds the hashes that the index has for a block: one, in a sound index.
func (q *query) hashesOf(a format.Address) {
	if q.idx == nil {
		return
	}
	t := q.idx.Table()
	var e format.Entry
	for s := range t.Slots() {
		if t.Addr(s) == a {
			t.Get(s, &e)
			q.match.add(e)
		}
	}
}

// note tells what could not be read.
func (q *query) note(text string, args ...any) {
	q.out.mu.Lock()
	defer q.out.mu.Unlock()
	q.sum.Incomplete = true
	if q.o.Note != nil {
		q.o.Note(fmt.Sprintf(text, args...))
	}
}
