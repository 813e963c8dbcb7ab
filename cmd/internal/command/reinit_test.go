package command

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/index/disk"
	"tresor/index/indextest"
	"tresor/index/mkfs"
)

// storedVolume is a volume with a file in it.
func storedVolume(t *testing.T) string {
	t.Helper()
	v := indextest.New(t, indextest.Options{})
	v.Store(map[string][]byte{"dir/file": bytes.Repeat([]byte("text"), 5000)})
	return v.Dir
}

func TestReinit(t *testing.T) {
	dir := storedVolume(t)
	there := func() bool {
		_, err := os.Stat(filepath.Join(dir, "ddfsroot/dir/file"))
		return err == nil
	}
	c := run(t, "ddumbfs", "reinit", dir, "--dry-run", "-B", "8k")
	c.want(t, cli.ExitOK, "block_size: 8192", "")
	if !there() || !strings.Contains(c.out, "would be lost: 1 files") {
		t.Errorf("dry run: have the file: %v, output\n%s", there(), c.out)
	}
	run(t, "ddumbfs", "reinit", dir).want(t, cli.ExitFailure, "", "will be lost: 1 files")
	run(t, "ddumbfs", "reinit", dir).want(t, cli.ExitFailure, "", "--yes agrees")
	run(t, "ddumbfs", "reinit", filepath.Join(dir, "ddfsroot"), "--yes").want(t, cli.ExitNoVolume, "", "no volume")
	run(t, "ddumbfs", "reinit", dir, "--yes", "-o", "0").want(t, cli.ExitUsage, "", "overflow")
	run(t, "ddumbfs", "reinit", dir, "--yes", "-H", "MD5").want(t, cli.ExitUnsupported, "", "MD5")
	if !there() {
		t.Fatal("the file is gone")
	}
	c = run(t, "ddumbfs", "reinit", dir, "--yes", "--json", "-s", "2M", "-a")
	c.want(t, cli.ExitOK, `"block_count": 512`, "")
	var res struct{ Lost mkfs.Loss }
	if err := json.Unmarshal([]byte(c.out), &res); err != nil || res.Lost.Files != 1 || res.Lost.Bytes != 20000 || there() {
		t.Errorf("have %+v, %v, the file: %v", res, err, there())
	}
	indextest.AssertClean(t, dir)
	if v := indextest.Describe(t, disk.OS(), dir); v.Config.Hash != "TIGER" || !v.Config.ReuseASAP || v.Config.BlockSize != 4096 {
		t.Errorf("have %+v", v.Config)
	}
}

// TestReinitAsks answers the question in several ways.
func TestReinitAsks(t *testing.T) {
	for answer, agreed := range map[string]bool{"yes\n": true, "PATH\n": true, "no\n": false, "\n": false, "": false, "y\n": false} {
		dir := storedVolume(t)
		v := &renewVolume{in: strings.NewReader(strings.Replace(answer, "PATH", dir, 1)), terminal: true}
		var out, errOut bytes.Buffer
		verb := reinitVerb()
		verb.new = func() runner { return v }
		code := verb.Execute(context.Background(), Streams{Out: &out, Err: &errOut}, []string{dir})
		if (code == cli.ExitOK) != agreed {
			t.Errorf("answer %q: have code %d, want agreement %v\n%s", answer, code, agreed, errOut.String())
		}
		if _, err := os.Stat(filepath.Join(dir, "ddfsroot/dir/file")); (err != nil) != agreed {
			t.Errorf("answer %q: the file: %v", answer, err)
		}
	}
}
