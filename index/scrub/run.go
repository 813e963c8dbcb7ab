package scrub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/cores"
	"tresor/index/format"
	"tresor/index/progress"
)

// run is one run. Its fields belong to the goroutine that called Run; the workers have what they need in pool.
type run struct {
	v     *index.Volume
	g     *format.Geometry
	o     Options
	clock Clock
	src   *blockfile.Uncached
	st    *state
	rep   *Report
	limit limiter
	meter *progress.Meter
	pool  *pool

	start    time.Time
	deadline time.Time // zero: none
	saved    time.Time

	// doubt has the blocks that may be bad and have no entry in the index: the files say what they should hold.
	doubt *bitmap.Bitmap
	// bad has all blocks that are known to be bad; found describes those that can be listed, with earlier ones.
	bad   *bitmap.Bitmap
	found map[format.Address]*found
	more  uint64 // bad, found by this run, and not in found
	// expelled: something left the index since the last checkpoint.
	expelled bool
}

// found is a bad block that can be listed.
type found struct {
	BadBlock
	fresh      bool // found by this run
	referenced bool // by a file
}

// Run scrubs an open volume until everything was verified, the time is up or ctx ends, and keeps what it did for the next run. Only one
// run may work on a volume at a time. The report is valid with an error too, as far as the run came; of a volume opened for reading
// only nothing is changed and nothing kept.
func Run(ctx context.Context, v *index.Volume, o Options) (*Report, error) {
	r := &run{v: v, g: v.Geometry(), o: o, clock: o.Clock, found: map[format.Address]*found{}, rep: &Report{}}
	if r.clock == nil {
		r.clock = systemClock{}
	}
	if r.o.saveEvery <= 0 {
		r.o.saveEvery = saveEvery
	}
	r.start = r.clock.Now()
	r.saved = r.start
	if o.MaxTime > 0 {
		r.deadline = r.start.Add(o.MaxTime)
	}
	r.limit = limiter{clock: r.clock, rate: o.MaxRate}
	r.doubt, r.bad = bitmap.New(r.g.BlockCount), bitmap.New(r.g.BlockCount)
	if err := r.open(); err != nil {
		return r.rep, fmt.Errorf("scrub: %w", err)
	}
	err := r.work(ctx)
	if e := r.src.Close(); err == nil {
		err = e
	}
	r.finish(err)
	if err != nil {
		return r.rep, fmt.Errorf("scrub: %w", err)
	}
	return r.rep, nil
}

// open gets what a run needs.
func (r *run) open() (err error) {
	p := r.v.Parent()
	var note string
	if r.st, note, err = load(p, r.o.region); err != nil {
		return err
	}
	if note != "" {
		r.rep.Notes = append(r.rep.Notes, note)
	}
	if r.o.Reset {
		old := r.st
		r.st = newState(r.g, r.o.region, old.made)
		r.st.bad = old.bad
	}
	if r.v.ReadOnly() {
		r.rep.Notes = append(r.rep.Notes, "the volume is read-only: bad blocks stay in its index, and what was verified is not kept")
	}
	r.src, err = blockfile.OpenUncached(p.FS, p.BlocksPath, r.g)
	return err
}

// work does everything between open and finish. What was done is saved in any case.
func (r *run) work(ctx context.Context) error {
	workers := r.o.workers
	if workers <= 0 {
		workers = cores.Count() + cores.Waiting
	}
	var err error
	if r.pool, err = newPool(r.v, r.src, workers); err != nil {
		return err
	}
	defer r.pool.close()
	r.recall()
	err = r.judge(ctx)
	if err == nil {
		err = r.pass(ctx)
	}
	if err == nil {
		err = r.lookFiles(ctx)
	}
	return errors.Join(err, r.save())
}

