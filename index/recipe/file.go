// Package recipe owns the underlying files: the stored form of one user file
// (format page, section 6), and the one walk over all of them.
//
//	offset 0   "DDUMBFSF"
//	offset 8   logical size, 64-bit big-endian
//	offset 16  entries (address and hash), one per begun block, in order
//
// An underlying file of 0 bytes is a user file of 0 bytes. A hole reads as null
// entries (address 0, null hash), which stand for blocks of zeros.
//
// What the package promises: any bytes can be read, and damage comes back as an
// error or as entries for the caller to judge, never as a panic; nothing is
// allocated by a length that a file claims; and a walk or scan either sees
// everything or returns an error. What it does not check: whether the entries
// fit the size in the header, whether addresses lie in the volume, and whether
// anything is known to the index.
package recipe

import (
	"fmt"
	"math"
	"strconv"

	"tresor/index/disk"
	"tresor/index/format"
)

// File reads and writes one underlying file. It holds no state of its own: all
// methods may be called at the same time, as far as the caller keeps
// overlapping writes apart. It does not own the disk.File.
type File struct {
	f disk.File
	g *format.Geometry
}

// New looks at an open underlying file.
func New(f disk.File, g *format.Geometry) *File { return &File{f: f, g: g} }

// Disk is the underlying file itself.
func (r *File) Disk() disk.File { return r.f }

// Header is what the head and the length of an underlying file say.
type Header struct {
	Size    uint64 // logical size in bytes, at most math.MaxInt64
	Length  int64  // length in bytes of the underlying file
	Entries uint64 // whole entries present, whatever Size asks for
	Extra   int    // bytes behind the last whole entry: 0 in a sound file
}

// ReadHeader reads the header. A file of 0 bytes has size 0 and no entries. A
// header that is cut off, has another magic or an impossible size is a
// *format.CorruptError with Header.Length set; other errors are of the disk.
func (r *File) ReadHeader() (Header, error) {
	var h Header
	var err error
	if h.Length, err = r.f.Size(); err != nil {
		return h, fmt.Errorf("read file header: %w", err)
	}
	if h.Length == 0 {
		return h, nil
	}
	s := getScratch(format.FileHeaderSize)
	defer s.release()
	n, err := r.readAt(s.b, 0)
	if err != nil {
		return h, fmt.Errorf("read file header: %w", err)
	}
	if h.Size, err = format.GetFileHeader(s.b[:n]); err != nil {
		return h, format.InFile(r.f.Name(), 0, err)
	}
	body := max(h.Length-format.FileHeaderSize, 0)
	h.Entries = uint64(body) / uint64(r.g.EntrySize)
	h.Extra = int(body % int64(r.g.EntrySize))
	return h, nil
}

// WriteHeader writes the header of a file of size bytes. It allocates nothing
// and neither adds nor removes entries.
func (r *File) WriteHeader(size uint64) error {
	if size > math.MaxInt64 {
		return r.refuse("write file header", "size "+strconv.FormatUint(size, 10))
	}
	s := getScratch(format.FileHeaderSize)
	defer s.release()
	format.PutFileHeader(s.b, size)
	if err := disk.WriteFull(r.f, s.b, 0); err != nil {
		return fmt.Errorf("write file header: %w", err)
	}
	return nil
}

// ReadEntries decodes the entries from number first on into dst and returns how
// many there were: fewer than len(dst) only where the file ends, without an
// error. An incomplete entry at the end is not one. Holes are null entries.
func (r *File) ReadEntries(first uint64, dst []format.Entry) (int, error) {
	size, done := r.g.EntrySize, 0
	for done < len(dst) {
		n := min(len(dst)-done, maxScratch/size)
		if !r.fits(first, uint64(done+n)) {
			return done, nil // no file reaches that far
		}
		have, err := r.readChunk(first+uint64(done), dst[done:done+n])
		done += have
		if err != nil || have < n {
			return done, err
		}
	}
	return done, nil
}

// readChunk reads as many entries as one scratch buffer takes.
func (r *File) readChunk(first uint64, dst []format.Entry) (int, error) {
	s := getScratch(len(dst) * r.g.EntrySize)
	defer s.release()
	n, err := r.readAt(s.b, r.g.EntryOffset(first))
	if err != nil {
		return 0, fmt.Errorf("read entries from %d on: %w", first, err)
	}
	n /= r.g.EntrySize
	for i := range n {
		r.g.GetEntry(s.b[i*r.g.EntrySize:], &dst[i])
	}
	return n, nil
}

// WriteEntries writes the entries src from number first on in one pwrite. It
// allocates nothing for up to about 1 MiB of entries. After an error any part
// of them may have been written.
func (r *File) WriteEntries(first uint64, src []format.Entry) error {
	if len(src) == 0 {
		return nil
	}
	if !r.fits(first, uint64(len(src))) {
		return r.refuse("write entries", fmt.Sprintf("entries [%d,+%d)", first, len(src)))
	}
	s := getScratch(len(src) * r.g.EntrySize)
	defer s.release()
	for i := range src {
		r.g.PutEntry(s.b[i*r.g.EntrySize:], &src[i])
	}
	if err := disk.WriteFull(r.f, s.b, r.g.EntryOffset(first)); err != nil {
		return fmt.Errorf("write %d entries from %d on: %w", len(src), first, err)
	}
	return nil
}

// fits reports whether the offsets of entries [first, first+n) do not overflow.
func (r *File) fits(first, n uint64) bool {
	last := uint64(math.MaxInt64-format.FileHeaderSize) / uint64(r.g.EntrySize)
	return first <= last && n <= last-first
}

func (r *File) refuse(op, what string) error {
	return &disk.Error{Op: op, Name: r.f.Name(), Off: -1, Err: fmt.Errorf("%s: beyond the largest file", what)}
}
