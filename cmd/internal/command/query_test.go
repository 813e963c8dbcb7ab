package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/integration/goldenvol"
)

// queried is the JSON form of an answer.
type queried struct {
	Parent  string
	Entries []struct {
		Slot, Address uint64
		Hash, Content string
		Allocated     bool
	}
	Blocks []struct{ Address uint64 }
	Uses   []struct{ Path string }
	Ranges []struct {
		First, Count, Address uint64
		Kind                  string
	}
	Summary struct{ Entries, Positions, Files uint64 }
	File    struct {
		Header                                           string
		Size, Entries, Data, Blocks, Known, Shared, Lost uint64
	}
}

func askQuery(t *testing.T, argv ...string) (q queried) {
	t.Helper()
	c := run(t, append([]string{"ddumbfs", "query", "--json"}, argv...)...)
	c.want(t, cli.ExitOK, "", "")
	if err := json.Unmarshal([]byte(c.out), &q); err != nil {
		t.Fatalf("%v in %s", err, c.out)
	}
	return q
}

// From a file to its blocks, to their hashes and slots, and back to the file.
func TestQuery(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	f := askQuery(t, "--file", "a.bin", dir)
	if f.File.Header != "sound" || f.File.Data == 0 || f.File.Known != f.File.Data || f.File.Shared == 0 || len(f.Ranges) == 0 {
		t.Fatalf("file: have %+v", f)
	}
	block := f.Ranges[0].Address
	b := askQuery(t, "--hash-blocks", "-b", itoa(block), dir)
	if len(b.Entries) != 1 || b.Entries[0].Address != block || !b.Entries[0].Allocated || b.Entries[0].Content != "right" || len(b.Blocks) != 1 {
		t.Fatalf("block: have %+v", b)
	}
	for _, q := range []queried{askQuery(t, "-H", b.Entries[0].Hash, dir), askQuery(t, "-n", itoa(b.Entries[0].Slot), dir)} {
		if len(q.Entries) != 1 || q.Entries[0] != b.Entries[0] && q.Entries[0].Slot != b.Entries[0].Slot || q.Summary != b.Summary {
			t.Errorf("have %+v, want %+v", q, b)
		}
	}
	found := false
	for _, u := range b.Uses {
		found = found || u.Path == "a.bin"
	}
	if !found {
		t.Errorf("a.bin is not among the users of its first block: %+v", b.Uses)
	}
	c := run(t, "queryddumbfs", "-H", b.Entries[0].Hash[:6], dir)
	c.want(t, cli.ExitOK, "a.bin: entry 0: address "+itoa(block), "")
	run(t, "queryddumbfs", "--file", "a.bin", dir).want(t, cli.ExitOK, "shared with other files", "")
}

func itoa(n uint64) string { data, _ := json.Marshal(n); return string(data) }

func TestQueryOfDamagedVolume(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	if err := os.Remove(filepath.Join(dir, "ddfsidx")); err != nil {
		t.Fatal(err)
	}
	run(t, "queryddumbfs", "-b", "2", dir).want(t, cli.ExitFailure, "by address only", "only files are searched")
	run(t, "queryddumbfs", "-n", "2", dir).want(t, cli.ExitFailure, "", "no index")
	run(t, "queryddumbfs", "--file", "a.bin", dir).want(t, cli.ExitFailure, "header sound", "cannot be read")
}

func TestQueryRefuses(t *testing.T) {
	dir := newVolume(t)
	for _, args := range [][]string{{}, {"-n", "x"}, {"-b", "-1"}, {"-H", "xyz"}, {"-H", "abc"}, {"-b", "2", "--file", "x"}} {
		c := run(t, append(append([]string{"queryddumbfs"}, args...), dir)...)
		if c.code != cli.ExitUsage || !strings.Contains(c.err, "usage") {
			t.Errorf("%q: have code %d and %s", args, c.code, c.err)
		}
	}
	run(t, "queryddumbfs", "-b", "0", dir).want(t, cli.ExitFailure, "", "want one from 1")
	run(t, "queryddumbfs", "-b", "99999999", dir).want(t, cli.ExitFailure, "", "want one from 1")
	run(t, "queryddumbfs", "-b", "2", t.TempDir()).want(t, cli.ExitNoVolume, "", "no ddfs.cfg")
	run(t, "queryddumbfs", "--file", "none", dir).want(t, cli.ExitNoVolume, "", "none")
}
