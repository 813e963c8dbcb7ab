package disktest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"

	"tresor/index/disk"
)

// testRandom drives one file with random operations beside a plain slice.
func testRandom(s *suite) {
	seed := rand.Uint64()
	s.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	f := s.open("f", os.O_CREATE)
	var want []byte
	for range 300 {
		off := rng.Int64N(100_000)
		p := bytes.Repeat([]byte{byte(rng.Uint32()) | 1}, 1+rng.IntN(20_000))
		end := int(off) + len(p)
		switch rng.IntN(4) {
		case 0, 1:
			s.ok(disk.WriteFull(f, p, off))
			want = append(want, make([]byte, max(end-len(want), 0))...)
			copy(want[off:], p)
		case 2:
			s.ok(f.Truncate(off))
			want = append(want, make([]byte, max(int(off)-len(want), 0))...)[:off]
			clear(want[len(want):cap(want)])
		case 3:
			err := f.Punch(off, int64(len(p)))
			if errors.Is(err, disk.ErrUnsupported) {
				continue
			}
			s.ok(err)
			clear(want[min(int(off), len(want)):min(end, len(want))])
		}
		if s.content(f, want); s.Failed() {
			s.Fatalf("seed %d", seed)
		}
		s.holesAreZero(f, want)
	}
}

// holesAreZero checks that nothing but zeros is called a hole.
func (s *suite) holesAreZero(f disk.File, want []byte) {
	s.Helper()
	at := int64(0)
	for at < int64(len(want)) {
		data, err := f.NextData(at)
		if err != nil {
			data = int64(len(want))
		}
		if data < at || len(bytes.Trim(want[at:data], "\x00")) > 0 {
			s.Fatalf("next data from %d: have %d, %v, but there is data before", at, data, err)
		}
		if data >= int64(len(want)) {
			return
		}
		if at, err = f.NextHole(data); err != nil || at <= data {
			s.Fatalf("next hole from %d: have %d, %v", data, at, err)
		}
	}
}
