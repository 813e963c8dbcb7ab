package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/disk"
)

// outsideRig is a stored file of 3 MiB, and a place outside.
func outsideRig(t *testing.T) (s *transfer.Source, data []byte, name string) {
	t.Helper()
	fs := newMemory(t, 2000)
	data = random(9, 3<<20)
	mustCopyIn(t, fs, memoryDir, "f", data)
	s, err := transfer.OpenSource(acquire(t, fs, memoryDir, index.Read))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, data, filepath.Join(t.TempDir(), "final")
}

func replace(s *transfer.Source, name string, block func(n int)) error {
	n := 0
	o := transfer.OutOptions{Block: func(transfer.Block) { n++; block(n) }}
	_, err := s.Replace(context.Background(), "f", nil, name, transfer.FileOptions{Mode: 0o640, Modified: time.Unix(1e9, 5)}, o)
	return err
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		list = append(list, d.Name())
	}
	return list
}

// Two copies to one target: whichever ends has all of it there, with its attributes, also while the other one is half way.
func TestTwoCopiesToOneTarget(t *testing.T) {
	s, data, name := outsideRig(t)
	assertFinal := func(who string) {
		t.Helper()
		have, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(have, data) {
			t.Errorf("after %s: have %d bytes, %v, want all %d", who, len(have), err, len(data))
		}
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o640 || !info.ModTime().Equal(time.Unix(1e9, 5)) {
			t.Errorf("after %s: have %v, %v", who, info, err)
		}
	}
	started, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	err := replace(s, name, func(n int) {
		if n != 2 {
			return
		}
		go func() {
			ended <- replace(s, name, func(n int) {
				if n == 300 {
					close(started)
					<-goOn
				}
			})
		}()
		<-started
	})
	if err != nil {
		t.Error(err)
	}
	assertFinal("the first")
	close(goOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	assertFinal("the second")
	if list := names(t, filepath.Dir(name)); len(list) != 1 {
		t.Errorf("leftovers: %v", list)
	}
}

// A leftover of a dead process goes away; what is locked, and what is no file, stays.
func TestLeftoversOutside(t *testing.T) {
	s, _, name := outsideRig(t)
	dir := filepath.Dir(name)
	path := func(digit string) string { return filepath.Join(dir, transfer.TempPrefix+strings.Repeat(digit, 16)) }
	for _, digit := range []string{"1", "2"} {
		if err := os.WriteFile(path(digit), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("final", path("3")), syscall.Mkfifo(path("4"), 0o600), os.WriteFile(path("1")+"5", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := replace(s, name, func(int) {}); err != nil {
		t.Error(err)
	}
	want := []string{path("1") + "5", path("2"), path("3"), path("4"), name}
	for i, have := range names(t, dir) {
		if i >= len(want) || filepath.Join(dir, have) != want[i] {
			t.Errorf("have %s at place %d, want %v", have, i, want)
		}
	}
}

// A temporary file that somebody replaces is not put into place, and theirs is not removed.
func TestTemporaryFileIsReplaced(t *testing.T) {
	s, _, name := outsideRig(t)
	var tmp string
	err := replace(s, name, func(n int) {
		if n != 2 {
			return
		}
		tmp = filepath.Join(filepath.Dir(name), names(t, filepath.Dir(name))[0])
		if err := errors.Join(os.Remove(tmp), os.WriteFile(tmp, []byte("theirs"), 0o600)); err != nil {
			t.Error(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "replaced meanwhile") {
		t.Errorf("have %v", err)
	}
	if have, err := os.ReadFile(tmp); string(have) != "theirs" {
		t.Errorf("have %q, %v", have, err)
	}
	if _, err := os.Lstat(name); err == nil {
		t.Error("a file was put into place")
	}
}

// What the operating system's files can do besides is there: without it none of this holds.
func TestLocksAreThere(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	f, err := disk.OS().OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ok, err := f.(interface{ TryLock() (bool, error) }).TryLock(); !ok || err != nil {
		t.Errorf("have %v, %v", ok, err)
	}
	g, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if ok, err := g.(interface{ TryLock() (bool, error) }).TryLock(); ok || err != nil {
		t.Errorf("of a locked file: have %v, %v", ok, err)
	}
}
