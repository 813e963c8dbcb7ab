package scrub

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/format"
)

// judge decides about the suspects: one search of the index tells whose they are, and each is read once more. Those that the index
// does not have stay in doubt until the files are looked through.
func (r *run) judge(ctx context.Context) error {
	list := r.pool.suspects
	r.pool.suspects = nil
	if len(list) == 0 {
		return nil
	}
	set := bitmap.New(r.g.BlockCount)
	for _, a := range list {
		set.Set(uint64(a))
	}
	owners, err := r.v.Owners(ctx, set)
	if err != nil {
		return err
	}
	slices.SortFunc(owners, func(a, b format.Entry) int { return int(int64(a.Addr) - int64(b.Addr)) })
	for i := range owners {
		e := &owners[i]
		set.Clear(uint64(e.Addr))
		verdict, _, err := r.v.Convict(e, r.pool.one, r.read)
		if err != nil {
			return err
		}
		if verdict == index.Bad || verdict == index.Unreadable {
			r.expelled = true
			r.note(e, verdict == index.Unreadable)
		}
	}
	for i, ok := set.NextSet(0); ok; i, ok = set.NextSet(i + 1) {
		if a, n := r.v.NextStored(format.Address(i), format.Address(i)+1, 1); n == 1 {
			r.doubt.Set(uint64(a))
		}
	}
	return nil
}

// note remembers a bad block; nil when the list is full.
func (r *run) note(e *format.Entry, unreadable bool) *found {
	b := BadBlock{Address: uint64(e.Addr), Hash: r.hex(&e.Hash), Found: r.clock.Now().Unix(), Unreadable: unreadable}
	f := r.found[e.Addr]
	switch {
	case f != nil && (f.fresh || f.Hash == b.Hash): // seen before, by this run or an earlier one
	case f != nil: // something else has been stored there since, and is bad now
		*f = found{BadBlock: b, fresh: true}
	case r.bad.Get(b.Address):
	case len(r.found) >= maxBad:
		r.more++
	default:
		f = &found{BadBlock: b, fresh: true}
		r.found[e.Addr] = f
	}
	r.bad.Set(b.Address)
	return f
}

func (r *run) hex(h *blockhash.Hash) string { return hex.EncodeToString(h[:r.g.HashSize]) }

// badList is what is to be remembered, in the order of addresses.
func (r *run) badList() (list []BadBlock, more uint64) {
	list = []BadBlock{}
	for _, f := range r.found {
		list = append(list, f.BadBlock)
	}
	slices.SortFunc(list, func(a, b BadBlock) int { return int(int64(a.Address) - int64(b.Address)) })
	return list, r.more
}

// finish completes the report.
func (r *run) finish(err error) {
	rep := r.rep
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		rep.Stopped, rep.Complete = "interrupted", false
	case err != nil:
		rep.Stopped, rep.Complete = "error", false
	}
	rep.Seconds = r.clock.Now().Sub(r.start).Seconds()
	rep.Bad = r.more
	for _, f := range r.found {
		if f.Unreadable {
			rep.Unreadable++
		} else {
			rep.Bad++
		}
		if f.fresh {
			rep.New++
		}
	}
	rep.New += r.more
	notes := rep.Notes
	rep.Status = describe(r.v, r.st)
	rep.BadBlocks, rep.MoreBad = r.badList()
	if rep.Files == nil {
		rep.Files = []Damage{} // programs read a list
	}
	rep.Notes = append(notes, rep.Status.Notes...)
}

// describe is the status that a state stands for. Regions without blocks have nothing to be verified.
func describe(v *index.Volume, s *state) Status {
	res := Status{Cursor: uint64(s.cursor), RegionBytes: s.regionBlocks << v.Geometry().BlockShift, BadBlocks: s.bad, MoreBad: s.more}
	for i, t := range s.times {
		from := format.Address(uint64(i) * s.regionBlocks)
		if _, n := v.NextStored(from, min(from+format.Address(s.regionBlocks), format.Address(v.Geometry().BlockCount)), 1); n == 0 {
			continue
		}
		res.Regions++
		switch {
		case t == 0:
			res.Never++
		case res.Oldest == 0 || t < res.Oldest:
			res.Oldest = t
		}
	}
	return res
}

// ReadStatus tells what is known of a volume from earlier runs. Bad blocks whose content the index has elsewhere are healed and left
// out; whether files still refer to the others is for the next run to find out.
func ReadStatus(v *index.Volume) (*Status, error) {
	s, note, err := load(v.Parent(), 0)
	if err != nil {
		return nil, err
	}
	s.bad = slices.DeleteFunc(s.bad, func(b BadBlock) bool {
		var h blockhash.Hash
		if raw, err := hex.DecodeString(b.Hash); err == nil {
			copy(h[:], raw)
		}
		a, ok := v.Known(&h)
		return ok && uint64(a) != b.Address
	})
	if s.bad == nil {
		s.bad = []BadBlock{}
	}
	res := describe(v, s)
	if note != "" {
		res.Notes = append(res.Notes, note)
	}
	return &res, nil
}
