package storetest

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// scrubName is where the time of the last complete scrub lies, among the sums.
const scrubName = "scrubbed"

// Sync implements orchestrator.Store for what was put. The rest of the tree is left to the system: tests end processes, not machines.
func (p *Plain) Sync(ctx context.Context) error {
	if err := p.step(ctx, Step{Op: OpSync}); err != nil {
		return err
	}
	p.mu.Lock()
	list := p.put
	p.put = map[string]bool{}
	p.mu.Unlock()
	for path := range list {
		if err := p.syncFile(path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return fmt.Errorf("sync %s: %w", path, err)
		}
	}
	return nil
}

func (p *Plain) syncFile(path string) error {
	f, err := p.open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	sums, err := p.openSums(f)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), sums.Sync(), sums.Close())
}

// Usage implements orchestrator.Store. What was not stored by Put takes no room.
func (p *Plain) Usage(ctx context.Context) (orchestrator.Usage, error) {
	if err := p.step(ctx, Step{Op: OpUsage}); err != nil {
		return orchestrator.Usage{}, err
	}
	u := orchestrator.Usage{BlockSize: p.BlockSize, Total: p.Size}
	err := p.walk(ctx, func(string, *os.File) error { u.Files++; return nil })
	if err != nil {
		return u, err
	}
	if u.LastScrub, err = p.lastScrub(); err != nil {
		return u, err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(p.root, &s); err != nil {
		return u, fmt.Errorf("room of %s: %w", p.root, err)
	}
	u.DiskFree = int64(s.Bavail) * s.Bsize
	p.mu.Lock()
	defer p.mu.Unlock()
	err = p.loadLocked()
	u.Used = int64(len(p.known)) * p.BlockSize
	return u, err
}

// Reclaim implements orchestrator.Store.
func (p *Plain) Reclaim(ctx context.Context) (orchestrator.Reclaimed, error) {
	if err := p.step(ctx, Step{Op: OpReclaim}); err != nil {
		return orchestrator.Reclaimed{}, err
	}
	start := p.Now()
	p.mu.Lock() // a Put must not meet the blocks half way
	defer p.mu.Unlock()
	if err := p.loadLocked(); err != nil {
		return orchestrator.Reclaimed{}, err
	}
	used, alive := map[sum]struct{}{}, map[string]bool{scrubName: true}
	err := p.walk(ctx, func(_ string, f *os.File) error {
		name, err := p.sumsName(f)
		if err != nil {
			return err
		}
		alive[filepath.Base(name)] = true
		if err := addSums(name, used); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return orchestrator.Reclaimed{}, err
	}
	list, err := os.ReadDir(p.sums)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return orchestrator.Reclaimed{}, err
	}
	for _, d := range list {
		if !alive[d.Name()] {
			if err := os.Remove(filepath.Join(p.sums, d.Name())); err != nil {
				return orchestrator.Reclaimed{}, err
			}
		}
	}
	freed := len(p.known) - len(used)
	p.known = used
	return orchestrator.Reclaimed{Bytes: int64(freed) * p.BlockSize, Took: p.Now().Sub(start)}, nil
}

// Scrub implements orchestrator.Store. With a limit it ends after the file that reaches it.
func (p *Plain) Scrub(ctx context.Context, limit time.Duration) (orchestrator.Scrubbed, error) {
	var r orchestrator.Scrubbed
	if err := p.step(ctx, Step{Op: OpScrub}); err != nil {
		return r, err
	}
	p.mu.Lock()
	after := p.cursor
	p.mu.Unlock()
	start, last := p.Now(), after
	errEnough := errors.New("enough")
	err := p.walk(ctx, func(path string, f *os.File) error {
		if ordered(path) <= ordered(after) && after != "" {
			return nil
		}
		if limit > 0 && last != after && p.Now().Sub(start) >= limit {
			return errEnough
		}
		last = path
		return p.scrubFile(ctx, path, f, &r)
	})
	if errors.Is(err, errEnough) {
		err = nil
	} else if err == nil {
		r.Complete, last = true, ""
		err = p.setScrubbed(p.Now())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor = last
	return r, err
}

// ordered makes paths compare in the order of a walk.
func ordered(path string) string { return strings.ReplaceAll(path, "/", "\x00") }

// scrubFile reads one file.
func (p *Plain) scrubFile(ctx context.Context, path string, f *os.File, r *orchestrator.Scrubbed) error {
	b, err := p.reading(f, path, nil)
	if err != nil {
		return err
	}
	defer b.close()
	b.out = &orchestrator.ReadBack{}
	err = b.run(ctx, orchestrator.Blocks{Count: b.blocks})
	r.Bytes += int64(b.out.Blocks) * p.BlockSize
	if n := len(b.bad); n > 0 {
		r.Bad += uint64(n)
		r.Damaged = append(r.Damaged, path)
	}
	return err
}

// walk visits all regular files in the order of their paths.
func (p *Plain) walk(ctx context.Context, visit func(path string, f *os.File) error) error {
	return filepath.WalkDir(p.root, func(name string, d iofs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		path, err := filepath.Rel(p.root, name)
		if err != nil {
			return err
		}
		f, err := p.open(path, os.O_RDONLY)
		if errors.Is(err, iofs.ErrNotExist) {
			return nil // it was removed meanwhile
		}
		if err != nil {
			return err
		}
		defer f.Close()
		return visit(path, f)
	})
}

// lastScrub is when a scrub was complete; zero: never.
func (p *Plain) lastScrub() (t time.Time, err error) {
	text, err := os.ReadFile(filepath.Join(p.sums, scrubName))
	if errors.Is(err, iofs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		err = t.UnmarshalText(text)
	}
	return t, err
}

func (p *Plain) setScrubbed(t time.Time) error {
	text, err := t.UTC().MarshalText()
	if err == nil {
		err = os.MkdirAll(p.sums, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.sums, scrubName), text, 0o600)
	}
	return err
}
