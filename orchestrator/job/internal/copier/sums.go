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
	whole    *blake3.Hasher // nil: the file was gone on with
	segment  int64
	segments []orchestrator.Digest
}

func newSums(segment int64) *sums {
	return &sums{xxh: xxhash.New(), part: blake3.New(), whole: blake3.New(), segment: segment}
}

// clone is a copy that can be gone on with by itself.
func (s *sums) clone() *sums {
	c := *s
	xxh := *s.xxh
	c.xxh, c.part = &xxh, s.part.Clone()
	if s.whole != nil {
		c.whole = s.whole.Clone()
	}
	c.segments = s.segments[:len(s.segments):len(s.segments)]
	return &c
}

// add takes the next bytes.
func (s *sums) add(p []byte) {
	s.cksum = s.cksum.Update(p)
	s.digests(p)
}

// digests are the sums that cannot skip zeros.
func (s *sums) digests(p []byte) {
	_, _ = s.xxh.Write(p) // a hash takes everything
	if s.whole != nil {
		_, _ = s.whole.Write(p)
	}
	for len(p) > 0 {
		n := min(int64(len(p)), s.segment-s.partLen)
		_, _ = s.part.Write(p[:n])
		s.partLen += n
		p = p[n:]
		if s.partLen == s.segment {
			s.cut()
		}
	}
}

// cut ends a segment.
func (s *sums) cut() {
	if s.partLen > 0 {
		s.segments = append(s.segments, orchestrator.Digest(s.part.Sum(nil)))
		s.part.Reset()
		s.partLen = 0
	}
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
	if s.whole != nil {
		d := orchestrator.Digest(s.whole.Sum(nil))
		f.Blake3 = &d
	}
}
