package fs

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

// move tells s of a new file at path, count times.
func move(t *testing.T, s *statSource, path string, count int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range count {
		if err := s.Moved(int(f.Fd()), false); err != nil {
			t.Fatalf("move of %s fails: %v", path, err)
		}
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestMovedOnce renames the same files all the time: each is kept once, and shown once.
func TestMovedOnce(t *testing.T) {
	dir := t.TempDir()
	before := openDescriptors(t)
	var s statSource
	move(t, &s, dir+"/early", 1)
	if !s.moved.start() || s.moved.start() {
		t.Fatal("want exactly one reclaim to collect")
	}
	for i := range 3 {
		move(t, &s, filepath.Join(dir, strconv.Itoa(i)), 3*leastMoved)
	}
	if have := openDescriptors(t) - before; have != 3 {
		t.Errorf("have %d descriptors for 3 files", have)
	}
	seen := 0
	if err := s.moved.drain(func(string, disk.File) error { seen++; return nil }); err != nil || seen != 3 {
		t.Errorf("have %d files shown, %v, want 3", seen, err)
	}
	s.moved.stop()
	if have := openDescriptors(t) - before; have != 0 {
		t.Errorf("%d descriptors are left", have)
	}
}

// TestMovedTooMuch moves more than can be noted: users do not feel it, the reclaim fails, the next one does not.
func TestMovedTooMuch(t *testing.T) {
	for _, c := range []struct {
		name, want string
		do         func(t *testing.T, s *statSource, dir string)
	}{
		{"more files than are kept", "more than 100", func(t *testing.T, s *statSource, dir string) {
			s.moved.limit = 100
			for i := range 100 + 2 {
				move(t, s, filepath.Join(dir, strconv.Itoa(i)), 1)
			}
		}},
		{"no descriptor left", unix.EMFILE.Error(), func(t *testing.T, s *statSource, dir string) {
			move(t, s, dir+"/first", 1)
			f, err := os.Create(dir + "/second")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: limit.Max}); err != nil {
				t.Fatal(err)
			}
			err = s.Moved(int(f.Fd()), false)
			if rest := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); rest != nil {
				t.Fatal(rest)
			}
			if err != nil {
				t.Errorf("move fails: %v", err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			before := openDescriptors(t)
			var s statSource
			s.moved.start()
			c.do(t, &s, dir)
			if have := openDescriptors(t) - before; have != 0 {
				t.Errorf("%d descriptors are kept for nothing", have)
			}
			err := s.moved.drain(func(string, disk.File) error { return nil })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %v, want an error with %q", err, c.want)
			}
			s.moved.stop()
			s.moved.start()
			move(t, &s, dir+"/next", 1)
			if err := s.moved.drain(func(string, disk.File) error { return nil }); err != nil {
				t.Errorf("the next reclaim: %v", err)
			}
			s.moved.stop()
		})
	}
}

// TestMovedBesideTheWalk moves many more files than are kept at once, and the same ones again and again: they are shown while the walk is on its
// way, each once, and the reclaim does not give up.
func TestMovedBesideTheWalk(t *testing.T) {
	const files, limit = 500, 20
	dir := t.TempDir()
	before := openDescriptors(t)
	var s statSource
	s.moved.start()
	s.moved.limit = limit
	var seen atomic.Int64
	room := make(chan struct{}, limit-2) // as many as may wait
	see := func(string, disk.File) error {
		seen.Add(1)
		<-room
		return nil
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.moved.beside(ctx, see) }()
	for i := range files {
		room <- struct{}{}
		move(t, &s, filepath.Join(dir, strconv.Itoa(i)), 1)
	}
	for len(room) > 0 {
		select {
		case err := <-done:
			t.Fatalf("beside the walk: %v", err)
		default:
		}
	}
	end()
	if err := <-done; err != nil {
		t.Fatalf("beside the walk: %v", err)
	}
	if n := seen.Load(); n != files {
		t.Errorf("have %d files shown, want %d", n, files)
	}
	for i := range files {
		move(t, &s, filepath.Join(dir, strconv.Itoa(i)), 1)
	}
	if err := s.moved.drain(func(string, disk.File) error { seen.Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	if n := seen.Load(); n > files+1 { // the last one may have been noted as shown after it was moved again
		t.Errorf("have %d files shown, want each of %d once", n, files)
	}
	s.moved.stop()
	if have := openDescriptors(t) - before; have != 0 {
		t.Errorf("%d descriptors are left", have)
	}
}