// recall puts what was found bad before in doubt again.
func (r *run) recall() {
	for _, b := range r.st.bad {
		a := format.Address(b.Address)
		r.found[a] = &found{BadBlock: b}
		if _, n := r.v.NextStored(a, a+1, 1); n == 1 {
			r.pool.suspects = append(r.pool.suspects, a)
		}
	}
}

// plan lists the regions to verify, in order.
func (r *run) plan() (list []int) {
	first := r.regionOf(r.st.cursor)
	now := r.start.Unix()
	due := func(i int) bool {
		t := r.st.times[i]
		return r.o.OlderThan <= 0 || t == 0 || t > now || now-t >= int64(r.o.OlderThan/time.Second)
	}
	for i := first; i < len(r.st.times); i++ {
		if due(i) {
			list = append(list, i)
		}
	}
	for i := 0; i < first && r.o.OlderThan > 0; i++ {
		if due(i) {
			list = append(list, i)
		}
	}
	return list
}

func (r *run) regionOf(a format.Address) int { return int(uint64(a) / r.st.regionBlocks) }

// bounds of a region, the end excluded.
func (r *run) bounds(i int) (from, to format.Address) {
	from = format.Address(uint64(i) * r.st.regionBlocks)
	return max(from, format.FirstDataAddress), min(from+format.Address(r.st.regionBlocks), format.Address(r.g.BlockCount))
}

// stored counts the blocks of a range without keeping writers from the allocator for long.
func (r *run) stored(from, to format.Address) (n uint64) {
	const step = 1 << 16
	for ; from < to; from += step {
		n += r.v.StoredIn(from, min(to, from+step))
	}
	return n
}

// pass verifies the regions that are due. Where it ends before, Stopped says why; that is no error unless ctx or the disk ended it.
func (r *run) pass(ctx context.Context) error {
	list := r.plan()
	resumed := r.st.cursor
	var total uint64
	for k, i := range list {
		from, to := r.bounds(i)
		if k == 0 && r.regionOf(resumed) == i {
			from = max(from, resumed)
		}
		total += r.stored(from, to)
	}
	r.meter = progress.New(r.o.Progress, "scrub", progress.Bytes, total<<r.g.BlockShift)
	for k, i := range list {
		from, to := r.bounds(i)
		if k == 0 && r.regionOf(resumed) == i && resumed > from {
			from = resumed
		} else {
			r.st.began = r.clock.Now().Unix()
		}
		done, err := r.region(ctx, from, to)
		if err != nil || !done {
			return err
		}
		r.st.times[i] = max(1, r.st.began)
		r.st.cursor, r.st.began = to, 0
		if err := r.saveNow(); err != nil {
			return err
		}
	}
	r.st.cursor, r.st.began = 0, 0
	r.rep.Complete = true
	return nil
}

// region verifies [from, to) segment by segment; done is false where the time was up.
func (r *run) region(ctx context.Context, from, to format.Address) (done bool, err error) {
	for from < to {
		next, more, err := r.segment(ctx, from, to)
		if err != nil {
			if len(r.pool.suspects) == 0 {
				r.st.cursor = next // all before it was good
			}
			return false, err
		}
		if err := r.judge(ctx); err != nil {
			return false, err
		}
		from, r.st.cursor = next, next
		if !more {
			r.rep.Stopped = "time"
			return false, nil
		}
		if from < to { // a region that is done is noted as such first
			if err := r.saveNow(); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// saveNow is save if that is due.
func (r *run) saveNow() error {
	if r.clock.Now().Sub(r.saved) < r.o.saveEvery {
		return nil
	}
	return r.save()
}

// save keeps what was done. That a bad block is not in the index must be on the disk before it is noted that it was seen to.
func (r *run) save() error {
	if r.v.ReadOnly() || r.st == nil {
		return nil
	}
	r.saved = r.clock.Now()
	if r.expelled {
		if err := r.v.Checkpoint(); err != nil {
			return err
		}
		r.expelled = false
	}
	r.st.bad, r.st.more = r.badList()
	return r.st.save(r.v.Parent())
}
