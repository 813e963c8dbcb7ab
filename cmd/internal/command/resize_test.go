package command

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/pack"
)

// addressSize is the line of ddfs.cfg.
func addressSize(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ddfs.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "addr_size: "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestResize(t *testing.T) {
	dir := newVolume(t, "-s", "800k", "-H", "TIGER")
	file := filepath.Join(t.TempDir(), "file")
	content := strings.Repeat("0123456789abcdef", 3000)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "cpddumbfs", file, dir+"/ddfsroot/file").want(t, cli.ExitOK, "", "")
	run(t, "ddumbfs", "resize", "-s", "2M", "--dry-run", dir).want(t, cli.ExitOK, "would be resized to 512 blocks", "")
	if have := addressSize(t, dir); have != "1" {
		t.Errorf("after a dry run: have addresses of %s bytes, want 1", have)
	}
	run(t, "ddumbfs", "resize", "-s", "2M", dir).want(t, cli.ExitOK, "addresses of 2 bytes instead of 1: 1 files with 12 entries", "")
	run(t, "ddumbfs", "resize", "-s", "2M", dir).want(t, cli.ExitOK, "as asked for already", "")
	run(t, "cpddumbfs", dir+"/ddfsroot/file", "-").want(t, cli.ExitOK, content, "")
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.ExitOK, "OK", "")
	c := run(t, "ddumbfs", "resize", "--json", "--size=80k", "--index", "elsewhere", "--reuse-asap=1", dir)
	c.want(t, cli.ExitOK, "", "")
	var r struct {
		Old, New map[string]any
		Files    int `json:"files_rewritten"`
	}
	if err := json.Unmarshal([]byte(c.out), &r); err != nil || r.New["block_count"] != 20.0 || r.New["index_filename"] != "elsewhere" || r.Files != 1 {
		t.Errorf("have %+v, %v", r, err)
	}
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.ExitOK, "OK", "")
	run(t, "cpddumbfs", dir+"/ddfsroot/file", "-").want(t, cli.ExitOK, content, "")
}

func TestResizeRefuses(t *testing.T) {
	run(t, "ddumbfs", "resize").want(t, cli.ExitUsage, "", "want one parent directory")
	run(t, "ddumbfs", "resize", "-s", "1M", t.TempDir()).want(t, cli.ExitNoVolume, "", "no ddfs.cfg")
	dir := newVolume(t, "-H", "TIGER")
	run(t, "ddumbfs", "resize", dir).want(t, cli.ExitFailure, "", "nothing is to be changed")
	run(t, "ddumbfs", "resize", "--reuse-asap", "2", dir).want(t, cli.ExitUsage, "", "want 0 or 1")
	run(t, "ddumbfs", "resize", "-H", "SHA1", dir).want(t, cli.ExitUnsupported, "", "ddumbfs migrate "+dir)
	run(t, "ddumbfs", "resize", "-B", "128k", dir).want(t, cli.ExitUnsupported, "", "mkfs -H TIGER -B 128k")
	if err := os.WriteFile(filepath.Join(dir, ".autofsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "resize", "-s", "8M", dir).want(t, cli.ExitCorrupt, "", "ddumbfs fsck -n "+dir)
}

// TestResizeFinishesPack: a pack that was killed is finished by a resize, which says so.
func TestResizeFinishesPack(t *testing.T) {
	dir := newVolume(t, "-s", "800k", "-H", "TIGER", "-B", "4k")
	for i, name := range []string{"a", "b"} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(strings.Repeat(name, 4096)+strings.Repeat(string(rune('0'+i)), 9000)), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "cpddumbfs", file, dir+"/ddfsroot/"+name).want(t, cli.ExitOK, "", "")
	}
	if err := os.Remove(dir + "/ddfsroot/a"); err != nil {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "reclaim", dir).want(t, cli.ExitOK, "", "")
	for n := 1; ; n++ {
		p, err := index.Acquire(index.Location{FS: disktest.NewMortal(disk.OS(), n), Parent: dir}, index.Write)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = pack.Run(t.Context(), p, pack.Options{}); !errors.Is(err, disktest.ErrKilled) {
			t.Fatalf("have %v, want a kill", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, format.RebuildName)); err == nil {
			break
		}
		if err := os.Remove(filepath.Join(dir, format.PackName)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	const words = "a pack of "
	c := run(t, "ddumbfs", "resize", "--json", "--overflow", "1.5", dir)
	c.want(t, cli.ExitOK, `"pack_finished": true`, words)
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.ExitOK, "OK", "")
	c = run(t, "ddumbfs", "resize", "--json", "--overflow", "1.6", dir)
	c.want(t, cli.ExitOK, `"pack_finished": false`, "")
	if strings.Contains(c.err, words) {
		t.Errorf("have %q where there was none", c.err)
	}
}
