package storetest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/orchestrator"
)

// refused: ranges that blocks cannot hold change nothing.
func (c *contract) refused(t *testing.T) {
	bs := c.bs
	f := c.make(t, "f", different(50, 4*bs+9))
	f.whole()
	other := c.make(t, "other", different(51, 4*bs+9))
	for _, r := range []struct{ off, n int64 }{{1, bs}, {-bs, bs}, {0, -1}, {bs - 1, bs + 1}, {0, 100}, {bs, bs + 1}, {0, 5 * bs}, {8 * bs, bs}, {1 << 62, 1 << 62}, {4 * bs, 8}} {
		if a, err := PutFile(t.Context(), c, f.path, other.src, r.off, r.n); err == nil {
			t.Errorf("%d bytes at %d: have %+v, no error", r.n, r.off, a)
		} else if !strings.Contains(err.Error(), filepath.Base(f.path)) {
			t.Errorf("%d bytes at %d: the error does not name the file: %v", r.n, r.off, err)
		}
	}
	short := c.make(t, "short", different(52, 100))
	if _, err := PutFile(t.Context(), c, f.path, short.src, 0, 100); err == nil {
		t.Error("a part of a block in the middle of the file: no error")
	}
	f.assert()
}

// paths: only a regular file of the tree is one, whatever leads elsewhere.
func (c *contract) paths(t *testing.T) {
	f := c.make(t, "f", different(53, c.bs))
	dir := filepath.Dir(f.path)
	at := func(name string) string { return filepath.Join(c.Root(), dir, name) }
	away := t.TempDir()
	if err := errors.Join(os.Mkdir(at("dir"), 0o700), os.Symlink("f", at("link")), os.Symlink(away, at("away")), os.Symlink("../"+filepath.Base(dir), at("around")),
		os.WriteFile(filepath.Join(away, "f"), []byte("outside"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", ".", "..", "/", f.full(), "../f", dir + "/../../f", dir, dir + "/dir", dir + "/link", dir + "/away/f", dir + "/around/f", dir + "/none",
		dir + "/f/x", "none/f"} {
		if _, err := PutFile(t.Context(), c, path, f.src, 0, c.bs); err == nil {
			t.Errorf("put to %q: no error", path)
		}
		var b bytes.Buffer
		if _, err := c.ReadBack(t.Context(), path, &b, nil); err == nil || b.Len() > 0 {
			t.Errorf("read back of %q: %d bytes, no error", path, b.Len())
		}
	}
	if _, err := PutFile(t.Context(), c, dir+"/none", f.src, 0, c.bs); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: have %v", err)
	}
	have, err := os.ReadFile(filepath.Join(away, "f"))
	if err != nil || string(have) != "outside" {
		t.Errorf("have %q, %v", have, err)
	}
}

// memories: a part that is not in the memory changes nothing, wherever it claims to lie.
func (c *contract) memories(t *testing.T) {
	f := c.make(t, "f", different(54, 2*c.bs))
	f.whole()
	m, err := orchestrator.NewMemory(int(c.bs))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	good := orchestrator.Part{Path: f.path, N: c.bs}
	for _, p := range []orchestrator.Part{{Path: f.path, N: 2 * c.bs}, {Path: f.path, N: c.bs, From: 1}, {Path: f.path, N: c.bs, From: 1 << 62}, {Path: f.path, N: 1<<63 - 1, From: 1},
		{Path: f.path, Off: 1<<63 - 1, N: 1, From: orchestrator.Hole}, {Path: f.path, From: orchestrator.Hole}} {
		if a, err := c.Put(t.Context(), m, []orchestrator.Part{p}); err == nil {
			t.Errorf("%+v: have %+v, no error", p, a)
		}
	}
	if a, err := c.Put(t.Context(), nil, []orchestrator.Part{good}); err == nil {
		t.Errorf("no memory: have %+v, no error", a)
	}
	if a, err := c.Put(t.Context(), nil, nil); err != nil || len(a) != 0 {
		t.Errorf("nothing: have %+v, %v", a, err)
	}
	f.assert()
}
