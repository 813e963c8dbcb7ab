package index_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/table"
)

// TestTableInParallel drives the table from many goroutines, each with hashes of its own that lie among those of the others, at a fill
// of 90 %, while checkpoints copy it. What each finds is what it did, and in the end the table has exactly the union, in canonical form.
func TestTableInParallel(t *testing.T) {
	const blocks, workers = 20000, 8
	// 22563 slots: six stripes, and runs of entries over their edges.
	o := format.CreateOptions{Hash: "SHA1", BlockSize: 512, Size: blocks * 512, Overflow: 1.1}
	r := newRig(t, o, index.Options{})
	r.vol.TakeBlocks(blocks - 2)
	if n := r.vol.Stripes(); n < 5 {
		t.Fatalf("the table has %d stripes, want several", n)
	}
	steps := 40000
	if long() {
		steps = 400000
	}
	n := seed(t)
	all := make([]*tableWorker, workers)
	var g, copier sync.WaitGroup
	var done atomic.Bool
	copier.Go(func() {
		for !done.Load() {
			if err := r.vol.Checkpoint(); err != nil {
				t.Errorf("checkpoint: %v", err)
				return
			}
		}
	})
	for w := range workers {
		all[w] = &tableWorker{v: r.vol, id: w, rnd: rand.New(rand.NewPCG(n, uint64(w))), most: (blocks - 2) / workers, base: 2 + w*(blocks-2)/workers}
		g.Go(func() { all[w].run(t, steps) })
	}
	g.Wait()
	done.Store(true)
	copier.Wait()
	want := map[blockhash.Hash]format.Address{}
	for _, w := range all {
		for h, a := range w.want {
			want[h] = a
		}
	}
	r.vol.Table().Check(func(f table.Finding) { t.Errorf("slot %d: %v", f.Slot, f.Fault) })
	var e format.Entry
	have := 0
	for s := range r.vol.Table().Slots() {
		if r.vol.Table().Empty(s) {
			continue
		}
		r.vol.Table().Get(s, &e)
		if want[e.Hash] != e.Addr {
			t.Errorf("slot %d: have %x at %d, want %d", s, e.Hash[:8], e.Addr, want[e.Hash])
		}
		have++
	}
	if have != len(want) || have < blocks*85/100 {
		t.Errorf("have %d entries, want %d and at least 85%% of %d", have, len(want), blocks)
	}
	r.kill()
}

// tableWorker has hashes of its own: those whose last byte is its number.
type tableWorker struct {
	v          *index.Volume
	id         int
	rnd        *rand.Rand
	most, base int
	want       map[blockhash.Hash]format.Address
	list       []blockhash.Hash // the keys of want
	free       []format.Address
}

func (w *tableWorker) run(t *testing.T, steps int) {
	w.want = map[blockhash.Hash]format.Address{}
	for i := range w.most {
		w.free = append(w.free, format.Address(w.base+i))
	}
	for range w.most * 95 / 100 {
		w.insert(t)
	}
	for range steps {
		switch w.rnd.IntN(8) {
		case 0, 1:
			w.remove(t)
		case 2, 3:
			w.insert(t)
		case 4:
			h := w.hash()
			if a, ok := w.v.Find(&h); ok != (w.want[h] != 0) || a != w.want[h] {
				t.Errorf("worker %d: find of a hash of nobody: have %d", w.id, a)
			}
		default:
			w.find(t)
		}
		if t.Failed() {
			return
		}
	}
}

// edge is the prefix of hashes whose ideal slot lies some hundred slots below the edge between two stripes of that table.
const edge = 0x5C00

func (w *tableWorker) hash() (h blockhash.Hash) {
	binary.BigEndian.PutUint64(h[:], w.rnd.Uint64())
	if w.rnd.IntN(48) == 0 {
		// many with one ideal slot at the edge of a stripe: a long run
		binary.BigEndian.PutUint64(h[:], w.rnd.Uint64N(1<<40)|edge<<48)
	}
	h[19] = byte(w.id + 1)
	return h
}

func (w *tableWorker) insert(t *testing.T) {
	if len(w.free) == 0 {
		return
	}
	e := format.Entry{Addr: w.free[len(w.free)-1], Hash: w.hash()}
	if _, ok := w.want[e.Hash]; ok {
		return
	}
	at, err := w.v.Publish(&e)
	if err != nil || at != e.Addr {
		t.Errorf("worker %d: publish %x at %d: have %d, %v", w.id, e.Hash[:8], e.Addr, at, err)
		return
	}
	w.free = w.free[:len(w.free)-1]
	w.want[e.Hash] = e.Addr
	w.list = append(w.list, e.Hash)
	again := format.Entry{Addr: 2, Hash: e.Hash}
	if w.rnd.IntN(4) == 0 {
		if at, err := w.v.Publish(&again); err != nil || at != e.Addr {
			t.Errorf("worker %d: publish again: have %d, %v, want %d", w.id, at, err, e.Addr)
		}
	}
}

