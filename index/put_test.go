package index_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/blockhash"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

func TestPutAndRead(t *testing.T) {
	for _, hash := range blockhash.Names() {
		for _, size := range []int{512, 4096, 64 << 10} {
			t.Run(fmt.Sprintf("%s-%d", hash, size), func(t *testing.T) {
				t.Parallel()
				o := format.CreateOptions{Hash: hash, BlockSize: size, Size: int64(size) * 64, Overflow: 1.3}
				r := newRig(t, o, index.Options{})
				// known and new blocks, one twice in a batch
				first := r.mustPut("a", 1, 2, 3)
				second := r.mustPut("b", 3, 4, 1, 5, 4)
				if second[0] != first[2] || second[2] != first[0] || second[1] != second[4] {
					t.Errorf("known blocks: have entries %v after %v, want the same addresses", second, first)
				}
				if s := r.vol.Stats(); s.Written != 5 || s.Ghost != 3 {
					t.Errorf("have %d blocks written and %d linked, want 5 and 3", s.Written, s.Ghost)
				}
				r.assertRead(first, 1, 2, 3)
				r.assertRead(second, 3, 4, 1, 5, 4)
				r.close()
				r.assertClean()
				r.open()
				r.assertRead(r.entries("b"), 3, 4, 1, 5, 4)
				if again := r.mustPut("", 5, 2); again[0] != second[3] || again[1] != first[1] {
					t.Errorf("after opening again: have entries %v, want %v %v", again, second[3], first[1])
				}
			})
		}
	}
}

func TestPutZeros(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	out := []format.Entry{{Addr: 9}, {Addr: 9}, {Addr: 9}}
	p := slices.Concat(make([]byte, r.blockSize()), block(r.blockSize(), 7), make([]byte, r.blockSize()))
	ticket := r.vol.Enter()
	err := r.vol.NewWriter().Put(p, out)
	r.vol.Leave(ticket)
	if err != nil {
		t.Fatal(err)
	}
	if out[0] != (format.Entry{}) || out[2] != (format.Entry{}) || out[1].Addr < format.FirstDataAddress {
		t.Errorf("have entries %v, want null entries around a block", out)
	}
	r.writeFile("f", uint64(len(p)), out)
	if have, err := r.read(out); err != nil || string(have) != string(p) {
		t.Errorf("read: %v, or not what was written", err)
	}
	if s := r.vol.Stats(); s.Written != 1 || s.ZeroWrite != 2 || s.ReadZero != 2 {
		t.Errorf("have %d written, %d zeros written, %d zeros read, want 1, 2, 2", s.Written, s.ZeroWrite, s.ReadZero)
	}
}

// TestReadParts reads from the middle of a block over several into the middle of another.
func TestReadParts(t *testing.T) {
	for _, verify := range []index.Verify{index.VerifyFirst, index.VerifyAlways, index.VerifyOff} {
		r := newRig(t, smallVolume(), index.Options{Verify: verify})
		entries := r.mustPut("f", 1, 2, 3, 9, 1)
		all := r.blocks(1, 2, 3, 9, 1)
		rnd := rand.New(rand.NewPCG(seed(t), 0))
		reader := r.vol.NewReader()
		for range 200 {
			off := rnd.IntN(len(all))
			p := make([]byte, rnd.IntN(len(all)-off)+1)
			first := off / r.blockSize()
			n, healed, err := reader.Read(slices.Clone(entries[first:]), off%r.blockSize(), p)
			if n != len(p) || healed != 0 || err != nil || string(p) != string(all[off:off+len(p)]) {
				t.Fatalf("verify %d, read %d bytes at %d: have %d, healed %d, %v, or wrong content", verify, len(p), off, n, healed, err)
			}
		}
	}
}

// TestPutSameContent has many writers store the same blocks at once, in different orders and batches: each is stored once.
func TestPutSameContent(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	const writers, different = 16, 40
	n := seed(t)
	all := make([][]format.Entry, writers)
	order := make([][]uint64, writers)
	var g sync.WaitGroup
	for w := range writers {
		g.Go(func() {
			rnd := rand.New(rand.NewPCG(n, uint64(w)))
			order[w] = permutation(rnd, 1, different)
			writer := r.vol.NewWriter()
			ticket := r.vol.Enter()
			defer r.vol.Leave(ticket)
			for rest := order[w]; len(rest) > 0; {
				k := min(len(rest), 1+rnd.IntN(6))
				out := make([]format.Entry, k)
				if err := writer.Put(r.blocks(rest[:k]...), out); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				all[w] = append(all[w], out...)
				rest = rest[k:]
			}
		})
	}
	g.Wait()
	if t.Failed() {
		return
	}
	addr := map[uint64]format.Address{}
	for w := range writers {
		r.assertRead(all[w], order[w]...)
		for i, b := range order[w] {
			if a, ok := addr[b]; ok && a != all[w][i].Addr {
				t.Errorf("block %d: have addresses %d and %d, want one", b, a, all[w][i].Addr)
			}
			addr[b] = all[w][i].Addr
		}
		r.writeFile(fmt.Sprintf("w%d", w), uint64(len(all[w])*r.blockSize()), all[w])
	}
	if s := r.vol.Stats(); s.Allocated != different+2 || s.Written != different {
		t.Errorf("have %d blocks allocated and %d written, want %d and %d", s.Allocated, s.Written, different+2, different)
	}
}

