package damage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"tresor/index"
	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// verdict is what the oracle expects of a file.
type verdict struct {
	whole  bool   // the file must come back as it was
	header bool   // the magic is there: the file must stay in its place
	blocks []bool // the blocks that must be served
	good   []bool // of these, the ones that are served already
	held   []bool // of a file without a usable header: the blocks that must stay in the index
}

// oracle is what can be recovered from a damaged volume, by the rule in the package comment.
type oracle struct {
	b         *base
	root      string
	available map[blockhash.Hash]bool
	now       []blockhash.Hash        // of the blocks, by address
	changed   map[format.Address]bool // blocks that are not what they were, or no longer there
	files     map[string]verdict
}

// judge looks at a damaged volume, at its bytes only. The block file counts as what blocks holds.
func judge(b *base, m *disktest.FS, blocks []byte) (*oracle, error) {
	o := &oracle{b: b, root: filepath.Join(at, format.RootName), available: map[blockhash.Hash]bool{},
		changed: map[format.Address]bool{}, files: map[string]verdict{}}
	o.now = hashBlocks(b.g, blocks, b)
	for a, h := range b.hashes {
		if a >= len(o.now) || o.now[a] != h {
			o.changed[format.Address(a)] = true
		}
	}
	for a, h := range o.now {
		if a >= int(format.FirstDataAddress) {
			o.available[h] = true
		}
	}
	for _, path := range b.paths {
		raw, err := fileContent(m, filepath.Join(o.root, path))
		if err != nil {
			return nil, err
		}
		o.files[path] = o.file(b.files[path], raw)
	}
	return o, nil
}

func (o *oracle) file(f *original, raw []byte) verdict {
	g := o.b.g
	v := verdict{blocks: make([]bool, len(f.hashes)), good: make([]bool, len(f.hashes)), held: make([]bool, len(f.hashes))}
	if len(f.raw) == 0 {
		v.whole, v.header = len(raw) == 0, len(raw) == 0
		return v
	}
	size, err := format.GetFileHeader(raw)
	v.header = err == nil
	v.whole = v.header && size == uint64(len(f.data))
	for i := range v.blocks {
		from := int(g.EntryOffset(uint64(i)))
		if from+g.EntrySize <= len(raw) {
			leads, good := o.entry(f.hashes[i], raw[from:])
			v.blocks[i], v.good[i] = v.header && leads, v.header && good
			v.held[i] = !v.header && leads && f.hashes[i] != g.ZeroHash
		}
		if uint64(i) >= g.Entries(size) && f.hashes[i] == g.ZeroHash {
			// Zeros past the size in the header: the format page has them cut.
			v.blocks[i], v.good[i] = false, false
		}
		v.whole = v.whole && v.blocks[i]
	}
	return v
}

// entry tells whether an entry leads to the block with a hash, and whether it does so by its own address.
func (o *oracle) entry(want blockhash.Hash, raw []byte) (leads, good bool) {
	var e format.Entry
	o.b.g.GetEntry(raw, &e)
	if want == o.b.g.ZeroHash {
		return e.Hash == want || e.Hash.IsNull(), o.b.g.IsZeroBlock(&e)
	}
	leads = e.Hash == want && o.available[want]
	return leads, leads && o.b.g.InRange(e.Addr) && uint64(e.Addr) < uint64(len(o.now)) && o.now[e.Addr] == want
}

// served is what a repaired volume gives, by the entries of its files and proved block by block, as the file system does.
type served struct {
	g      *format.Geometry
	m      *disktest.FS
	root   string
	blocks *blockfile.File
}

func openServed(p *index.Parent, m *disktest.FS) (*served, error) {
	b, err := blockfile.Open(m, p.BlocksPath, p.Geometry, true)
	return &served{g: p.Geometry, m: m, root: p.Root, blocks: b}, err
}

