package pack

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// reserveBytes is how much room is asked for with one call.
const reserveBytes uint64 = 64 << 20

// leastRound is the least part of all moves that a round must have room for: with less it would go on forever.
const leastRound = 64

// copyBlocks copies every block that moves and makes the copies durable; the plan then says so. Nothing but free blocks is written.
func (j *job) copyBlocks(ctx context.Context) error {
	if err := j.reserve(); err != nil {
		return err
	}
	j.res.Moved = j.moves.limit
	j.logf("moving %d of %d blocks below block %d", j.moves.limit, j.moves.first, j.moves.first)
	j.touched = true
	m := progress.New(j.o.Progress, "copy blocks", progress.Bytes, j.moves.limit<<j.p.Geometry.BlockShift)
	err := j.eachSpan(ctx, func(push func(from, to uint64) bool) {
		j.moves.each(func(_, from, to uint64) bool { return push(from, to) })
	}, func(r *reader, s *span) error {
		if err := j.copySpan(r, s); err != nil {
			return err
		}
		m.Add(uint64(len(s.from)) << j.p.Geometry.BlockShift)
		return nil
	})
	if err != nil {
		return err
	}
	if err := j.blocks.Sync(); err != nil {
		return err
	}
	j.plan.phase, j.plan.limit = copied, j.moves.limit
	return j.writePlan()
}

// copySpan proves the blocks of a span and writes them to their new places, neighbours with one call.
func (j *job) copySpan(r *reader, s *span) error {
	sums, err := r.load(s)
	if err != nil {
		return err
	}
	for i, sum := range sums {
		if a, _, ok := j.idx.Table().Lookup(&sum); !ok || uint64(a) != s.from[i] {
			return format.Mark(format.ErrIO, fmt.Errorf("block at address %d of %s is not what the index says: %w",
				s.from[i], j.p.BlocksPath, format.ErrCorrupt))
		}
	}
	for i := 0; i < len(s.to); {
		n := 1
		for i+n < len(s.to) && s.to[i+n] == s.to[i]+uint64(n) {
			n++
		}
		if err := j.blocks.Write(format.Address(s.to[i]), r.gather(s, i, n)); err != nil {
			return err
		}
		i += n
	}
	return nil
}

// reserve finds room for the copies where the free blocks are holes, and sets how many of them this round makes. What is free anyhow
// behind all that is used gives its room first.
func (j *job) reserve() error {
	if j.blocks.Disk().IsDevice() {
		return nil
	}
	room := roomFinder{j: j, most: max(reserveBytes>>j.p.Geometry.BlockShift, uint64(1))}
	var start, n uint64
	var err error
	j.moves.each(func(_, _, to uint64) bool {
		if n > 0 && (to != start+n || n == room.most) {
			if err = room.take(start, n); err != nil {
				return false
			}
			n = 0
		}
		if n == 0 {
			start = to
		}
		n++
		return true
	})
	if err == nil && n > 0 {
		err = room.take(start, n)
	}
	switch {
	case err == nil, errors.Is(err, disk.ErrUnsupported):
		return nil
	case !errors.Is(err, unix.ENOSPC):
		return err
	case room.got == 0 || room.got < j.moves.total/leastRound:
		return format.Mark(format.ErrNoSpace, fmt.Errorf("%d blocks move to places that take no room yet: want room for at least %d, have %d: %w",
			j.moves.total, max(j.moves.total/leastRound, 1), room.got, err))
	}
	j.logf("there is room for %d of %d copies at once", room.got, j.moves.total)
	j.moves.limit = room.got
	return nil
}

// roomFinder takes room for runs of blocks.
type roomFinder struct {
	j    *job
	most uint64 // blocks of a run
	got  uint64 // blocks that have room
	made bool   // the free end of the block file has given its room
}

func (r *roomFinder) take(start, n uint64) error {
	j := r.j
	j.touched = true
	for {
		err := j.blocks.Disk().Allocate(j.p.Geometry.Offset(format.Address(start)), int64(n)<<j.p.Geometry.BlockShift)
		if err == nil {
			if err = j.keepRoom(); err == nil {
				r.got += n
				return nil
			}
			if e := j.blocks.Punch(format.Address(start), n); e != nil {
				return errors.Join(err, e)
			}
		}
		switch {
		case !errors.Is(err, unix.ENOSPC):
			return err
		case !r.made:
			r.made = true
			j.punchFree(j.moves.first, j.moves.used.Len())
		case n > 1:
			// As much of the run as there is room for, by halves.
			if err := r.take(start, n/2); err != nil {
				return err
			}
			return r.take(start+n/2, n-n/2)
		default:
			return err
		}
	}
}

// keepRoom fails where the disk has not the room left that plan and snapshot need.
func (j *job) keepRoom() error {
	free, err := j.blocks.Disk().Free()
	if err != nil {
		return err
	}
	if want := 4*uint64(len(j.moves.used.Bytes())) + 16*format.IndexPage; free < want {
		return fmt.Errorf("%d bytes are left, want %d: %w", free, want, unix.ENOSPC)
	}
	return nil
}

// punchFree gives back the room of the free blocks in [from, to). That it cannot be done is no error.
func (j *job) punchFree(from, to uint64) {
	if j.blocks.Disk().IsDevice() {
		return
	}
	have, err := j.blocks.Blocks()
	if err != nil {
		return
	}
	for to = min(to, have); from < to; {
		start, n := j.moves.used.ClearRun(from, to-from)
		if n == 0 || start >= to {
			return
		}
		n = min(n, to-start)
		if err := j.blocks.Punch(format.Address(start), n); err != nil {
			j.logf("the room of free blocks could not be given back: %v", err)
			return
		}
		from = start + n
	}
}
