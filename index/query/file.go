package query

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// Range is a stretch of a file's entries of one kind: blocks that follow each other in the block file, zeros, or lost blocks.
type Range struct {
	First uint64         `json:"first"` // number of the first entry
	Count uint64         `json:"count"`
	Kind  string         `json:"kind"`              // "data", "zero", "lost" or "bad": an address that no block has, or zero beside a hash
	Addr  format.Address `json:"address,omitempty"` // of data: of the first block
}

// FileOptions of a look at one file. The functions are called one at a time; an error of theirs ends the query.
type FileOptions struct {
	// Shared looks through all other files for blocks that they have in common with this one.
	Shared bool
	// Range takes the ranges in their order.
	Range    func(Range) error
	Note     func(line string)
	Progress progress.Func
}

// File is what is known of one file.
type File struct {
	Path    string `json:"path"`    // relative to the root
	Length  int64  `json:"length"`  // bytes of the underlying file
	Size    uint64 `json:"size"`    // the logical size that the header has; 0 where the header is unusable
	Header  string `json:"header"`  // "sound", or what is wrong with it
	Entries uint64 `json:"entries"` // whole entries present
	Wanted  uint64 `json:"wanted"`  // entries that the size asks for
	Extra   int    `json:"extra"`   // bytes behind the last whole entry
	Data    uint64 `json:"data"`    // entries with a block
	Zero    uint64 `json:"zero"`
	Lost    uint64 `json:"lost"`
	Bad     uint64 `json:"bad"`
	Runs    uint64 `json:"runs"`   // ranges of data; 1 is a file in one piece
	Blocks  uint64 `json:"blocks"` // different blocks
	// Known counts entries whose hash the index has at their address, Elsewhere at another one, Unknown not at all. All are 0 without an index.
	Known     uint64 `json:"known"`
	Elsewhere uint64 `json:"elsewhere"`
	Unknown   uint64 `json:"unknown"`
	// Shared counts the different blocks that other files refer to as well; only with FileOptions.Shared.
	Shared     uint64 `json:"shared"`
	Incomplete bool   `json:"incomplete"` // something could not be read
}

// LookAt describes the file at path, which is relative to the root. The error is for a file that cannot be opened.
func LookAt(ctx context.Context, p *index.Parent, path string, o FileOptions) (*File, error) {
	q := &query{p: p, o: Options{Note: o.Note, Progress: o.Progress}}
	defer q.close()
	q.open()
	l := &look{q: q, o: o, mine: bitmap.NewAtomic(p.Geometry.BlockCount), out: File{Path: path, Header: "sound"}}
	if err := l.file(ctx, path); err != nil {
		return nil, fmt.Errorf("look at file %s of volume %s: %w", path, p.Dir, err)
	}
	if o.Shared {
		if err := l.shared(ctx); err != nil {
			return nil, fmt.Errorf("look at file %s of volume %s: %w", path, p.Dir, err)
		}
	}
	l.out.Incomplete = q.sum.Incomplete
	return &l.out, nil
}

// look is one run of LookAt.
type look struct {
	q    *query
	o    FileOptions
	info os.FileInfo
	mine *bitmap.Atomic // the blocks of the file
	run  Range
	next uint64 // the entry after the last one seen
	out  File
}

func (l *look) file(ctx context.Context, path string) (err error) {
	g, fs := l.q.p.Geometry, l.q.p.FS
	if !filepath.IsLocal(path) || strings.HasPrefix(filepath.Clean(path), format.SpecialName) {
		return fmt.Errorf("want the path of a file below %s", l.q.p.Root)
	}
	name := filepath.Join(l.q.p.Root, path)
	if l.info, err = fs.Lstat(name); err != nil {
		return err
	}
	f, err := fs.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	r := recipe.New(f, g)
	h, err := r.ReadHeader()
	l.out.Length, l.out.Size, l.out.Entries, l.out.Extra = h.Length, h.Size, h.Entries, h.Extra
	if err != nil {
		body := max(h.Length-format.FileHeaderSize, 0)
		l.out.Header, l.out.Entries = err.Error(), uint64(body)/uint64(g.EntrySize)
		l.q.sum.Incomplete = true
	} else {
		l.out.Wanted = g.Entries(h.Size)
	}
	if err := r.Scan(ctx, 0, l.entries); err != nil {
		return err
	}
	if err := l.hole(l.out.Entries); err != nil {
		return err
	}
	l.out.Blocks = l.mine.Count()
	return l.end()
}

