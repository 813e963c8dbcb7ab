package copier

import (
	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/blake3"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/cksum"
)

// sums are those of a file's content, from its beginning on.
type sums struct {
	cksum    cksum.State
	xxh      *xxhash.Digest
	part     *blake3.Hasher // of the segment
	partLen  int64
	whole    *blake3.Hasher // nil: the first segment has not ended, so it is all there is, or the file was gone on with
	resumed  bool
	segment  int64
	segments []orchestrator.Digest
}

func newSums(segment int64) *sums {
	return &sums{xxh: xxhash.New(), part: blake3.New(), segment: segment}
}

// add takes the next bytes.
func (s *sums) add(p []byte) {
	s.cksum = s.cksum.Update(p)
	s.digests(p)
}

// digests are the sums that cannot skip zeros.
func (s *sums) digests(p []byte) {
	_, _ = s.xxh.Write(p) // a hash takes everything
	for len(p) > 0 {
		n := min(int64(len(p)), s.segment-s.partLen)
		_, _ = s.part.Write(p[:n])
		if s.whole != nil {
			_, _ = s.whole.Write(p[:n])
		}
		s.partLen += n
		p = p[n:]
		if s.partLen == s.segment {
			s.cut()
		}
	}
}

// cut ends a segment.
func (s *sums) cut() {
	if s.partLen == 0 {
		return
	}
	s.segments = append(s.segments, orchestrator.Digest(s.part.Sum(nil)))
	s.partLen = 0
	if s.whole == nil && !s.resumed {
		s.whole, s.part = s.part, blake3.New() // the first segment is the beginning of the whole
		return
	}
	s.part.Reset()
}

// zeros takes n zero bytes; buf is as many of them as are taken at once.
func (s *sums) zeros(n int64, buf []byte) {
	s.cksum = s.cksum.Zeros(uint64(n))
	for n > 0 {
		k := min(n, int64(len(buf)))
		s.digests(buf[:k])
		n -= k
	}
}

// into writes the sums of a whole file.
func (s *sums) into(f *orchestrator.FileSum) {
	s.cut()
	f.Cksum, f.XXH64 = s.cksum.Sum(), s.xxh.Sum64()
	f.SegmentSize, f.Segments = s.segment, s.segments
	switch {
	case s.resumed:
	case s.whole == nil: // no bytes
		d := orchestrator.Digest(s.part.Sum(nil))
		f.Blake3 = &d
	default:
		d := orchestrator.Digest(s.whole.Sum(nil))
		f.Blake3 = &d
	}
}

// sumOf writes the sums of a file that is all in p, not longer than a segment.
func sumOf(p []byte, segment int64, f *orchestrator.FileSum) {
	f.Cksum, f.XXH64, f.SegmentSize = cksum.Sum(p), xxhash.Sum64(p), segment
	d := orchestrator.Digest(blake3.Sum256(p))
	f.Blake3 = &d
	if len(p) > 0 {
		f.Segments = []orchestrator.Digest{d}
	}
}
