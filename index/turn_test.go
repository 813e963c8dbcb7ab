package index_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/index"
	"tresor/index/format"
)

// noted is a Turn that notes what it is asked, and when.
type noted struct {
	mu    sync.Mutex // guards steps
	steps []string
	wait  func() // until it is the turn
}

func (n *noted) step(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.steps = append(n.steps, what)
}

func (n *noted) have() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.steps, " ")
}

func (n *noted) Wait() {
	n.step("wait")
	if n.wait != nil {
		n.wait()
	}
}

func (n *noted) Pass() { n.step("pass") }

// putIn stores blocks in a turn.
func (r *rig) putIn(turn index.Turn, ns ...uint64) ([]format.Entry, error) {
	w, out := r.vol.NewWriter(), make([]format.Entry, len(ns))
	ticket := r.vol.Enter()
	defer r.vol.Leave(ticket)
	w.InTurn(turn)
	return out, w.Put(r.blocks(ns...), out)
}

// TestTurnIsForNewBlocks: who stores nothing new does not wait, and one turn is for one Put.
func TestTurnIsForNewBlocks(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	w, out := r.vol.NewWriter(), make([]format.Entry, 3)
	put := func(ns ...uint64) {
		t.Helper()
		ticket := r.vol.Enter()
		defer r.vol.Leave(ticket)
		if err := w.Put(r.blocks(ns...), out[:len(ns)]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		blocks []uint64
		want   string
	}{{[]uint64{1, 0, 2}, "wait pass"}, {[]uint64{2, 1}, ""}, {[]uint64{0}, ""}, {[]uint64{1, 3}, "wait pass"}, {[]uint64{4, 4}, "wait pass"}} {
		turn := &noted{}
		w.InTurn(turn)
		put(c.blocks...)
		put(10 + c.blocks[0]) // without a turn
		if have := turn.have(); have != c.want {
			t.Errorf("blocks %v: have %q, want %q", c.blocks, have, c.want)
		}
	}
	r.unclosed()
}

// TestTurnBeforeTheDisk: who is about to read a block before he links to it lets the others go before him.
func TestTurnBeforeTheDisk(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{VerifyLinks: true})
	r.mustPut("f", 1)
	r.close()
	r.open()
	turn := &noted{}
	entries, err := r.putIn(turn, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if have := turn.have(); have != "pass" {
		t.Errorf("have %q, want only that it passes", have)
	}
	r.writeFile("g", uint64(2*r.blockSize()), entries)
}

// TestTurnAndTheBlockOfAnother has the later of two writers store a block that the earlier one has too: the later one waits for the earlier one's
// turn and the earlier one for the later one's block, which must not be a circle. With new blocks besides, and without.
func TestTurnAndTheBlockOfAnother(t *testing.T) {
	for _, earlier := range [][]uint64{{1, 2}, {2}, {2, 0, 2}} {
		r := newRig(t, smallVolume(), index.Options{})
		claimed, passed := make(chan struct{}), make(chan struct{})
		later := &noted{wait: func() {
			close(claimed)
			<-passed
		}}
		var wg sync.WaitGroup
		var lateEntries []format.Entry
		var lateErr error
		wg.Go(func() { lateEntries, lateErr = r.putIn(later, 2, 3) })
		<-claimed
		first := &passing{passed: passed}
		var entries []format.Entry
		var err error
		wg.Go(func() { entries, err = r.putIn(first, earlier...) })
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("blocks %v: both wait for each other", earlier)
		}
		if err := errors.Join(err, lateErr); err != nil {
			t.Fatal(err)
		}
		at := slices.Index(earlier, 2)
		if entries[at] != lateEntries[0] {
			t.Errorf("blocks %v: stored twice: %v and %v", earlier, entries, lateEntries)
		}
		if earlier[0] == 1 && entries[0].Addr > lateEntries[0].Addr {
			t.Errorf("blocks %v: the later writer has the earlier addresses: %v and %v", earlier, entries, lateEntries)
		}
		r.writeFile("f", uint64(len(earlier)*r.blockSize()), entries)
		r.writeFile("g", uint64(2*r.blockSize()), lateEntries)
		r.close()
		r.assertClean()
	}
}

// passing is a turn that is there at once and tells when it is passed on.
type passing struct{ passed chan struct{} }

func (p *passing) Wait() {}

func (p *passing) Pass() { close(p.passed) }

// TestPutWithoutRoom: who finds too few free blocks leaves those to others.
func TestPutWithoutRoom(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	n := uint64(0)
	for r.vol.HasRoom(n + 1) {
		n++
	}
	list := make([]uint64, n-5)
	for i := range list {
		list[i] = uint64(i + 1)
	}
	r.mustPut("f", list...)
	turn := &noted{}
	if _, err := r.putIn(turn, 101, 102, 103, 104, 105, 106); !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("have %v, want ErrNoSpace", err)
	}
	if have := turn.have(); have != "wait pass" {
		t.Errorf("have %q, want that it passes after the error", have)
	}
	r.mustPut("g", 101, 102, 103, 104, 105)
}
