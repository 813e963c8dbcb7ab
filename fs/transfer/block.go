package transfer

import (
	"errors"
	"fmt"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// Status says what became of one block that was read.
type Status int

const (
	// Good: the block lies where the entry says and has its hash.
	Good Status = iota
	// Zero: the entry stands for zeros.
	Zero
	// Elsewhere: the block was found by its hash at another address.
	Elsewhere
	// Bad: the content is not to be had. Zeros stand for it.
	Bad
)

// String is the word for lists.
func (s Status) String() string {
	switch s {
	case Zero:
		return "ZERO"
	case Elsewhere:
		return "MOVED"
	case Bad:
		return "ERR"
	}
	return "OK"
}

// errMissing is an entry that the size of the file asks for and that is not there.
var errMissing = errors.New("the file is too short: its entry is missing")

// fill reads and proves the blocks of a piece, neighbours on the disk with one call.
func (s *Source) fill(p *piece) {
	bs := s.geo.BlockSize
	for i := 0; i < p.n; {
		e := &p.entries[i]
		block := p.data[i*bs : (i+1)*bs]
		switch {
		case p.missing(i):
			p.spoil(i, block, errMissing)
		case s.geo.IsZeroBlock(e) || e.Hash == s.geo.ZeroHash: // the hash says it, whatever stands beside it
			p.status[i] = Zero
			clear(block)
		case !s.geo.InRange(e.Addr):
			s.settle(p, i, nil)
		default:
			i += s.fillRun(p, i)
			continue
		}
		i++
	}
}

// fillRun reads the blocks from number i of the piece on that lie side by side and returns how many there were.
func (s *Source) fillRun(p *piece, i int) int {
	bs, first := s.geo.BlockSize, p.entries[i].Addr
	run := 1
	for i+run < p.n && !p.missing(i+run) && p.entries[i+run].Addr == first+format.Address(run) && s.geo.InRange(p.entries[i+run].Addr) {
		run++
	}
	data := p.data[i*bs : (i+run)*bs]
	if s.blocks.Read(first, data) != nil {
		// One bad block must not take its neighbours along.
		for j := range run {
			block := data[j*bs : (j+1)*bs]
			s.judge(p, i+j, block, s.blocks.Read(first+format.Address(j), block))
		}
		return run
	}
	for j := range run {
		s.judge(p, i+j, data[j*bs:(j+1)*bs], nil)
	}
	return run
}

// judge proves one block that was read, or has it looked for elsewhere.
func (s *Source) judge(p *piece, i int, block []byte, err error) {
	if err == nil && s.geo.Kind.Sum(block) == p.entries[i].Hash {
		p.status[i] = Good
		return
	}
	s.settle(p, i, err)
}

// settle looks for a block by its hash, since it is not where the entry says; cause is why, nil if its content is another.
func (s *Source) settle(p *piece, i int, cause error) {
	e := &p.entries[i]
	block := p.data[i*s.geo.BlockSize:][:s.geo.BlockSize]
	if !e.Hash.IsNull() && s.find(&e.Hash, e.Addr, block) {
		p.status[i] = Elsewhere
		return
	}
	switch {
	case cause != nil:
	case e.Addr == format.AddressLost:
		cause = errors.New("it was lost before")
	case e.Addr == format.AddressZero:
		cause = errors.New("its entry says zeros, and its hash something else")
	case !s.geo.InRange(e.Addr):
		cause = fmt.Errorf("the volume has %d blocks only", s.geo.BlockCount)
	default:
		cause = errors.New("its content does not have its hash")
	}
	p.spoil(i, block, fmt.Errorf("block %d (hash %x): %w", e.Addr, e.Hash[:8], cause))
}

// find fills block with the content of the hash from another address than not, as far as the index knows one. A damaged index may have
// several, and anywhere, so all of it is looked through where the quick way fails; not without end, as each look is a pass over it.
func (s *Source) find(h *blockhash.Hash, not format.Address, block []byte) bool {
	x, scan := s.index()
	if x == nil {
		return false
	}
	t := x.Table()
	try := func(a format.Address) bool {
		return a != not && s.geo.InRange(a) && s.blocks.Read(a, block) == nil && s.geo.Kind.Sum(block) == *h
	}
	if a, _, ok := t.Lookup(h); ok && try(a) {
		return true
	}
	if !scan {
		return false
	}
	for slot := format.Slot(0); slot < t.Slots(); slot++ {
		if t.Compare(slot, h) == 0 && try(t.Addr(slot)) {
			return true
		}
	}
	return false
}

// index returns the index, nil if there is none to be read, and whether it may be looked through once more.
func (s *Source) index() (x *indexfile.File, scan bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loaded {
		s.loaded = true
		p := s.parent
		// Without it what only it could find is reported as lost, block by block.
		if x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true}); err == nil {
			s.table = x
		}
	}
	s.scans--
	return s.table, s.scans >= 0
}
