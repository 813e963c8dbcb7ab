package contender

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Served is a file system that this program serves by executing itself once more (Serve).
type Served struct {
	name, program, base string
	m                   atomic.Pointer[mounted] // nil: not mounted
}

// NewServed has kind Null or Loopback served by the program, which is ddbench, below the directory base, which Start makes.
func NewServed(kind, program, base string) *Served {
	return &Served{name: kind, program: program, base: base}
}

// Name implements Contender.
func (s *Served) Name() string { return s.name }

// Start makes the directories and mounts.
func (s *Served) Start(ctx context.Context) error {
	for _, dir := range []string{s.Dir(), s.below()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("start %s: %w", s.name, err)
		}
	}
	m, err := mountWith(ctx, s.Dir(), killTime, s.program, ServeWord, s.name, s.Dir(), s.below())
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.m.Store(m)
	return nil
}

func (s *Served) below() string { return filepath.Join(s.base, "below") }

func (s *Served) close() error {
	if m := s.m.Swap(nil); m != nil {
		return m.close()
	}
	return nil
}

// Stop implements Contender.
func (s *Served) Stop() error { return errors.Join(s.close(), os.RemoveAll(s.base)) }

// Dir implements FileSystem.
func (s *Served) Dir() string { return filepath.Join(s.base, "mnt") }

// Keeps implements FileSystem.
func (s *Served) Keeps() bool { return s.name != Null }

// BlockSize implements FileSystem.
func (s *Served) BlockSize() int { return 0 }

// CPU implements FileSystem.
func (s *Served) CPU() time.Duration {
	if m := s.m.Load(); m != nil {
		return m.server.cpu()
	}
	return 0
}

// Refresh implements FileSystem.
func (s *Served) Refresh(ctx context.Context) error {
	if s.name == Null {
		return nil // it would forget how long its files are
	}
	return errors.Join(s.close(), s.Start(ctx))
}

// GiveBack implements FileSystem: room is given back at once.
func (s *Served) GiveBack(context.Context) error { return nil }

// Kill ends its process at once, so that calls that wait for its answer return; it may be called while something else is being done.
func (s *Served) Kill() { kill(s.m.Load()) }