// TestPutFailsOnWrite lets a write of blocks fail: no entry of these blocks may come out of the volume afterwards, and the
// addresses are free.
func TestPutFailsOnWrite(t *testing.T) {
	for _, partial := range []int{0, 1, 4096, 5000} {
		t.Run(fmt.Sprint(partial), func(t *testing.T) {
			r := newRig(t, smallVolume(), index.Options{})
			r.mustPut("known", 1)
			before := r.vol.Stats()
			r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}, Partial: partial, Err: unix.EIO})
			if _, err := r.put(1, 2, 3, 4); !errors.Is(err, unix.EIO) {
				t.Fatalf("put: have %v, want EIO", err)
			}
			r.m.Heal()
			if s := r.vol.Stats(); s.Allocated != before.Allocated {
				t.Errorf("have %d blocks allocated after the failure, want %d", s.Allocated, before.Allocated)
			}
			if r.vol.Failed() != nil {
				t.Errorf("the volume failed for good: %v", r.vol.Failed())
			}
			entries := r.mustPut("f", 4, 3, 2, 1)
			r.assertRead(entries, 4, 3, 2, 1)
			if s := r.vol.Stats(); s.Written != before.Written+3 {
				t.Errorf("have %d blocks written, want %d: an entry came from the failed write", s.Written, before.Written+3)
			}
		})
	}
}

// TestPutFailureOfAnother has writers wait for a block whose storing fails elsewhere: they store it themselves.
func TestPutFailureOfAnother(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	for round := range uint64(50) {
		r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}, Err: unix.EIO})
		const writers = 6
		errs := make([]error, writers)
		out := make([][]format.Entry, writers)
		var g sync.WaitGroup
		for w := range writers {
			g.Go(func() { out[w], errs[w] = r.put(100 + round) })
		}
		g.Wait()
		r.m.Heal()
		failed := 0
		for w := range writers {
			if errs[w] != nil {
				failed++
				continue
			}
			r.assertRead(out[w], 100+round)
		}
		if failed != 1 {
			t.Fatalf("round %d: %d of %d writers failed, want the one whose write did: %v", round, failed, writers, errs)
		}
		if round == 40 {
			break
		}
	}
	// nothing refers to these blocks
	r.kill()
}

// TestPutFull fills the volume: the blocks that find no room are refused cleanly, known ones are still linked.
func TestPutFull(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	const room = 64 - 2
	var stored uint64
	for i := range names("f", room) {
		r.mustPut(fmt.Sprintf("f%d", i), uint64(i+1))
		stored++
	}
	for range 3 {
		if _, err := r.put(1000); !errors.Is(err, format.ErrNoSpace) {
			t.Fatalf("put into a full volume: have %v, want ErrNoSpace", err)
		}
	}
	if r.vol.HasRoom(1) {
		t.Error("have room for a block in a full volume")
	}
	r.mustPut("again", 1, stored)
	if s := r.vol.Stats(); s.Free != 0 || s.Allocated != 64 {
		t.Errorf("have %d blocks allocated and %d free, want 64 and 0", s.Allocated, s.Free)
	}
}

// TestPutFullDisk fills the disk below: refused as no space, and the volume can still be closed clean.
func TestPutFullDisk(t *testing.T) {
	o := smallVolume()
	o.Size = 4096 * 4096
	r := newRig(t, o, index.Options{})
	r.m.SetCapacity(4 << 20)
	var n uint64
	for ; n < 4000; n++ {
		if _, err := r.put(n + 1); err != nil {
			if !errors.Is(err, format.ErrNoSpace) && !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("put on a full disk: have %v, want no space", err)
			}
			break
		}
		if n%16 == 0 {
			r.mustPut(fmt.Sprintf("f%d", n), n+1)
		}
	}
	if n < 100 || n == 4000 {
		t.Fatalf("the disk of 4 MiB was full after %d blocks", n)
	}
	r.close()
	if sum, found := r.check(); sum.Status() > 2 {
		t.Errorf("check: status %d, %q", sum.Status(), found)
	}
}

// TestPutDiskFullAtWrite is a block write that the disk refuses although it said that there was room.
func TestPutDiskFullAtWrite(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Err: unix.ENOSPC})
	_, err := r.put(1)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("have %v, want ENOSPC", err)
	}
	r.m.Heal()
	r.mustPut("f", 1)
}
