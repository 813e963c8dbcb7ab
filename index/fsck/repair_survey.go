package fsck

import (
	"context"
	"errors"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// survey reads all files and notes the addresses in use, and those about which files and index disagree.
func (r *repairer) survey(ctx context.Context) error {
	r.v.logf("reading the files")
	m := progress.New(r.v.Progress, "survey files", progress.Files, 0)
	return r.v.eachFile(ctx, func(ctx context.Context, _ int, e recipe.WalkEntry) error {
		if err := r.surveyFile(ctx, e); err != nil && ctx.Err() == nil {
			r.missed(e.Path, err)
		}
		m.Add(1)
		return ctx.Err()
	}, r.missed)
}

// missed notes a file or directory that could not be read. As nobody knows what it refers to, nothing is freed.
func (r *repairer) missed(path string, err error) {
	r.incomplete.Store(true)
	letters := unreadableFile
	if errors.Is(err, format.ErrCorrupt) {
		letters = badHeader
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unseen[path] {
		return
	}
	r.unseen[path] = true
	r.res.Reports = append(r.res.Reports, FileReport{Path: path, Letters: letters, Err: err})
}

func (r *repairer) surveyFile(ctx context.Context, e recipe.WalkEntry) error {
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	file := recipe.New(f, r.v.Geometry)
	if _, err := file.ReadHeader(); err != nil {
		return err
	}
	return file.Scan(ctx, 0, func(_ uint64, raw []byte) error {
		r.surveyEntries(raw)
		return nil
	})
}

// surveyEntries is the inner loop of the survey.
func (r *repairer) surveyEntries(raw []byte) {
	g, t := r.v.Geometry, r.idx.Table()
	for ; len(raw) >= g.EntrySize; raw = raw[g.EntrySize:] {
		a := g.Addr(raw)
		hash := raw[g.AddrSize:g.EntrySize]
		data := g.InRange(a)
		if data {
			r.inFiles.Set(uint64(a))
		} else if isZero(g, hash) {
			continue
		}
		var h blockhash.Hash
		copy(h[:], hash)
		have, _, ok := t.Lookup(&h)
		if ok && have == a {
			continue
		}
		// Both are in doubt: the block of the file, and the one that the index would have instead, which the file gets only if
		// its content was hashed. That holds for a block marked as lost as well.
		if data {
			r.suspect.Set(uint64(a))
		}
		if ok {
			r.suspect.Set(uint64(have))
		}
	}
}
