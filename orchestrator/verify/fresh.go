package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tresor/orchestrator"
)

// fresh reads the blocks that the copy has stored new. It returns false if all of the file has to be read.
func (r *run) fresh(ctx context.Context, w *orchestrator.FileSum) bool {
	back, err := r.parts(ctx, w)
	if !r.proved(ctx, w, back, err) {
		return true
	}
	if want := count(w.Fresh); back.Blocks != want {
		r.unreadable(w.Path, "copy", fmt.Errorf("%d of its %d new blocks were read", back.Blocks, want))
		return true
	}
	if back.Known > 0 && !r.scrubbed(back.Scrubbed) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if back.Known > 0 && (r.out.Known == 0 || back.Scrubbed.Before(r.out.Scrubbed)) {
		r.out.Scrubbed = back.Scrubbed // the oldest date that blocks rely on
	}
	r.out.Known += back.Known
	return true
}

// scrubbed tells whether the last scrub is good enough to rely on: it was made, not too long ago, and after everything that nobody has read back.
func (r *run) scrubbed(last time.Time) bool {
	age, limit := r.v.o.Clock.Now().Sub(last), r.v.o.MaxScrubAge
	return !last.IsZero() && age >= 0 && (limit <= 0 || age <= limit) && last.After(r.want.Unproved) // a date in the future is none
}

// smallPart is how many blocks are asked for at once at first, and at least. More follow while that takes less than partTime: a pause waits for the end
// of one part, and each costs a look at all entries of the file.
const (
	smallPart = 1024
	partTime  = time.Second
)

// parts reads the new blocks of a file, some at a time, as if it were one reading.
func (r *run) parts(ctx context.Context, w *orchestrator.FileSum) (all orchestrator.ReadBack, err error) {
	var failed []error
	stored := uint64(0)
	rest, size := w.Fresh, uint64(smallPart)
	for first := true; first || len(rest) > 0; first = false {
		if err := r.v.o.Gate(ctx); err != nil {
			return all, err
		}
		var part []orchestrator.Blocks
		part, rest = split(rest, size)
		begun := r.v.o.Clock.Now()
		back, err := r.store.ReadBack(ctx, r.name(w), nil, part)
		all.Blocks += back.Blocks
		all.Bad = append(all.Bad, back.Bad...)
		if first {
			stored, all.Scrubbed = back.Known+back.Blocks+count(back.Bad), back.Scrubbed
		}
		if err != nil {
			failed = append(failed, err)
			if len(back.Bad) == 0 {
				break // nothing was found out
			}
		}
		switch took := r.v.o.Clock.Now().Sub(begun); {
		case took < partTime:
			size *= 2
		case took > 2*partTime:
			size = max(size/2, smallPart)
		}
	}
	all.Known = stored - min(stored, all.Blocks+count(all.Bad))
	return all, errors.Join(failed...)
}

// split takes at most n blocks from the front of a list, which it does not change.
func split(list []orchestrator.Blocks, n uint64) (part, rest []orchestrator.Blocks) {
	for i, b := range list {
		if b.Count >= n {
			part = append(slices.Clone(list[:i]), orchestrator.Blocks{First: b.First, Count: n})
			rest = list[i+1:]
			if b.Count > n {
				rest = append([]orchestrator.Blocks{{First: b.First + n, Count: b.Count - n}}, rest...)
			}
			return part, rest
		}
		n -= b.Count
	}
	return list, nil
}

func count(list []orchestrator.Blocks) (n uint64) {
	for _, b := range list {
		n += b.Count
	}
	return n
}
