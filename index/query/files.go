package query

import (
	"context"
	"encoding/hex"
	"errors"
	iofs "io/fs"
	"sync"

	"tresor/index/cores"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// Use is a run of equal entries of a file that refer to what was asked for.
type Use struct {
	Path        string         `json:"path"` // relative to the root, or to the quarantine
	Quarantined bool           `json:"quarantined,omitempty"`
	First       uint64         `json:"first"` // number of the first entry
	Count       uint64         `json:"count"` // how many follow each other
	Addr        format.Address `json:"address"`
	Hash        string         `json:"hash"`       // hexadecimal
	ByAddress   bool           `json:"by_address"` // the address is one that was asked for
	ByHash      bool           `json:"by_hash"`    // the hash is
}

// output keeps the calls of the caller's functions apart.
type output struct {
	// mu guards the summary while files are read, and is held during the caller's functions. Nothing of ours is taken under it but the
	// lock of a display.
	mu sync.Mutex
}

// files searches all files, those in the quarantine too.
func (q *query) files(ctx context.Context) error {
	if len(q.match.addrs) == 0 && len(q.match.hashes) == 0 && q.match.prefix == nil {
		return nil
	}
	m := progress.New(q.o.Progress, "search files", progress.Files, 0)
	return q.eachFile(ctx, func(ctx context.Context, e recipe.WalkEntry, quarantined bool) error {
		defer m.Add(1)
		return q.search(ctx, e, quarantined)
	})
}

// eachFile calls fn for every underlying file, then for those in the quarantine, on all processors. What cannot be walked is noted.
// An error of fn ends it.
func (q *query) eachFile(ctx context.Context, fn func(ctx context.Context, e recipe.WalkEntry, quarantined bool) error) error {
	type item struct {
		e           recipe.WalkEntry
		quarantined bool
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := cores.Count()
	queue := make(chan item, 4*workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range queue {
				if ctx.Err() != nil {
					continue // empties the queue
				}
				if err := fn(ctx, i.e, i.quarantined); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := recipe.Walk(ctx, q.p.FS, q.p.Root, func(e recipe.WalkEntry) error {
		queue <- item{e, false}
		return nil
	}, func(path string, err error) error {
		if !errors.Is(err, iofs.ErrNotExist) {
			q.note("%s: %v", path, err)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		q.note("the tree of files cannot be read: %v", err)
	}
	err = recipe.WalkQuarantine(ctx, q.p.FS, q.p.Dir, func(e recipe.WalkEntry) error {
		queue <- item{e, true}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		q.note("%v", err)
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

// scan hands out the raw entries of a file. What cannot be read is noted, a file that is gone is not.
func (q *query) scan(ctx context.Context, e recipe.WalkEntry, quarantined bool, fn func(first uint64, raw []byte) error) error {
	name := e.Path
	if quarantined {
		name = format.QuarantineName + "/" + name
	}
	f, err := e.Open()
	if err != nil {
		if !errors.Is(err, iofs.ErrNotExist) {
			q.note("%s: %v", name, err)
		}
		return nil
	}
	defer f.Close()
	file := recipe.New(f, q.p.Geometry)
	if _, err := file.ReadHeader(); err != nil && !quarantined {
		q.note("%s: %v", name, err)
		if !errors.Is(err, format.ErrCorrupt) {
			return nil
		}
		// The entries of a file with a bad header still name blocks.
	}
	var failed error
	err = file.Scan(ctx, 0, func(first uint64, raw []byte) error {
		failed = fn(first, raw)
		return failed
	})
	if err != nil && failed == nil && ctx.Err() == nil {
		q.note("%s: %v", name, err)
		return nil
	}
	return err
}

// search hands out the positions of one file.
func (q *query) search(ctx context.Context, e recipe.WalkEntry, quarantined bool) error {
	g := q.p.Geometry
	var run Use
	var raw0 []byte // of the run
	found := uint64(0)
	end := func() error {
		if run.Count == 0 {
			return nil
		}
		u := run
		run.Count = 0
		u.Hash = hex.EncodeToString(raw0[g.AddrSize:])
		return q.use(u)
	}
	err := q.scan(ctx, e, quarantined, func(first uint64, raw []byte) error {
		for ; len(raw) >= g.EntrySize; raw, first = raw[g.EntrySize:], first+1 {
			byAddr, byHash := q.match.raw(raw)
			byAddr = byAddr && !quarantined // addresses there mean nothing
			if !byAddr && !byHash {
				continue
			}
			found++
			if run.Count > 0 && run.First+run.Count == first && string(raw0) == string(raw[:g.EntrySize]) {
				run.Count++
				continue
			}
			if err := end(); err != nil {
				return err
			}
			raw0 = append(raw0[:0], raw[:g.EntrySize]...)
			run = Use{Path: e.Path, Quarantined: quarantined, First: first, Count: 1, Addr: g.Addr(raw), ByAddress: byAddr, ByHash: byHash}
		}
		return nil
	})
	if err == nil {
		err = end()
	}
	q.out.mu.Lock()
	defer q.out.mu.Unlock()
	q.sum.Searched++
	if found > 0 {
		q.sum.Files++
		q.sum.Positions += found
	}
	return err
}

func (q *query) use(u Use) error {
	if q.o.Use == nil {
		return nil
	}
	q.out.mu.Lock()
	defer q.out.mu.Unlock()
	return q.o.Use(u)
}
