package engine

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/transfer"
	"tresor/index/format"
	"tresor/orchestrator"
)

// Store is a mounted volume. Safe for concurrent use; calls beyond eight at a time wait.
type Store struct {
	e             *Engine
	point, parent string
	blockSize     int64
	places        chan struct{}
}

var _ orchestrator.Store = (*Store)(nil)

// Root implements orchestrator.Store.
func (s *Store) Root() string { return s.point }

// putBytes is the most of a Put that is one request: what a lost connection costs at most. It is a multiple of every block size.
const putBytes = 256 << 20

// Put implements orchestrator.Store.
func (s *Store) Put(ctx context.Context, path string, src *os.File, off, n int64) (orchestrator.Added, error) {
	var a orchestrator.Added
	if n < 0 || off < 0 || off > transferEnd-n {
		return a, fmt.Errorf("put %d bytes at %d of %s: %w", n, off, path, unix.EINVAL)
	}
	for end := off + n; off < end; {
		k := min(end-off, putBytes)
		var w transfer.Ranged
		if err := s.call(ctx, control.OpIngestRange, src, &control.IngestRangeArgs{Path: path, Offset: off, Length: k}, &w); err != nil {
			return orchestrator.Added{}, fmt.Errorf("put %s at %d into volume %s: %w", path, off, s.parent, err)
		}
		a.New += w.New
		a.Known += w.Known
		a.Zero += w.Zero
		for _, run := range w.Fresh {
			a.Fresh = addRun(a.Fresh, run)
		}
		off += k
	}
	return a, nil
}

// transferEnd is behind every place that a file can have.
const transferEnd = 1<<63 - 1

// addRun adds a run behind the others.
func addRun(list []orchestrator.Blocks, r transfer.Run) []orchestrator.Blocks {
	if k := len(list) - 1; k >= 0 && list[k].First+list[k].Count == r.First {
		list[k].Count += r.Count
		return list
	}
	return append(list, orchestrator.Blocks{First: r.First, Count: r.Count})
}

// Sync implements orchestrator.Store.
func (s *Store) Sync(ctx context.Context) error {
	err := within(ctx, s.e.o.Stall, func() error {
		dir, err := os.Open(s.point)
		if err != nil {
			return err
		}
		return errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
	})
	if err != nil {
		return fmt.Errorf("sync volume %s on %s: %w", s.parent, s.point, err)
	}
	return nil
}

func (s *Store) usage(ctx context.Context) (u control.UsageResult, err error) {
	err = s.call(ctx, control.OpUsage, nil, nil, &u)
	return u, err
}

// Usage implements orchestrator.Store. It counts the files, for which all directories of the volume are read.
func (s *Store) Usage(ctx context.Context) (orchestrator.Usage, error) {
	var res orchestrator.Usage
	u, err := s.usage(ctx)
	if err != nil {
		return res, fmt.Errorf("usage of volume %s: %w", s.parent, err)
	}
	bs := int64(u.BlockSize)
	res = orchestrator.Usage{BlockSize: bs, Total: int64(u.Blocks) * bs, Used: int64(u.Used) * bs, LastScrub: seconds(u.Scrubbed), Reclaiming: u.Reclaiming}
	err = within(ctx, s.e.o.Stall, func() error {
		var st unix.Statfs_t
		if err := unix.Statfs(s.parent, &st); err != nil {
			return &os.PathError{Op: "statfs", Path: s.parent, Err: err}
		}
		res.DiskFree = int64(st.Bavail) * st.Bsize
		return nil
	})
	if err == nil {
		res.Files, err = s.files(ctx)
	}
	if err != nil {
		return orchestrator.Usage{}, fmt.Errorf("usage of volume %s: %w", s.parent, err)
	}
	return res, nil
}

// files counts regular files by their names. What is removed meanwhile is no error.
func (s *Store) files(ctx context.Context) (n uint64, err error) {
	special := filepath.Join(s.point, format.SpecialName)
	err = filepath.WalkDir(s.point, func(name string, d iofs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, iofs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case name == special:
			return iofs.SkipDir
		case d.Type().IsRegular():
			n++
		}
		return nil
	})
	return n, err
}

// seconds is a time since 1970, 0 the zero time.
func seconds(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(t, 0).UTC()
}

// reclaimPause is how long a reclaim waits for one that runs already, before it asks again.
const reclaimPause = time.Second

// Reclaim implements orchestrator.Store. One that runs already may have begun before the caller's files were removed: it is waited for.
func (s *Store) Reclaim(ctx context.Context) (orchestrator.Reclaimed, error) {
	clock := orchestrator.SystemClock()
	begin := clock.Now()
	for {
		var r control.ReclaimResult
		err := s.call(ctx, control.OpReclaim, nil, &control.ReclaimArgs{}, &r)
		if errors.Is(err, unix.EBUSY) {
			if err = clock.Sleep(ctx, reclaimPause); err == nil {
				continue
			}
		}
		if err != nil {
			return orchestrator.Reclaimed{}, fmt.Errorf("reclaim volume %s: %w", s.parent, err)
		}
		return orchestrator.Reclaimed{Bytes: int64(r.Report.BytesFreed), Took: clock.Now().Sub(begin)}, nil
	}
}

// maxDamaged bounds the list of damaged files.
const maxDamaged = 1000

// Scrub implements orchestrator.Store. One that runs already, of whomever, is joined, and its outcome is told.
func (s *Store) Scrub(ctx context.Context, limit time.Duration) (orchestrator.Scrubbed, error) {
	var r control.ScrubResult
	err := s.call(ctx, control.OpScrub, nil, &control.ScrubArgs{MaxTime: limit.Seconds()}, &r)
	res := orchestrator.Scrubbed{Bytes: int64(r.Bytes), Bad: r.Bad + r.Unreadable, Complete: r.Complete}
	seen := map[string]bool{}
	for _, f := range r.Files {
		if !seen[f.Path] && len(res.Damaged) < maxDamaged {
			seen[f.Path] = true
			res.Damaged = append(res.Damaged, f.Path)
		}
	}
	if err != nil {
		return res, fmt.Errorf("scrub volume %s: %w", s.parent, err)
	}
	return res, nil
}
