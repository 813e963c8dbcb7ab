package storetest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused: ranges that blocks cannot hold change nothing.
func (c *contract) refused(t *testing.T) {
	bs := c.bs
	f := c.make(t, "f", different(50, 4*bs+9))
	f.whole()
	other := c.make(t, "other", different(51, 4*bs+9))
	for _, r := range []struct{ off, n int64 }{{1, bs}, {-bs, bs}, {0, -1}, {bs - 1, bs + 1}, {0, 100}, {bs, bs + 1}, {0, 5 * bs}, {8 * bs, bs}, {1 << 62, 1 << 62}, {4 * bs, 8}} {
		if a, err := c.Put(t.Context(), f.path, other.src, r.off, r.n); err == nil {
			t.Errorf("%d bytes at %d: have %+v, no error", r.n, r.off, a)
		} else if !strings.Contains(err.Error(), filepath.Base(f.path)) {
			t.Errorf("%d bytes at %d: the error does not name the file: %v", r.n, r.off, err)
		}
	}
	short := c.make(t, "short", different(52, 100))
	if _, err := c.Put(t.Context(), f.path, short.src, 0, 100); err == nil {
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
		if _, err := c.Put(t.Context(), path, f.src, 0, c.bs); err == nil {
			t.Errorf("put to %q: no error", path)
		}
		var b bytes.Buffer
		if _, err := c.ReadBack(t.Context(), path, &b, nil); err == nil || b.Len() > 0 {
			t.Errorf("read back of %q: %d bytes, no error", path, b.Len())
		}
	}
	if _, err := c.Put(t.Context(), dir+"/none", f.src, 0, c.bs); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: have %v", err)
	}
	have, err := os.ReadFile(filepath.Join(away, "f"))
	if err != nil || string(have) != "outside" {
		t.Errorf("have %q, %v", have, err)
	}
	for name, source := range map[string]string{"a directory": away, "a device": "/dev/null"} {
		src, err := os.Open(source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Put(t.Context(), f.path, src, 0, c.bs); err == nil {
			t.Errorf("%s as the source: no error", name)
		}
		src.Close()
	}
}

// cut: a source that gets shorter meanwhile is an error, or came too late to matter.
func (c *contract) cut(t *testing.T) {
	failed := 0
	for i := range 8 {
		f := c.make(t, "f", different(60+uint64(i%3), 6<<20))
		done := make(chan error, 1)
		go func() { _, err := c.Put(t.Context(), f.path, f.src, 0, 6<<20); done <- err }()
		<-time.After(time.Duration(i) * time.Millisecond)
		if err := f.src.Truncate(c.bs + 5); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil {
			f.assert()
		} else if failed++; !strings.Contains(err.Error(), "f") {
			t.Errorf("the error does not name the file: %v", err)
		}
	}
	f := c.make(t, "short", different(63, c.bs))
	if _, err := c.Put(t.Context(), f.path, f.src, 0, 2*c.bs); err == nil {
		t.Error("a source that is too short: no error")
	}
}

// changed: what is stored of a source that changes is proved as it was stored; each of its bytes was there at some time.
func (c *contract) changed(t *testing.T) {
	const n = 4 << 20
	old := different(70, n)
	f := c.make(t, "f", old)
	fresh := different(71, n)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			data := [][]byte{fresh, old}[i%2]
			if _, err := f.src.WriteAt(data, 0); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 5 {
		if _, err := c.Put(t.Context(), f.path, f.src, 0, n); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := c.ReadBack(t.Context(), f.path, &b, nil); err != nil || b.Len() != n {
		t.Fatalf("have %d bytes, %v", b.Len(), err)
	}
	for i, x := range b.Bytes() {
		if x != old[i] && x != fresh[i] {
			t.Fatalf("byte %d was never there", i)
		}
	}
}
