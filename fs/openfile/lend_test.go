package openfile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// region is what one of several writers writes of a file: his own part of it, over and over.
type region struct {
	h     *openfile.Handle
	off   int64
	piece int // bytes of a write
	want  []byte
	told  []error
}

// write writes pieces in the region and spoils the memory that they came from as soon as it has the answer.
func (r *region) write(rnd *rand.Rand, times int) {
	buf := make([]byte, r.piece)
	for range times {
		at := rnd.IntN(len(r.want)/len(buf)) * len(buf)
		for i := 0; i < len(buf); i += 512 {
			buf[i], buf[i+1], buf[i+2] = byte(rnd.Uint32()), byte(rnd.Uint32()), byte(i>>9)
		}
		copy(r.want[at:], buf)
		if _, err := r.h.WriteAt(buf, r.off+int64(at)); err != nil {
			r.told = append(r.told, err)
		}
		for i := range buf {
			buf[i] = 0xEE
		}
	}
	if err := r.h.Flush(); err != nil {
		r.told = append(r.told, err)
	}
}

// several begins writers in regions of two files, more than one worker can serve, and waits for them.
func several(t *testing.T, file func(name string) *openfile.Handle, m *openfile.Manager, times int) []*region {
	t.Helper()
	var lent atomic.Int64
	m.OnLend(func() { lent.Add(1) })
	rnd := rand.New(rand.NewPCG(seed(t), 2))
	var all []*region
	for i := range 6 {
		// Whole chunks are always lent, others of new data only if nothing of their file waits.
		all = append(all, &region{h: file(fmt.Sprint("f", i%2)), off: int64(i/2) << 20, piece: []int{1 << 20, 256 << 10}[i%4/2], want: make([]byte, 1<<20)})
	}
	var wg sync.WaitGroup
	for _, r := range all {
		own := rand.New(rand.NewPCG(rnd.Uint64(), 3))
		wg.Go(func() { r.write(own, times) })
	}
	wg.Wait()
	if lent.Load() == 0 {
		t.Error("no writer stored his data himself")
	}
	return all
}

// same compares a region with what the file has there; what was never written is a hole.
func (r *region) same(t *testing.T) {
	t.Helper()
	have := make([]byte, len(r.want))
	n, err := r.h.ReadAt(have, r.off)
	if err != nil {
		t.Fatal(err)
	}
	clear(have[n:]) // past the end
	for i := range have {
		if have[i] != r.want[i] {
			t.Fatalf("at %d: want %#x, have %#x", r.off+int64(i), r.want[i], have[i])
		}
	}
}

// TestLent has more writers than workers: they store their data from memory of their own, which is theirs again when they are answered.
func TestLent(t *testing.T) {
	for _, bs := range []int{4096, 64 << 10} {
		t.Run(fmt.Sprint(bs), func(t *testing.T) {
			r := newRig(t, format.CreateOptions{Hash: "BLAKE3", Size: 256 << 20, BlockSize: bs, Overflow: 1.3}, 1)
			all := several(t, r.file, r.m, 40)
			for _, x := range all {
				if len(x.told) > 0 {
					t.Fatal(errors.Join(x.told...))
				}
				x.same(t)
				if err := x.h.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestLentFails has the disk fail meanwhile: who was told of no error has what he wrote.
func TestLentFails(t *testing.T) {
	o := format.CreateOptions{Hash: "BLAKE3", Size: 128 << 20, BlockSize: 64 << 10, Overflow: 1.3}
	for n := 0; n < 24; n += 4 {
		r := newMemory(t, o, 1)
		call := disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}
		r.disk.Inject(disktest.Fault{Call: call, N: n, Err: unix.EIO})
		all := several(t, r.file, r.m, 4)
		if r.disk.Fired() == 0 {
			t.Fatalf("write %d of the block file never happened", n)
		}
		r.disk.Heal()
		told := 0
		for _, x := range all {
			if len(x.told) > 0 {
				told++
				continue
			}
			x.same(t)
		}
		if told == 0 {
			t.Errorf("write %d of the block file failed and nobody was told", n)
		}
		for _, x := range all {
			_ = x.h.Close() // errors were told above
		}
		r.abandon()
	}
}

// TestLentFull has a writer with data to store himself when another one takes the room that there was for it: he is told at once, since by his answer
// nothing is on its way that could be lost later.
func TestLentFull(t *testing.T) {
	const bs, n = 64 << 10, 8
	r := newMemory(t, format.CreateOptions{Hash: "BLAKE3", Size: (2 + n + 6) * bs, BlockSize: bs, Overflow: 1.3}, 1)
	r.m.LendAlways()
	one, two := r.file("one"), r.file("two")
	promised, taken := make(chan struct{}), make(chan struct{})
	r.m.OnLend(func() {
		close(promised)
		<-taken
	})
	told := make(chan error, 1)
	go func() {
		_, err := one.WriteAt(pattern(1, n*bs), 0)
		told <- err
	}()
	<-promised
	if _, err := two.WriteAt(pattern(100, n*bs), 0); err != nil {
		t.Fatal(err)
	}
	close(taken)
	if err := <-told; !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("have %v, want ErrNoSpace", err)
	}
	if size := one.File().Size(); size != 0 {
		t.Errorf("the file that has nothing has %d bytes", size)
	}
	r.assertContent(two, pattern(100, n*bs))
	for _, h := range []*openfile.Handle{one, two} {
		if err := errors.Join(h.Flush(), h.Close()); err != nil {
			t.Errorf("told twice: %v", err)
		}
	}
	r.close()
}