// block reads by an entry; nil where the read is an error.
func (s *served) block(e *format.Entry) []byte {
	p := make([]byte, s.g.BlockSize)
	if s.g.IsZeroBlock(e) {
		return p
	}
	if e.Addr == format.AddressLost || s.blocks.Read(e.Addr, p) != nil || s.g.Kind.Sum(p) != e.Hash {
		return nil
	}
	return p
}

// outcome counts what became of the files of a case.
type outcome struct{ files, recoverable, recovered, lost, decayed int }

// compare holds the repaired volume against the oracle. excused, if not nil, tells which blocks need not be served.
func (o *oracle) compare(s *served, excused func(format.Address) bool) (out outcome, problems []string) {
	for _, path := range o.b.paths {
		f, v := o.b.files[path], o.files[path]
		out.files++
		if v.whole {
			out.recoverable++
		}
		raw, err := fileContent(s.m, filepath.Join(s.root, path))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) || v.header {
				problems = append(problems, fmt.Sprintf("%s: %v", path, err))
			}
			out.lost++
			continue
		}
		lost, rotten, list := o.compareFile(s, f, v, raw, excused)
		for _, p := range list {
			problems = append(problems, path+": "+p)
		}
		switch {
		case rotten:
			out.decayed++
		case v.whole && len(list) == 0:
			out.recovered++
		case lost:
			out.lost++
		}
	}
	return out, problems
}

func (o *oracle) compareFile(s *served, f *original, v verdict, raw []byte, excused func(format.Address) bool) (lost, rotten bool, problems []string) {
	if len(f.raw) == 0 && len(raw) == 0 {
		return false, false, nil
	}
	size, err := format.GetFileHeader(raw)
	if err != nil {
		if v.header {
			problems = append(problems, fmt.Sprintf("header is unusable now: %v", err))
		}
		return true, false, problems
	}
	if v.whole && (size != uint64(len(f.data)) || len(raw) != len(f.raw)) {
		problems = append(problems, fmt.Sprintf("want size %d and %d bytes below, have %d and %d", len(f.data), len(f.raw), size, len(raw)))
	}
	var e format.Entry
	for i := range f.hashes {
		from := int(s.g.EntryOffset(uint64(i)))
		var have []byte
		if from+s.g.EntrySize <= len(raw) {
			s.g.GetEntry(raw[from:], &e)
			have = s.block(&e)
		}
		switch {
		case have != nil && !bytes.Equal(have, f.block(s.g, i)):
			problems = append(problems, fmt.Sprintf("block %d is served with wrong content (address %d)", i, e.Addr))
		case have != nil:
		case v.good[i]:
			problems = append(problems, fmt.Sprintf("block %d was served before the repair, and is not any more (address %d, hash %x)", i, e.Addr, e.Hash[:4]))
		case excused != nil && excused(e.Addr):
			rotten = true
		case v.blocks[i]:
			problems = append(problems, fmt.Sprintf("block %d is recoverable, and not served (address %d, hash %x)", i, e.Addr, e.Hash[:4]))
		default:
			lost = true
		}
	}
	return lost, rotten, problems
}

// heldBy looks at the files in the quarantine: the index must have the blocks that their entries lead to, with the right content.
func (o *oracle) heldBy(s *served, x *indexfile.File) (problems []string) {
	for _, path := range o.b.paths {
		if _, err := s.m.Lstat(filepath.Join(at, format.QuarantineName, path)); err != nil {
			continue
		}
		for i, must := range o.files[path].held {
			if !must {
				continue
			}
			e := format.Entry{Hash: o.b.files[path].hashes[i]}
			a, _, ok := x.Table().Lookup(&e.Hash)
			if e.Addr = a; !ok || s.block(&e) == nil || !x.Bitmap().Get(uint64(a)) {
				problems = append(problems, fmt.Sprintf("%s in the quarantine: block %d (hash %x) is not held", path, i, e.Hash[:4]))
			}
		}
	}
	return problems
}
