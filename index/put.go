package index

import (
	"fmt"
	"slices"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// Writer stores blocks. It holds scratch memory, so each goroutine has its own; the Volume itself is shared.
type Writer struct {
	v     *Volume
	fresh []fresh
	waits []wait

	sums   []blockhash.Hash
	stored []byte // of a block that is proved before it is linked
	stream uint64 // to which the blocks belong
	turn   Turn   // of the next Put or the one that goes on, nil when it is over
	room   []room // taken for its new blocks
}

// fresh is a block of the batch that is not in the index.
type fresh struct {
	i  int
	fl *flight
}

// wait is a block that somebody else (or an earlier block of the same batch) is storing.
type wait struct {
	i  int
	fl *flight
}

// room is a run of blocks that were taken.
type room struct {
	addr format.Address
	n    int
}

// NewWriter returns a writer.
func (v *Volume) NewWriter() *Writer { return &Writer{v: v} }

// Stream says what the blocks of the next Puts belong to, by any number but 0, such as the file's id: those of one stream are kept together on the
// disk where several are written at once. 0, the beginning, means nothing in particular.
func (w *Writer) Stream(id uint64) { w.stream = id }

// Put stores len(blocks)/BlockSize whole blocks and sets one entry for each. Known blocks are linked, zero blocks become the null
// entry. The caller is between Enter and Leave and stays there until the entries stand in a stored file. After an error
// no entry is valid; what was stored by then is referred to by nothing and goes with the next reclaim. A full volume or disk is an error of
// class format.ErrNoSpace.
//
// The blocks are in the block file when Put returns; Sync makes them durable. A panic inside, that is a bug, is an error too (Volume.Bug).
func (w *Writer) Put(blocks []byte, out []format.Entry) (err error) {
	v := w.v
	defer func() {
		w.turn = nil
		if b := v.caught(recover()); b != nil {
			err = b
		}
	}()
	if err := v.Failed(); err != nil {
		return err
	}
	bs := v.geo.BlockSize
	n := len(blocks) / bs
	w.fresh, w.waits = w.fresh[:0], w.waits[:0]
	w.sums = slices.Grow(w.sums[:0], n)[:n]
	v.geo.Kind.SumAll(blocks[:n*bs], bs, w.sums, notZero)
	for i := range n {
		out[i] = format.Entry{Hash: w.sums[i]}
	}
	v.stats.hashed.Add(uint64(n))
	err = w.enter(blocks[:n*bs], out)
	if len(w.waits) > 0 {
		w.pass()
	}
	return w.await(blocks, out, err)
}

func notZero(_ int, block []byte) bool { return !blockhash.IsZero(block) }

// classify finds out whether block number i of the batch is known, on its way, or to be stored by us.
func (w *Writer) classify(i int, e *format.Entry, block []byte) {
	v := w.v
	if a, ok := w.link(e, block); ok {
		e.Addr = a
		v.stats.ghost.Add(1)
		return
	}
	fl, mine := v.flying.claim(&e.Hash)
	if !mine {
		w.waits = append(w.waits, wait{i, fl})
		return
	}
	w.fresh = append(w.fresh, fresh{i, fl})
	// It may have landed between the look-up and the claim.
	if a, ok := w.link(e, block); ok {
		w.fresh = w.fresh[:len(w.fresh)-1]
		v.flying.land(&e.Hash, fl, a, nil)
		e.Addr = a
		v.stats.ghost.Add(1)
	}
}

// store writes the fresh blocks in runs as long as addresses and memory allow. Every claim is landed when it returns.
// After an error the addresses that are not used are free again.
func (w *Writer) store(blocks []byte, out []format.Entry) error {
	todo := w.fresh
	if len(todo) == 0 {
		return nil
	}
	err := w.v.life.touch(w.v.parent)
	if err == nil && !w.v.fits(uint64(len(todo))) {
		err = format.Mark(format.ErrNoSpace, errDiskFull)
	}
	if err == nil {
		err = w.take(len(todo))
	}
	if err == nil {
		for _, r := range w.room {
			if err != nil {
				w.v.giveBack(r.addr, r.n)
				continue
			}
			todo, err = w.fill(blocks, out, todo, r.addr, r.n)
		}
	}
	for _, f := range todo {
		w.v.flying.land(&out[f.i].Hash, f.fl, 0, err)
	}
	return err
}

// take reserves room for n blocks, when it is our turn: one range for all of them if there is such, so that they lie together whatever known
// blocks are in between. All of it is taken before anything is written, since others may wait for their turn. After an error nothing is taken.
func (w *Writer) take(n int) error {
	if w.turn != nil {
		w.turn.Wait()
		defer w.pass()
	}
	w.room = w.room[:0]
	for n > 0 {
		addr, got, err := w.v.alloc.take(w.stream, n)
		if err != nil {
			for _, r := range w.room {
				w.v.giveBack(r.addr, r.n)
			}
			return err
		}
		w.room = append(w.room, room{addr, got})
		n -= got
	}
	return nil
}

// fill stores the first n fresh blocks at the addresses from addr on and returns the claims that are still open. After an error the addresses that are
// not used are free again.
func (w *Writer) fill(blocks []byte, out []format.Entry, todo []fresh, addr format.Address, n int) (left []fresh, err error) {
	for n > 0 && err == nil {
		// neighbours in memory are written with one call
		run := 1
		for run < n && todo[run].i == todo[run-1].i+1 {
			run++
		}
		var landed int
		landed, err = w.storeRun(blocks, out, todo[:run], addr)
		todo = todo[landed:]
		addr, n = addr+format.Address(run), n-run
	}
	if n > 0 {
		w.v.giveBack(addr, n)
	}
	return todo, err
}

// storeRun writes the blocks of run, which are neighbours in memory, to the addresses from addr, and publishes them. It returns
// how many claims it landed; after an error the others are still open and their addresses free again.
func (w *Writer) storeRun(blocks []byte, out []format.Entry, run []fresh, addr format.Address) (landed int, err error) {
	v := w.v
	bs := v.geo.BlockSize
	for j := range run {
		v.mark(addr + format.Address(j))
		v.proved.Clear(uint64(addr) + uint64(j))
	}
	first := run[0].i
	if err := v.blocks.Write(addr, blocks[first*bs:(first+len(run))*bs]); err != nil {
		v.giveBack(addr, len(run))
		return 0, err
	}
	v.wrote.Add(1)
	v.stats.written.Add(uint64(len(run)))
	v.out.wrote(int64(addr)*int64(bs), int64(len(run)*bs))
	for j, f := range run {
		e := &out[f.i]
		e.Addr = addr + format.Address(j)
		at, err := v.publish(e)
		if err != nil {
			v.giveBack(e.Addr, len(run)-j)
			return j, fmt.Errorf("enter block %d into the index: %w", e.Addr, err)
		}
		if at != e.Addr {
			v.giveBack(e.Addr, 1)
			e.Addr = at
		} else {
			v.stored(at)
		}
		v.flying.land(&e.Hash, f.fl, at, nil)
	}
	return len(run), nil
}

// stored tells that a block is in the block file and in the index. From here on a snapshot may know it, so it is never given back.
func (v *Volume) stored(a format.Address) {
	if v.alloc.stored(a, 1)*uint64(v.geo.BlockSize) < uint64(v.opts.Checkpoint) {
		return
	}
	select {
	case v.due <- struct{}{}:
	default:
	}
}

// giveBack frees blocks that nothing refers to and nothing ever did. The marks of a reclaim that runs lose them first: they are not in use.
func (v *Volume) giveBack(a format.Address, n int) {
	if m := v.marks.Load(); m != nil {
		for i := range uint64(n) {
			m.Clear(uint64(a) + i)
		}
	}
	v.alloc.giveBack(a, n)
}

// await takes over the addresses of blocks that others stored. A block whose storing failed elsewhere is tried by us: the
// other's error may have been about something of theirs.
func (w *Writer) await(blocks []byte, out []format.Entry, err error) error {
	v, bs := w.v, w.v.geo.BlockSize
	for _, wt := range w.waits {
		<-wt.fl.done
		if err != nil {
			continue
		}
		if wt.fl.err == nil {
			out[wt.i].Addr = wt.fl.addr
			v.mark(wt.fl.addr)
			v.stats.ghost.Add(1)
			continue
		}
		one, block := Writer{v: v, stream: w.stream}, blocks[wt.i*bs:(wt.i+1)*bs]
		err = one.await(block, out[wt.i:wt.i+1], one.enter(block, out[wt.i:wt.i+1]))
	}
	return err
}
