package copier

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// piece is how much is read and summed between two looks at the context, in bytes.
const piece = 1 << 20

// long reads a file segment by segment into the stream, and goes on where an earlier run ended. The last try takes what there is.
func (r *run) long(ctx context.Context, p *place, src *os.File, st *unix.Stat_t, f *copying, try int) (*orchestrator.FileSum, error) {
	id, path := identity(st), orchestrator.Path(p.rel)
	s, have := newSums(r.Segment), line{ID: id, Part: &part{Path: path}}
	if try == 1 && r.isThere(p.rel, id.Size) {
		s, have = r.Log.resume(path, id, r.Segment)
	}
	f.begin(r.Again || try > 1) // what an earlier try has stored new is known now
	off := have.Part.Offset
	if off > 0 {
		f.have.New, f.have.Part.Fresh, f.have.Part.Whole = have.New, have.Part.Fresh, have.Part.Whole || f.have.Part.Whole
	} else {
		size := id.Size
		if try == tries {
			size = 0 // it may be shorter by then
		}
		if err := r.create(p.rel, size); err != nil {
			return nil, err
		}
	}
	for off < id.Size {
		end := min(off+r.Segment, id.Size)
		at, err := r.segment(ctx, src, f, off, end, s, try == tries)
		if err != nil {
			return nil, err
		}
		if at < end { // it was cut
			id.Size = at
			break
		}
		if off = end; off < id.Size {
			note, err := checkpoint(line{ID: id, Part: &part{Path: path, Offset: off}}, s)
			if err == nil {
				err = r.stream.segment(ctx, &mark{file: f, note: note})
			}
			if err != nil {
				return nil, err
			}
		}
	}
	sum := r.newSum(p, st, id.Size)
	s.into(sum)
	return sum, nil
}

// segment reads [off, end) of the source and hands it over, holes as such. It returns where it ended: before end only where less says that this is no error.
func (r *run) segment(ctx context.Context, src *os.File, f *copying, off, end int64, s *sums, less bool) (int64, error) {
	for off < end {
		data, hole := off, end
		if !less { // behind the end of a file that was cut there is no hole
			data, hole = nextData(src, off, end)
		}
		if data = max(off, data/r.BlockSize*r.BlockSize); data > off || data == end {
			if err := r.hole(ctx, f, off, data-off, s); err != nil {
				return off, err
			}
			off = data
			continue
		}
		hole = min((hole+r.BlockSize-1)/r.BlockSize*r.BlockSize, end)
		for off < hole {
			want := min(hole-off, r.stream.size)
			n, err := r.pieces(ctx, src, off, want, s, less)
			if err == nil && n > 0 {
				err = r.stream.part(ctx, f, off, n)
			}
			if off += n; err != nil || n < want {
				return off, err
			}
		}
	}
	return off, nil
}

// pieces reads n bytes into the memory and sums them while they are at hand.
func (r *run) pieces(ctx context.Context, src *os.File, off, n int64, s *sums, less bool) (done int64, err error) {
	buf, err := r.stream.room(ctx, n)
	if err != nil {
		return 0, err
	}
	for done < n {
		p := buf[done:min(done+piece, n)]
		k, err := r.fill(ctx, src, p, off+done, less)
		s.add(p[:k])
		done += int64(k)
		if err != nil || k < len(p) {
			return done, err
		}
	}
	return done, nil
}

// hole hands over zeros that take no room.
func (r *run) hole(ctx context.Context, f *copying, off, n int64, s *sums) error {
	for done := int64(0); done < n; done += piece {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.digests(r.zeros[:min(piece, n-done)])
	}
	s.cksum = s.cksum.Zeros(uint64(n))
	return r.stream.hole(ctx, f, off, n)
}

// nextData is where the next data at or behind off begins, and where they end; both at most end. A file system that cannot tell has data only.
func nextData(f *os.File, off, end int64) (data, hole int64) {
	data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return end, end
	}
	if err != nil {
		return off, end
	}
	if data >= end {
		return end, end
	}
	hole, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil || hole > end {
		hole = end
	}
	return data, hole
}

// checkpoint is a note about a segment, with the sums up to its end.
func checkpoint(e line, s *sums) (line, error) {
	state, err := s.xxh.MarshalBinary()
	if err != nil {
		return e, fmt.Errorf("state of a sum: %w", err)
	}
	e.Part.Cksum, e.Part.XXHash, e.Part.Digest = s.cksum, state, s.segments[len(s.segments)-1]
	return e, nil
}
