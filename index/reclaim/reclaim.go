// Package reclaim finds the blocks of an open volume that no file refers to and frees them: mark and sweep, beside
// running writers.
//
// The mark phase walks all underlying files; what writers store or link meanwhile is marked by the engine, and what moves behind the walk
// (renames, links, files without a name that are still open) is handed in by whoever serves the files. A walk that could not see every
// file frees nothing.
package reclaim

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

// Report is the outcome, with the names that the original prints. Counts are in blocks, entries or files.
type Report struct {
	Allocated       uint64  `json:"block_allocated"`
	NotAllocated    uint64  `json:"block_not_allocated"`
	InUse           uint64  `json:"block_in_use"`
	NotInUse        uint64  `json:"block_not_in_use"`
	HashNotFound    uint64  `json:"hash_not_found"`
	Files           uint64  `json:"files"`
	References      uint64  `json:"block_references"`
	Fragmentation   float64 `json:"fragmentation"` // percent of references that do not follow their predecessor on the disk
	EntriesInIndex  uint64  `json:"nodes_in_index"`
	EntriesDeleted  uint64  `json:"node_deleted"`
	BytesFreed      uint64  `json:"bytes_freed"`
	blocksScattered uint64
}

// Options of a run.
type Options struct {
	// Extra is called after the walk with a function that takes files the walk cannot see or may have missed (open files without a name,
	// files that were renamed or linked during the walk); it returns when there are none left. nil: the volume is not served.
	Extra func(see func(name string, f disk.File) error) error
	// Progress is called now and then with the number of files and references seen; nil drops it.
	Progress func(files, references uint64)
}

// Run reclaims. It may be ended through ctx before anything was freed. ErrReclaimRuns while another one runs.
func Run(ctx context.Context, v *index.Volume, o Options) (*Report, error) {
	if v.ReadOnly() {
		return nil, format.Mark(format.ErrReadOnly, errors.New("reclaim: the volume is read-only"))
	}
	marks, err := v.StartMarks()
	if err != nil {
		return nil, err
	}
	defer marks.End()
	w := &walker{ctx: ctx, v: v, marks: marks, o: o, rep: &Report{}}
	if err := w.walk(); err != nil {
		return nil, fmt.Errorf("reclaim: nothing was freed: %w", err)
	}
	swept, err := marks.Sweep(ctx.Err)
	if err != nil {
		return nil, fmt.Errorf("reclaim: %w", err)
	}
	return w.report(swept), nil
}

// walker is the mark phase of one run.
type walker struct {
	ctx   context.Context
	v     *index.Volume
	marks *index.Marks
	o     Options

	mu  sync.Mutex // guards rep while files are seen by the walk and by Extra at once
	rep *Report
}

func (w *walker) walk() error {
	p := w.v.Parent()
	vanished := func(path string, err error) error {
		if errors.Is(err, iofs.ErrNotExist) {
			return nil // removed since it was listed: what it referred to is free unless somebody else does
		}
		return err
	}
	err := recipe.Walk(w.ctx, p.FS, p.Root, func(e recipe.WalkEntry) error {
		f, err := e.Open()
		if err != nil {
			return vanished(e.Path, err)
		}
		defer f.Close()
		return w.see(e.Path, f)
	}, vanished)
	if err != nil || w.o.Extra == nil {
		return err
	}
	return w.o.Extra(w.see)
}

// see marks everything that one underlying file refers to.
func (w *walker) see(name string, d disk.File) error {
	g := w.v.Geometry()
	f := recipe.New(d, g)
	if _, err := f.ReadHeader(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var refs, scattered, unknown uint64
	var e format.Entry
	var before format.Address
	err := f.Scan(w.ctx, 0, func(first uint64, raw []byte) error {
		for off := 0; off < len(raw); off += g.EntrySize {
			g.GetEntry(raw[off:], &e)
			if e.Addr == format.AddressZero {
				continue
			}
			known, err := w.marks.Add(&e)
			if err != nil {
				return fmt.Errorf("%s, block %d of the file: %w", name, first+uint64(off/g.EntrySize), err)
			}
			refs++
			if !known {
				unknown++
			}
			if e.Addr != before+1 {
				scattered++
			}
			before = e.Addr
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rep.Files++
	w.rep.References += refs
	w.rep.HashNotFound += unknown
	w.rep.blocksScattered += scattered
	if w.o.Progress != nil {
		w.o.Progress(w.rep.Files, w.rep.References)
	}
	return nil
}

func (w *walker) report(s index.Swept) *Report {
	r := w.rep
	total := w.v.Geometry().BlockCount
	r.Allocated, r.NotAllocated = s.Allocated, total-s.Allocated
	r.InUse, r.NotInUse = s.InUse, total-s.InUse
	r.EntriesInIndex, r.EntriesDeleted = s.Entries, s.Deleted
	r.BytesFreed = s.Freed * uint64(w.v.Geometry().BlockSize)
	if r.References > 0 {
		r.Fragmentation = 100 * float64(r.blocksScattered) / float64(r.References)
	}
	return r
}
