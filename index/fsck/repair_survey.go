package fsck

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// maxUnseen is how many files may be unreadable before a repair gives up: a disk that fails that much is looked after first.
const maxUnseen = 100_000

// survey reads all files, those in the quarantine too, and notes the addresses in use, and those about which files and index disagree.
func (r *repairer) survey(ctx context.Context) error {
	r.v.logf("reading the files")
	m := progress.New(r.v.Progress, "survey files", progress.Files, r.files)
	err := r.v.eachFile(ctx, func(ctx context.Context, _ int, e recipe.WalkEntry) error {
		if err := r.surveyFile(ctx, e); err != nil && ctx.Err() == nil {
			r.missed(e.Path, err)
		}
		m.Add(1)
		return ctx.Err()
	}, r.missed)
	if err != nil {
		return err
	}
	err = recipe.WalkQuarantine(ctx, r.v.FS, r.v.Dir, func(e recipe.WalkEntry) error {
		if err := r.scanFile(ctx, e, r.surveyEntries); err != nil && ctx.Err() == nil {
			r.missed(format.QuarantineName+"/"+e.Path, err)
		}
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil {
		r.missed(format.QuarantineName, err)
		err = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unseen) > maxUnseen {
		return fmt.Errorf("more than %d files cannot be read, nothing was changed: look after the disk first", maxUnseen)
	}
	return err
}

// missed notes a file or directory that could not be read or written. As nobody knows what it refers to, nothing is freed.
func (r *repairer) missed(path string, err error) {
	r.incomplete.Store(true)
	r.mu.Lock()
	before := r.unseen[path]
	if len(r.unseen) <= maxUnseen {
		r.unseen[path] = true
	}
	r.mu.Unlock()
	if before {
		return
	}
	letters := unreadableFile
	if errors.Is(err, format.ErrCorrupt) {
		letters = badHeader
	}
	r.reports.add(FileReport{Path: path, Letters: letters, Err: err})
}

// scanFile hands the entries of a file to fn, whatever its header says.
func (r *repairer) scanFile(ctx context.Context, e recipe.WalkEntry, fn func(raw []byte)) error {
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	return recipe.New(f, r.v.Geometry).Scan(ctx, 0, func(_ uint64, raw []byte) error {
		fn(raw)
		return nil
	})
}

func (r *repairer) surveyFile(ctx context.Context, e recipe.WalkEntry) error {
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	file := recipe.New(f, r.v.Geometry)
	if _, err = file.ReadHeader(); errors.Is(err, format.ErrCorrupt) {
		if _, err = readHead(f); err == nil {
			r.badHeaders.Store(true)
		}
	}
	if err != nil {
		return err
	}
	return file.Scan(ctx, 0, func(_ uint64, raw []byte) error {
		r.surveyEntries(raw)
		return nil
	})
}

// head is the beginning of a file whose header is unusable.
type head struct {
	raw    []byte // as much as there is of the header
	length int64
}

// readHead reads the header of a file that ReadHeader took for damaged, once more: a disk that delivers something else this time is in
// trouble, and the file is not to be judged by it.
func readHead(f disk.File) (h head, err error) {
	if h.length, err = f.Size(); err != nil {
		return h, err
	}
	h.raw = make([]byte, min(h.length, format.FileHeaderSize))
	if n, err := f.ReadAt(h.raw, 0); n < len(h.raw) {
		return h, fmt.Errorf("read file header: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	if _, err := format.GetFileHeader(h.raw); err == nil || h.length == 0 {
		return h, errors.New("read file header: it is sound now, and was damaged a moment ago")
	}
	return h, nil
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
		if data && uint64(a) >= r.whole {
			r.noteCut(a, &h)
		}
		have, _, ok := t.Lookup(&h)
		if ok && have == a {
			continue
		}
		// Both are in doubt: the block of the file, and the one that the index would have instead, which the file gets only if
		// its content was hashed. That holds for a block marked as lost as well.
		if data {
			r.suspect.Set(uint64(a))
		}
		switch {
		case ok:
			r.suspect.Set(uint64(have))
		case a == format.AddressLost:
			r.lostBefore.Store(true)
		default:
			r.unknown.Store(true)
		}
	}
}
