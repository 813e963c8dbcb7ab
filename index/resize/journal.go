package resize

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// piece is a run of entries of one stored file in their new form. Pieces of a file follow each other from its end to its beginning where
// entries grow, the other way round where they shrink, so that what is written never covers an entry that was not read yet.
type piece struct {
	path   string // below the parent directory
	ino    uint64
	kept   []byte // attributes to restore at the end, nil where the disk has none
	length int64  // of the file before any of it was converted
	next   uint64 // entries: growing, those before it are not converted yet; shrinking, those from it on
	last   bool   // nothing is left to convert afterwards
	runs   []run
}

// run is what goes to an offset: data, or a hole of so many bytes.
type run struct {
	off  int64
	data []byte
	hole int64
}

// The redo journal: magic, number of the batch, pieces, and a SHA-256 over all before it. Numbers are varints.
const redoMagic = "DDFSREDO1"

func encodeBatch(number uint64, pieces []piece) []byte {
	size := 64
	for i := range pieces {
		size += pieces[i].size()
	}
	b := append(make([]byte, 0, size), redoMagic...)
	b = binary.AppendUvarint(b, number)
	b = binary.AppendUvarint(b, uint64(len(pieces)))
	for i := range pieces {
		b = pieces[i].append(b)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// size is an upper bound for the encoded piece, in bytes.
func (p *piece) size() int {
	n := len(p.path) + len(p.kept) + 64
	for i := range p.runs {
		n += len(p.runs[i].data) + 32
	}
	return n
}

func (p *piece) append(b []byte) []byte {
	b = appendBytes(b, []byte(p.path))
	b = binary.AppendUvarint(b, p.ino)
	b = appendBytes(b, p.kept)
	b = binary.AppendUvarint(b, uint64(p.length))
	b = binary.AppendUvarint(b, p.next)
	b = binary.AppendUvarint(b, flag(p.last))
	b = binary.AppendUvarint(b, uint64(len(p.runs)))
	for _, r := range p.runs {
		b = binary.AppendUvarint(b, uint64(r.off))
		b = binary.AppendUvarint(b, uint64(r.hole))
		b = appendBytes(b, r.data)
	}
	return b
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func appendBytes(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

// cursor decodes; after the first thing that does not fit, bad is set and everything is zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) number() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes() []byte {
	n := c.number()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	data := c.b[:n:n]
	c.b = c.b[n:]
	return data
}

// count is a number of things that take so many bytes each at least.
func (c *cursor) count(least int) int {
	n := c.number()
	if n > uint64(len(c.b)/least) {
		c.bad, c.b = true, nil
		return 0
	}
	return int(n)
}

// The fewest bytes that a piece and a run take.
const (
	leastPiece = 7
	leastRun   = 3
)

func (c *cursor) piece() piece {
	p := piece{path: string(c.bytes()), ino: c.number(), kept: c.bytes(), length: int64(c.number()), next: c.number(), last: c.number() == 1}
	p.runs = make([]run, c.count(leastRun))
	for i := range p.runs {
		p.runs[i] = run{off: int64(c.number()), hole: int64(c.number()), data: c.bytes()}
		if p.runs[i].off < format.FileHeaderSize || p.runs[i].hole < 0 {
			c.bad = true
		}
	}
	return p
}

// decodeBatch reads what encodeBatch wrote; anything else is of class format.ErrCorrupt.
func decodeBatch(name string, data []byte) (number uint64, pieces []piece, err error) {
	end := len(data) - sha256.Size
	c := cursor{}
	if end < len(redoMagic) || string(data[:len(redoMagic)]) != redoMagic || sha256.Sum256(data[:end]) != [sha256.Size]byte(data[end:]) {
		c.bad = true
	} else {
		c.b = data[len(redoMagic):end]
		number = c.number()
		// Grown as they come: what is claimed and not there takes no memory.
		for n := c.count(leastPiece); n > 0 && !c.bad; n-- {
			pieces = append(pieces, c.piece())
		}
	}
	if c.bad || len(c.b) > 0 {
		return 0, nil, &format.CorruptError{File: name, What: "redo journal", Want: "a whole batch",
			Have: fmt.Sprintf("%d bytes that are none", len(data))}
	}
	return number, pieces, nil
}

// readJournal returns the batch in the journal; number 0 where there is none.
func (c *converter) readJournal() (number uint64, pieces []piece, err error) {
	name := c.r.p.Path(redoName)
	data, err := disk.ReadSmall(c.r.p.FS, name, unix.O_NOFOLLOW, int64(max(maxJournal, 2*c.r.o.Batch)))
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return 0, nil, nil
	case errors.Is(err, disk.ErrTooLong):
		return 0, nil, format.Mark(format.ErrCorrupt, err)
	case err != nil:
		return 0, nil, err
	}
	return decodeBatch(name, data)
}

// maxJournal bounds what is read, and a record of what is done, in bytes: beyond any batch of ours.
const maxJournal = 2 * DefaultBatch