// entries takes raw entries; those that were stepped over before them are zeros.
func (l *look) entries(first uint64, raw []byte) error {
	if err := l.hole(first); err != nil {
		return err
	}
	g := l.q.p.Geometry
	for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
		r := Range{First: l.next, Count: 1, Addr: g.Addr(raw)}
		l.next++
		hash := raw[g.AddrSize:g.EntrySize]
		switch zero := blockhash.IsZero(hash) || bytes.Equal(hash, g.ZeroHash[:g.HashSize]); {
		case r.Addr == format.AddressZero && zero:
			r.Kind = "zero"
			l.out.Zero++
		case r.Addr == format.AddressLost:
			r.Kind = "lost"
			l.out.Lost++
		case !g.InRange(r.Addr):
			r.Kind = "bad"
			l.out.Bad++
		default:
			r.Kind = "data"
			l.out.Data++
			l.mine.Set(uint64(r.Addr))
			l.lookUp(r.Addr, hash)
		}
		if err := l.add(r); err != nil {
			return err
		}
	}
	return nil
}

// hole counts the entries up to number to, which are null.
func (l *look) hole(to uint64) error {
	if l.next >= to {
		return nil
	}
	n := to - l.next
	l.out.Zero += n
	r := Range{First: l.next, Count: n, Kind: "zero"}
	l.next = to
	return l.add(r)
}

// lookUp asks the index for an entry.
func (l *look) lookUp(a format.Address, hash []byte) {
	if l.q.idx == nil {
		return
	}
	var h blockhash.Hash
	copy(h[:], hash)
	switch have, _, ok := l.q.idx.Table().Lookup(&h); {
	case ok && have == a:
		l.out.Known++
	case ok:
		l.out.Elsewhere++
	default:
		l.out.Unknown++
	}
}

// add makes the range longer or begins the next.
func (l *look) add(r Range) error {
	follows := l.run.Kind == r.Kind && (r.Kind != "data" || r.Addr == l.run.Addr+format.Address(l.run.Count))
	if l.run.Count > 0 && follows {
		l.run.Count += r.Count
		return nil
	}
	if err := l.end(); err != nil {
		return err
	}
	if r.Kind != "data" {
		r.Addr = 0
	}
	l.run = r
	return nil
}

func (l *look) end() error {
	if l.run.Count == 0 {
		return nil
	}
	r := l.run
	l.run.Count = 0
	if r.Kind == "data" {
		l.out.Runs++
	}
	if l.o.Range == nil {
		return nil
	}
	return l.o.Range(r)
}

// shared counts the blocks that other files have too.
func (l *look) shared(ctx context.Context) error {
	g := l.q.p.Geometry
	others := bitmap.NewAtomic(g.BlockCount)
	m := progress.New(l.o.Progress, "search files", progress.Files, 0)
	err := l.q.eachFile(ctx, func(ctx context.Context, e recipe.WalkEntry, quarantined bool) error {
		defer m.Add(1)
		if !quarantined && same(l.info, e.Info) {
			return nil
		}
		return l.q.scan(ctx, e, quarantined, func(_ uint64, raw []byte) error {
			for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
				if a := l.blockOf(raw, quarantined); l.mine.Get(uint64(a)) {
					others.Set(uint64(a))
				}
			}
			return nil
		})
	})
	l.out.Shared = others.Count()
	return err
}

// blockOf is the block that an entry holds: in the quarantine the one that the index has for its hash.
func (l *look) blockOf(raw []byte, quarantined bool) format.Address {
	g := l.q.p.Geometry
	if !quarantined {
		return g.Addr(raw)
	}
	if l.q.idx == nil {
		return format.AddressZero
	}
	var h blockhash.Hash
	copy(h[:], raw[g.AddrSize:g.EntrySize])
	a, _, _ := l.q.idx.Table().Lookup(&h)
	return a
}

// same tells whether two names are one file.
func same(a, b os.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, also := b.Sys().(*syscall.Stat_t)
	return ok && also && x.Dev == y.Dev && x.Ino == y.Ino
}
