package engine

import (
	"context"
	"encoding/json"
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

// BlockBytes is the length of a block, which Usage says too, after it has counted all files.
func (s *Store) BlockBytes() int64 { return s.blockSize }

// requestBytes is how long the parts of one request may be, as JSON: a request is one line of at most 64 KiB.
const requestBytes = 56 << 10

// Put implements orchestrator.Store.
func (s *Store) Put(ctx context.Context, m *orchestrator.Memory, parts []orchestrator.Part) ([]orchestrator.Added, error) {
	var file *os.File
	if m != nil {
		file = m.File()
	}
	list := make([]orchestrator.Added, 0, len(parts))
	for len(parts) > 0 {
		args, err := request(parts)
		if err != nil {
			return nil, fmt.Errorf("put %s into volume %s: %w", parts[0].Path, s.parent, err)
		}
		var w control.IngestRangeResult
		n := len(args.Parts)
		err = s.call(ctx, control.OpIngestRange, file, args, &w)
		if err == nil && len(w.Parts) != n {
			err = fmt.Errorf("the answer is about %d parts, want %d", len(w.Parts), n)
		}
		if err != nil {
			return nil, fmt.Errorf("put %s at %d, and %d more, into volume %s: %w", parts[0].Path, parts[0].Off, n-1, s.parent, err)
		}
		for _, r := range w.Parts {
			list = append(list, added(&r))
		}
		parts = parts[n:]
	}
	return list, nil
}

// request is what goes to the serving process at once, at least one part.
func request(parts []orchestrator.Part) (*control.IngestRangeArgs, error) {
	a, room := &control.IngestRangeArgs{}, requestBytes
	for i := range parts {
		p := &parts[i]
		one := control.PartArgs{Path: control.Path(p.Path), Offset: p.Off, Length: p.N, From: p.From}
		text, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		if room -= len(text) + 1; room < 0 && i > 0 {
			break
		}
		a.Parts = append(a.Parts, one)
	}
	return a, nil
}

func added(r *transfer.Ranged) orchestrator.Added {
	a := orchestrator.Added{New: r.New, Known: r.Known, Zero: r.Zero}
	for _, run := range r.Fresh {
		a.Fresh = addRun(a.Fresh, run)
	}
	return a
}

// addRun adds a run behind the others.
func addRun(list []orchestrator.Blocks, r transfer.Run) []orchestrator.Blocks {
	if k := len(list) - 1; k >= 0 && list[k].First+list[k].Count == r.First {
		list[k].Count += r.Count
		return list
	}
	return append(list, orchestrator.Blocks{First: r.First, Count: r.Count})
}

// Sync implements orchestrator.Store. What the kernel has is handed to the serving process first. It does not pass the call itself on: for a file system
// in a process there is no syncfs(2), so that is asked for on the control socket.
func (s *Store) Sync(ctx context.Context) error {
	err := within(ctx, s.e.o.Stall, func() error {
		dir, err := os.Open(s.point)
		if err != nil {
			return err
		}
		return errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
	})
	if err == nil {
		err = s.call(ctx, control.OpSync, nil, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("sync volume %s on %s: %w", s.parent, s.point, known(err))
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
		return orchestrator.Usage{}, fmt.Errorf("usage of volume %s: %w", s.parent, known(err))
	}
	return res, nil
}

// files counts regular files by their names. What is removed meanwhile is no error. A mount that does not answer is waited for as long as an operation may stand.
func (s *Store) files(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := watch(s.e.o.Stall, func() bool { return false }, func() { cancel(fmt.Errorf("count files: %w since %s", errStalled, s.e.o.Stall)) })
	defer stall.stop()
	var n uint64
	done := make(chan error, 1)
	go func() { done <- s.walk(ctx, stall.alive, &n) }()
	select {
	case err := <-done:
		return n, err
	case <-ctx.Done(): // the walk may go on behind, up to its next entry
		return 0, context.Cause(ctx)
	}
}

func (s *Store) walk(ctx context.Context, alive func(), n *uint64) error {
	special := filepath.Join(s.point, format.SpecialName)
	return filepath.WalkDir(s.point, func(name string, d iofs.DirEntry, err error) error {
		alive()
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
			*n++
		}
		return nil
	})
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
