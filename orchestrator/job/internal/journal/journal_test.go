package journal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"tresor/orchestrator/job/internal/journal"
)

const (
	idA = "01J00000000000000000000000"
	idB = "01J00000000000000000000001"
)

func open(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func load(t *testing.T, j *journal.Journal) (map[string]string, []journal.Aside) {
	t.Helper()
	have := map[string]string{}
	list, err := j.Load(func(id string, data []byte) error {
		if bytes.Contains(data, []byte("refuse me")) {
			return errors.New("it says so itself")
		}
		have[id] = string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if err := j.Told(a); err != nil {
			t.Fatal(err)
		}
	}
	return have, list
}

// TestToldAgain: what was set aside comes again until somebody knows of it, whatever ends the process in between.
func TestToldAgain(t *testing.T) {
	j := open(t, t.TempDir())
	if err := os.WriteFile(j.Path(idA, ".json"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	take := func(string, []byte) error { return nil }
	for try := range 3 {
		list, err := j.Load(take)
		if err != nil || len(list) != 1 || list[0].Name != idA+".json" || list[0].Reason == nil {
			t.Fatalf("try %d: have %v, %v", try, list, err)
		}
		if text, err := os.ReadFile(list[0].Kept); err != nil || string(text) != "torn" {
			t.Errorf("kept as %s: %q, %v", list[0].Kept, text, err)
		}
		if try == 1 {
			if err := j.Told(list[0]); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if list, err := j.Load(take); err != nil || len(list) != 0 {
		t.Errorf("when it was told: %v, %v", list, err)
	}
}

func TestPutLoadDelete(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for _, text := range []string{"one", "", "two\nlines\n"} {
		if err := j.Put(idA, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if have, list := load(t, j); have[idA] != text || len(have) != 1 || len(list) != 0 {
			t.Errorf("put %q: have %q, aside %v", text, have, list)
		}
	}
	if err := os.WriteFile(j.Path(idA, ".log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.Delete(idA); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, idA+"*")); len(left) != 0 {
		t.Errorf("deleted, and left: %q", left)
	}
	if err := j.Put("../evil", nil); err == nil {
		t.Error("a name that is no ULID was taken")
	}
}

// TestEveryTornRecord cuts a record after each byte and flips each of its bits: it is set aside, the other one is read.
func TestEveryTornRecord(t *testing.T) {
	j := open(t, t.TempDir())
	if err := j.Put(idB, []byte("the good one")); err != nil {
		t.Fatal(err)
	}
	if err := j.Put(idA, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.Path(idA, ".json"))
	if err != nil {
		t.Fatal(err)
	}
	try := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(j.Path(idA, ".json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		have, list := load(t, j)
		if len(have) != 1 || have[idB] != "the good one" || len(list) != 1 {
			t.Fatalf("record %q: have %q, aside %v", text, have, list)
		}
		if kept, err := os.ReadFile(list[0].Kept); err != nil || !bytes.Equal(kept, text) || list[0].Reason == nil {
			t.Fatalf("record %q: kept %q, %v, reason %v", text, kept, err, list[0].Reason)
		}
	}
	for n := range whole {
		try(whole[:n])
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1
		try(flipped)
	}
}

func TestHostileRecords(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if err := j.Put(idB, []byte("good")); err != nil {
		t.Fatal(err)
	}
	secret := j.Path(idB, ".json")
	for name, make := range map[string]func(path string) error{
		"a directory":          func(p string) error { return os.Mkdir(p, 0o700) },
		"a fifo":               func(p string) error { return unix.Mkfifo(p, 0o600) },
		"a symlink":            func(p string) error { return os.Symlink(secret, p) },
		"huge":                 func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 1<<40)) },
		"refused by the taker": func(p string) error { return j.Put(idA, []byte("refuse me")) },
	} {
		if err := make(j.Path(idA, ".json")); err != nil {
			t.Fatal(err)
		}
		if have, list := load(t, j); len(have) != 1 || len(list) != 1 || !strings.Contains(list[0].String(), "aside") {
			t.Errorf("%s: have %q, aside %v", name, have, list)
		}
	}
	if err := j.PutFile("no-ulid", ".json", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "."+idA+".json.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	have, list := load(t, j)
	if len(have) != 1 || len(list) != 1 || list[0].Name != "no-ulid.json" {
		t.Errorf("name that is no ULID: have %q, aside %v", have, list)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp")); len(left) != 0 {
		t.Errorf("temporary files left: %q", left)
	}
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if _, err := journal.Open(dir, nil); err == nil {
		t.Error("the directory could be opened twice")
	}
	first.Close()
	open(t, dir)
}
