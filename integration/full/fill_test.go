package full_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(1)
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("TRESOR_SEED: %v", err)
		}
		n = v
	}
	t.Logf("TRESOR_SEED=%d", n)
	return n
}

// unique is data that is nowhere else.
func unique(seed, id uint64, n int) []byte {
	r := rand.NewPCG(seed, id)
	p := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			p[i+j] = byte(v >> (8 * j))
		}
	}
	return p[:n]
}

// filler writes files of unique data until there is no room.
type filler struct {
	t     *testing.T
	m     *mounttest.Mount
	seed  uint64
	size  int // of a file
	piece int // of a write
	next  atomic.Uint64

	mu    sync.Mutex // guards what follows
	whole []uint64   // files whose close told no error
	cut   []uint64   // files that failed on the way
}

func (f *filler) name(id uint64) string { return fmt.Sprintf("f%04d", id) }

func (f *filler) data(id uint64) []byte { return unique(f.seed, id, f.size) }

// fill writes with so many writers until each has had an error, which must be ENOSPC.
func (f *filler) fill(writers int) {
	f.t.Helper()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for f.next.Load() < 1<<16 {
				id := f.next.Add(1)
				err := f.write(f.name(id), f.data(id))
				f.mu.Lock()
				if err == nil {
					f.whole = append(f.whole, id)
				} else {
					f.cut = append(f.cut, id)
				}
				f.mu.Unlock()
				if err == nil {
					continue
				}
				if !errors.Is(err, unix.ENOSPC) {
					f.t.Errorf("write file %d: have %v, want ENOSPC", id, err)
				}
				return
			}
		})
	}
	wg.Wait()
	if len(f.whole) == 0 || len(f.cut) == 0 {
		f.t.Fatalf("fill: have %d whole files and %d that did not fit, want some of each", len(f.whole), len(f.cut))
	}
}

// write makes a file in pieces; the error is the first, be it of a write or of the close.
func (f *filler) write(name string, data []byte) error {
	o, err := os.Create(f.m.Path(name))
	if err != nil {
		return err
	}
	for len(data) > 0 && err == nil {
		n := min(len(data), f.piece)
		_, err = o.Write(data[:n])
		data = data[n:]
	}
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	return err
}

// verify compares every file. One that failed has what it was given, as far as it goes.
func (f *filler) verify(when string) {
	f.t.Helper()
	for _, id := range f.whole {
		have, err := os.ReadFile(f.m.Path(f.name(id)))
		if err != nil || !bytes.Equal(have, f.data(id)) {
			f.t.Errorf("%s: file %d: have %d bytes, %v; want the %d that were written", when, id, len(have), err, f.size)
		}
	}
	for _, id := range f.cut {
		have, err := os.ReadFile(f.m.Path(f.name(id)))
		if os.IsNotExist(err) {
			continue // not even a name fitted
		}
		want := f.data(id)
		if err != nil || len(have) > len(want) {
			f.t.Errorf("%s: file %d, which failed: have %d bytes, %v; want at most %d", when, id, len(have), err, len(want))
		} else if at := sameOrHole(have, want); at >= 0 {
			f.t.Errorf("%s: file %d, which failed, with %d bytes: differs at %d", when, id, len(have), at)
		}
	}
}

// sameOrHole returns the first offset where have is neither what was written nor zeros (never stored), or -1.
func sameOrHole(have, want []byte) int {
	for i, b := range have {
		if b != want[i] && b != 0 {
			return i
		}
	}
	return -1
}

// removeWhole deletes a share of the files.
func (f *filler) removeWhole(n int) {
	f.t.Helper()
	for _, id := range f.whole[:n] {
		if err := os.Remove(f.m.Path(f.name(id))); err != nil {
			f.t.Error(err)
		}
	}
	f.whole = f.whole[n:]
}
