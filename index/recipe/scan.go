package recipe

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ScanChunk is the most bytes of entries that Scan hands out at once.
const ScanChunk = maxScratch

// minHole is the shortest hole that Scan steps over, in bytes. Shorter ones are
// read as null entries: asking for them costs more than reading them.
const minHole = 256 << 10

// Scan hands out all entries from number first to the end of the file, in
// order, as raw bytes: whole entries, at most ScanChunk bytes, the number of
// the first one with them. raw is valid during the call of fn only. Large holes
// are stepped over: fn is told nothing of their entries, which are all null.
// An incomplete entry at the end is not handed out. The header is not looked at.
//
// The first error ends the scan and is returned: of the disk, of fn as it is,
// or of ctx. After nil, fn has seen every entry that is not null and that was
// in the file when Scan began; entries written meanwhile may be missing, also
// where an older one was seen.
func (r *File) Scan(ctx context.Context, first uint64, fn func(first uint64, raw []byte) error) error {
	s := getScratch(ScanChunk)
	defer s.release()
	chunk := uint64(ScanChunk / r.g.EntrySize)
	for r.fits(first, chunk) {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, n, err := r.nextRun(first, chunk)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("scan entries from %d on: %w", first, err)
		}
		raw := s.b[:n*uint64(r.g.EntrySize)]
		have, err := r.readAt(raw, r.g.EntryOffset(start))
		if err != nil {
			return fmt.Errorf("scan entries from %d on: %w", start, err)
		}
		have -= have % r.g.EntrySize
		if have > 0 {
			if err := fn(start, raw[:have]); err != nil {
				return err
			}
		}
		if have < len(raw) {
			return nil
		}
		first = start + n
	}
	return nil
}

// nextRun finds what to read next: n entries from start on, start >= first,
// n <= limit, such that all entries between first and start are null and a
// large hole, if there is one within limit, is left out. io.EOF: only nulls up
// to the end of the file.
func (r *File) nextRun(first, limit uint64) (start, n uint64, err error) {
	data, err := r.f.NextData(r.g.EntryOffset(first))
	if err != nil {
		return 0, 0, err
	}
	start = max(first, r.number(data))
	end := r.g.EntryOffset(start + limit)
	for {
		hole, err := r.f.NextHole(data)
		if errors.Is(err, io.EOF) || err == nil && hole >= end {
			return start, limit, nil // the read finds the end of the file
		}
		if err != nil {
			return 0, 0, err
		}
		hole = max(hole, data+1) // a hole made since data was found must not stop the scan on the spot
		next, err := r.f.NextData(hole)
		if err == nil && next-hole < minHole {
			data = next
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		// An entry that begins before the hole and ends in it belongs to the run.
		return start, min(limit, r.number(hole-1)+1-start), nil
	}
}

// number is which entry the byte at off belongs to; 0 for the header.
func (r *File) number(off int64) uint64 {
	return uint64(max(off-r.g.EntryOffset(0), 0)) / uint64(r.g.EntrySize)
}
