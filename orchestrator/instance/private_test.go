package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "private")
	if err := Private(t.Context(), dir, nil); err != nil {
		t.Fatalf("missing: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v %v, want mode 0700", info.Mode(), err)
	}
	if err := Private(t.Context(), dir, nil); err != nil {
		t.Errorf("empty: %v", err)
	}
}

func TestLeftovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(dir, "ours")
	for i := range 13 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("foreign %02d", i)), []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(ours, 0o700); err != nil {
		t.Fatal(err)
	}
	err := Private(t.Context(), dir, func(context.Context) error { return os.Remove(ours) })
	var left *LeftoverError
	if !errors.As(err, &left) || len(left.Names) != 10 || left.More != 3 || left.Names[0] != "foreign 00" {
		t.Fatalf("foreign files: have %v", err)
	}
	for _, want := range []string{dir, "foreign 00", "and 3 more"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q: want %q in it", err, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "foreign 12")); err != nil || string(text) != "data" {
		t.Errorf("a foreign file was touched: %q %v", text, err)
	}
}

func TestUnfinished(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "private")
	busy := errors.New("it is busy")
	if err := Private(t.Context(), dir, func(context.Context) error { return busy }); !errors.Is(err, busy) {
		t.Errorf("finish fails, nothing lies there: have %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "mount"), 0o700); err != nil {
		t.Fatal(err)
	}
	var left *LeftoverError
	if err := Private(t.Context(), dir, func(context.Context) error { return busy }); !errors.Is(err, busy) || !errors.As(err, &left) {
		t.Errorf("finish fails: have %v", err)
	}
}

func TestNotPrivate(t *testing.T) {
	base := t.TempDir()
	open, file, link := filepath.Join(base, "open"), filepath.Join(base, "file"), filepath.Join(base, "link")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	if err := Private(t.Context(), link, nil); err == nil {
		t.Error("a link to a directory: no error")
	}
	if err := os.Chmod(open, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{open, file, "relative"} {
		called := false
		if err := Private(t.Context(), dir, func(context.Context) error { called = true; return nil }); err == nil || called {
			t.Errorf("%s: error %v, finish called: %v", dir, err, called)
		}
	}
}
