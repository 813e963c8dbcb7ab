package openfile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fs/openfile"
	"tresor/index/format"
	"tresor/index/reclaim"
)

// beside is files that are written, cut, read in every way, reclaimed, and dropped from memory, all at the same time.
type beside struct {
	t     *testing.T
	r     *rig
	bs    int
	size  int
	files []*openfile.Handle
	stop  chan struct{}
	wg    sync.WaitGroup

	version, views, wrong atomic.Int64
}

// stamp makes blocks that tell file, place and version in every 32 bytes.
func (b *beside) stamp(p []byte, file, off int) {
	version := uint64(b.version.Add(1))
	for i := 0; i < len(p); i += 32 {
		for k, v := range []uint64{uint64(file) + 1, uint64(off + i), version, ^version} {
			binary.LittleEndian.PutUint64(p[i+8*k:], v)
		}
	}
}

// look finds blocks that are neither zeros nor one version of that place of that file.
func (b *beside) look(how string, p []byte, file, off int) {
	for len(p) > 0 {
		part := p[:min(len(p), b.bs-off%b.bs)]
		want := make([]byte, 32)
		for i := 0; i+32 <= len(part); i += 32 {
			if i == 0 {
				copy(want, part)
			}
			if !bytes.Equal(want, make([]byte, 32)) {
				binary.LittleEndian.PutUint64(want, uint64(file)+1)
				binary.LittleEndian.PutUint64(want[8:], uint64(off+i))
			}
			if !bytes.Equal(part[i:i+32], want) && b.wrong.Add(1) < 5 {
				b.t.Errorf("%s, file %d at %d: have %x, want %x", how, file, off+i, part[i:i+32], want)
			}
		}
		p, off = p[len(part):], off+len(part)
	}
}

// loop does something over and over until the end.
func (b *beside) loop(rnd *rand.Rand, pause time.Duration, do func(rnd *rand.Rand, file int, h *openfile.Handle)) {
	own := rand.New(rand.NewPCG(rnd.Uint64(), 1))
	b.wg.Go(func() {
		for {
			select {
			case <-b.stop:
				return
			case <-time.After(pause):
			}
			file := own.IntN(len(b.files))
			do(own, file, b.files[file])
		}
	})
}

func (b *beside) write(rnd *rand.Rand, file int, h *openfile.Handle) {
	most := max(1<<20/b.bs, 1)
	p := make([]byte, (1+rnd.IntN(most))*b.bs)
	off := rnd.IntN((b.size-len(p))/b.bs+1) * b.bs
	b.stamp(p, file, off)
	_, _ = h.WriteAt(p, int64(off)) // the volume may be full until the next reclaim: what was there stays
	clear(p)
}

func (b *beside) read(rnd *rand.Rand, file int, h *openfile.Handle) {
	off := rnd.IntN(b.size/4096) * 4096
	if v := h.View(1<<20, int64(off)); v != nil {
		b.views.Add(1)
		for range 2 {
			b.look("view", slices.Concat(v.Slices()...), file, off)
			time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond) // as long as an answer may take
		}
		v.Release()
	}
	p := make([]byte, 1<<20)
	read := h.ReadAt
	if rnd.IntN(3) > 0 {
		read = h.ReadKept
	}
	n, err := read(p, int64(off))
	if err != nil && b.wrong.Add(1) < 5 {
		b.t.Error(err)
	}
	b.look("read", p[:n], file, off)
}

// TestViewBeside reads in every way beside all that changes what is there: nobody ever gets what is another file's, or at another place, or half of a block.
func TestViewBeside(t *testing.T) {
	took := 700 * time.Millisecond
	if os.Getenv("TRESOR_LONG") == "1" {
		took = 30 * time.Second
	}
	rnd := rand.New(rand.NewPCG(seed(t), 5))
	for _, bs := range []int{4096, 256 << 10, 2 << 20} {
		t.Run(fmt.Sprint(bs), func(t *testing.T) {
			r := newRig(t, format.CreateOptions{Hash: "BLAKE3", Size: 192 << 20, BlockSize: bs, Overflow: 1.3}, 2)
			b := &beside{t: t, r: r, bs: bs, size: max(4<<20, 3*bs), stop: make(chan struct{})}
			for i := range 3 {
				b.files = append(b.files, r.file(fmt.Sprint("f", i)))
			}
			for range 3 {
				b.loop(rnd, time.Millisecond, b.write)
				b.loop(rnd, 0, b.read)
			}
			b.loop(rnd, 20*time.Millisecond, func(rnd *rand.Rand, _ int, h *openfile.Handle) {
				if err := h.File().Truncate(int64(rnd.IntN(b.size/bs+1) * bs)); err != nil {
					t.Error(err)
				}
			})
			b.loop(rnd, 10*time.Millisecond, func(*rand.Rand, int, *openfile.Handle) {
				if _, err := reclaim.Run(context.Background(), r.vol, reclaim.Options{}); err != nil {
					t.Error(err)
				}
			})
			b.loop(rnd, 30*time.Millisecond, func(*rand.Rand, int, *openfile.Handle) { r.dropCache() })
			time.Sleep(took)
			for end := time.Now().Add(time.Minute); b.views.Load() == 0 && time.Now().Before(end); { // on a busy machine the caches are always cold
				time.Sleep(time.Millisecond)
			}
			close(b.stop)
			b.wg.Wait()
			if b.views.Load() == 0 {
				t.Error("nothing was shown without a copy")
			}
			for _, h := range b.files {
				_ = h.Close() // writes that met a full volume
			}
		})
	}
}
