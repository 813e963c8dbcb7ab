package fsck

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/recipe"
)

// ErrNotBlocks is a block file that does not begin as one, and whose blocks are not what the files say.
var ErrNotBlocks = errors.New("nothing proves that it is the block file of this volume, and it is not written to: " +
	"give the right one (--blocks PATH), or -f to write the header into this one")

// proofs is how many blocks are looked at to recognise a block file without a header.
const proofs = 64

// proveBlocks recognises a block file whose header is damaged by the content of its blocks: of a sample that is spread over all files
// the clear majority must be what the files say.
func (r *repairer) proveBlocks(ctx context.Context) error {
	sample, err := r.sample(ctx)
	if err != nil {
		return err
	}
	h := newHasher(r.v.Geometry, r.blocks, r.whole)
	var right, wrong int
	for _, e := range sample {
		sum, err := h.one(e.Addr)
		switch {
		case err == nil && sum == e.Hash:
			right++
		case err == nil:
			wrong++
		}
	}
	if right > 2*wrong {
		r.v.logf("the header of the block file is damaged; it is ours by the content of %d of %s", right, format.Count(uint64(right+wrong), "block"))
		return nil
	}
	return fmt.Errorf("%w; of %s that files refer to, %d found there: %w", r.head.Magic, format.Count(uint64(len(sample)), "block"), right, ErrNotBlocks)
}

// sample is up to proofs entries, each of all that lie in the block file as likely as any other, the same ones every time.
func (r *repairer) sample(ctx context.Context) ([]format.Entry, error) {
	g := r.v.Geometry
	var list []format.Entry
	seen := uint64(0)
	rng := rand.New(rand.NewPCG(1, g.BlockCount))
	err := recipe.Walk(ctx, r.v.FS, r.v.Root, func(w recipe.WalkEntry) error {
		f, err := w.Open()
		if err != nil {
			return nil // the survey meets it again
		}
		defer f.Close()
		err = recipe.New(f, g).Scan(ctx, 0, func(_ uint64, raw []byte) error {
			for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
				a := g.Addr(raw)
				if !g.InRange(a) || uint64(a) >= r.whole || isZero(g, raw[g.AddrSize:g.EntrySize]) {
					continue
				}
				seen++
				at := rng.Uint64N(seen)
				if len(list) < proofs {
					list = append(list, format.Entry{})
					at = uint64(len(list) - 1)
				}
				if at < uint64(len(list)) {
					g.GetEntry(raw, &list[at])
				}
			}
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return nil
	}, func(string, error) error { return nil })
	slices.SortFunc(list, func(a, b format.Entry) int { return int(int64(a.Addr) - int64(b.Addr)) })
	return list, err
}

// CutError is a block file that lacks blocks that were on the disk once: it was cut, or not copied whole. Nothing was changed.
type CutError struct {
	File       string
	Want, Have int64  // length in bytes; Want at least
	Blocks     uint64 // blocks of files that it lacks
}

func (e *CutError) Error() string {
	return fmt.Sprintf("block file %s was cut or not copied whole: want at least %d bytes, have %d; it lacks %s of files. "+
		"Nothing was changed: find the whole file, or go on with fsck -n -f, which makes what is missing lost "+
		"(the hashes stay in the files, so that -R finds the content in a whole file later)", e.File, e.Want, e.Have, format.Count(e.Blocks, "block"))
}

// Is makes every CutError one of class format.ErrCorrupt.
func (e *CutError) Is(target error) bool { return target == format.ErrCorrupt }

// noteCut notes an address past the end of the block file whose block was there once: files and index agree on it, or the last
// snapshot knows it where there is no index.
func (r *repairer) noteCut(a format.Address, h *blockhash.Hash) {
	i := uint64(a)
	if i < r.whole || !r.known(i) {
		return
	}
	have, _, ok := r.idx.Table().Lookup(h)
	if ok && have == a || r.fresh && r.v.Snapshot != nil && r.v.Snapshot.Get(i) {
		r.cut.Set(i)
	}
}

// refuseCut ends a repair that would take blocks for lost that only need the whole block file. A forced one goes on.
func (r *repairer) refuseCut(context.Context) error {
	n := r.cut.Count()
	if n == 0 {
		return nil
	}
	if r.o.Force {
		r.v.logf("the block file lacks %s of files: lost from now on", format.Count(n, "block"))
		r.cut.Each(0, func(i uint64) bool {
			r.suspect.Set(i)
			return true
		})
		return nil
	}
	last, _ := usage(r.cut.Bitmap())
	have, err := r.blocks.Disk().Size()
	if err != nil {
		return err
	}
	return &CutError{File: r.v.BlocksPath, Want: r.v.Geometry.Offset(format.Address(last + 1)), Have: have, Blocks: n}
}