func (w *tableWorker) find(t *testing.T) {
	h := w.list[w.rnd.IntN(len(w.list))]
	if a, ok := w.v.Find(&h); !ok || a != w.want[h] {
		t.Errorf("worker %d: find %x: have %d, %v, want %d", w.id, h[:8], a, ok, w.want[h])
	}
}

func (w *tableWorker) remove(t *testing.T) {
	i := w.rnd.IntN(len(w.list))
	e := format.Entry{Hash: w.list[i], Addr: w.want[w.list[i]]}
	if w.v.Retract(&format.Entry{Hash: e.Hash, Addr: e.Addr%100 + 30000}) {
		t.Errorf("worker %d: %x left the table for another address", w.id, e.Hash[:8])
	}
	if !w.v.Retract(&e) {
		t.Errorf("worker %d: retract %x at %d: not found", w.id, e.Hash[:8], e.Addr)
	}
	if a, ok := w.v.Find(&e.Hash); ok {
		t.Errorf("worker %d: %x is at %d after it was retracted", w.id, e.Hash[:8], a)
	}
	w.list[i] = w.list[len(w.list)-1]
	w.list = w.list[:len(w.list)-1]
	delete(w.want, e.Hash)
	w.free = append(w.free, e.Addr)
}

// TestPutFullIndex fills the run of entries to the end of the table: a block that belongs there is refused, others are not.
func TestPutFullIndex(t *testing.T) {
	o := format.CreateOptions{Hash: "TIGER", BlockSize: 512, Size: 3000 * 512, Overflow: 1.1}
	r := newRig(t, o, index.Options{})
	g := r.vol.Geometry()
	high, low := uint64(0), uint64(0)
	for n := uint64(1); high == 0 || low == 0; n++ {
		h := g.Kind.Sum(block(512, n))
		switch p := h.Prefix() >> 56; {
		case p == 0xFF && high == 0:
			high = n
		case p < 0x80 && low == 0:
			low = n
		}
	}
	r.close()
	v := indextest.Describe(t, r.m, volumeDir)
	v.WithIndex(func(tab *table.Table, used *bitmap.Bitmap) {
		hash := g.Kind.Sum(block(512, high))
		rnd := rand.New(rand.NewPCG(1, 1))
		for a := uint64(2); ; a++ {
			e := format.Entry{Addr: format.Address(a), Hash: hash}
			binary.BigEndian.PutUint64(e.Hash[:], hash.Prefix()+rnd.Uint64N(^uint64(0)-hash.Prefix()))
			if _, _, err := tab.Insert(&e); errors.Is(err, format.ErrNoSpace) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			used.Set(a)
		}
	})
	r.unrecorded()
	r.open()
	before := r.vol.Stats()
	// In a batch, so that the blocks around it are not affected by its failure.
	out, err := r.put(low, high)
	if !errors.Is(err, format.ErrNoSpace) {
		t.Fatalf("put into a full index: have %v, %v, want ErrNoSpace", out, err)
	}
	if s := r.vol.Stats(); s.Allocated > before.Allocated+1 {
		t.Errorf("have %d blocks allocated, want %d and at most the one before it", s.Allocated, before.Allocated)
	}
	r.assertRead(r.mustPut("f", low), low)
	if s := r.vol.Stats(); s.Allocated != before.Allocated+1 {
		t.Errorf("have %d blocks allocated, want %d", s.Allocated, before.Allocated+1)
	}
	hash := g.Kind.Sum(block(512, high))
	if a, ok := r.vol.Find(&hash); ok {
		t.Errorf("the block that found no place is at %d", a)
	}
	// A bad block in a run without an end leaves the index like any other.
	var e format.Entry
	tab := r.vol.Table()
	tab.Get(tab.Slots()-1, &e)
	if !r.vol.Retract(&e) {
		t.Errorf("entry in the last slot: %s not found", fmt.Sprintf("%x", e.Hash[:8]))
	}
	if _, err := r.put(high); err != nil {
		t.Errorf("put after a slot became free: %v", err)
	}
	r.kill()
}
