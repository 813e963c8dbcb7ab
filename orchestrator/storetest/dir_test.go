package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// put stores data as a file of the store.
func put(t *testing.T, s orchestrator.Store, path string, data []byte) orchestrator.Added {
	t.Helper()
	src := filepath.Join(t.TempDir(), "src")
	if err := errors.Join(os.WriteFile(src, data, 0o600), os.WriteFile(filepath.Join(s.Root(), path), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := storetest.PutFile(context.Background(), s, path, f, 0, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// pattern is n bytes whose blocks differ from each other and, with another seed, from those.
func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>12) + byte(i)*seed + seed
	}
	return b
}

// What was stored is known to the next process, under another name too, and a flipped byte is found by it.
func TestPlainSurvives(t *testing.T) {
	dir := t.TempDir()
	data := pattern(3, 5*4096+100)
	put(t, storetest.Dir(dir), "a", data)
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	s := storetest.Dir(dir)
	if a := put(t, s, "c", data); a.Known != 6 || a.New != 0 {
		t.Errorf("again: %+v, want 6 known blocks", a)
	}
	var out bytes.Buffer
	if r, err := s.ReadBack(context.Background(), "b", &out, nil); err != nil || r.Blocks != 6 || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("have %+v, %v, %d bytes", r, err, out.Len())
	}
	if err := s.Flip("b", 4096*5+3); err != nil {
		t.Fatal(err)
	}
	r, err := s.ReadBack(context.Background(), "b", nil, []orchestrator.Blocks{{First: 5, Count: 1}})
	if err == nil || len(r.Bad) != 1 || r.Bad[0] != (orchestrator.Blocks{First: 5, Count: 1}) {
		t.Errorf("have %+v, %v, want block 5 as a bad one", r, err)
	}
}

// Hooks fail and hold what they name, and a scrub goes on where it ended.
func TestPlainHooks(t *testing.T) {
	s := storetest.Dir(t.TempDir())
	put(t, s, "a", pattern(1, 9000))
	if err := os.Mkdir(filepath.Join(s.Root(), "a-b"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a-b/c", pattern(2, 9000))
	errMine := errors.New("mine")
	s.Hook = storetest.Fail(storetest.OpSync, s.Count(storetest.OpSync)+2, errMine)
	first, second := s.Sync(context.Background()), s.Sync(context.Background())
	if first != nil || !errors.Is(second, errMine) {
		t.Errorf("have %v, %v", first, second)
	}
	hook, reached, release := storetest.Hold(storetest.OpUsage, s.Count(storetest.OpUsage)+1)
	s.Hook = hook
	ended := make(chan error, 1)
	go func() { _, err := s.Usage(context.Background()); ended <- err }()
	<-reached
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	now := time.Unix(1e9, 0)
	s.Now = func() time.Time { now = now.Add(time.Second); return now }
	one, err1 := s.Scrub(context.Background(), time.Millisecond)
	two, err2 := s.Scrub(context.Background(), 0)
	if err := errors.Join(err1, err2); err != nil || one.Complete || !two.Complete || one.Bytes+two.Bytes != 6*4096 || one.Bytes != two.Bytes {
		t.Errorf("have %+v, %+v, %v", one, two, err)
	}
}
