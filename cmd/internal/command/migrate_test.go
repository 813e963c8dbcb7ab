package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
)

// filled is a small volume with one file of 12 blocks, and what is in it.
func filled(t *testing.T, options ...string) (dir, content string) {
	t.Helper()
	dir = newVolume(t, options...)
	file := filepath.Join(t.TempDir(), "file")
	content = strings.Repeat("0123456789abcdef", 3000)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "cpddumbfs", file, dir+"/ddfsroot/file").want(t, cli.ExitOK, "", "")
	return dir, content
}

func TestMigrateByHand(t *testing.T) {
	src, content := filled(t, "-s", "800k", "-H", "TIGER")
	dst := newVolume(t, "-s", "2M", "-H", "TIGER")
	command := "mv " + src + "/ddfsblocks " + dst + "/ddfsblocks"
	run(t, "migrateddumbfs", "--dry-run", src, dst).want(t, cli.ExitOK, "fit into "+dst, "")
	run(t, "migrateddumbfs", "-v", src, dst).want(t, cli.ExitOK, "\n    "+command+"\n", "ddfsroot/file")
	run(t, "ddumbfs", "stats", dst).want(t, cli.ExitOK, "block_allocated", "")
	run(t, "cpddumbfs", dst+"/ddfsroot/file", "-").want(t, cli.ExitNoVolume, "", "ddfsblocks")
	if err := os.Rename(src+"/ddfsblocks", dst+"/ddfsblocks"); err != nil {
		t.Fatal(err)
	}
	run(t, "fsckddumbfs", "-C", dst).want(t, cli.ExitOK, "OK", "")
	run(t, "cpddumbfs", dst+"/ddfsroot/file", "-").want(t, cli.ExitOK, content, "")
}

func TestMigrateMove(t *testing.T) {
	src, content := filled(t, "-s", "800k", "-H", "TIGER")
	dst := newVolume(t, "-s", "2M", "-H", "TIGER")
	c := run(t, "ddumbfs", "migrate", "-m", "-p", "--json", src, dst)
	c.want(t, cli.ExitOK, "", "")
	var r struct {
		Files     int
		BlockFile string `json:"block_file"`
		Next      string
	}
	if err := json.Unmarshal([]byte(c.out), &r); err != nil || r.Files != 1 || r.BlockFile != "renamed" || r.Next != "" {
		t.Errorf("have %+v, %v, want one file and a renamed block file", r, err)
	}
	run(t, "cpddumbfs", dst+"/ddfsroot/file", "-").want(t, cli.ExitOK, content, "")
}

func TestMigrateToAnotherHash(t *testing.T) {
	src, content := filled(t, "-s", "800k", "-H", "TIGER")
	dst := newVolume(t, "-s", "2M", "-H", "SHA1", "-B", "8k")
	run(t, "ddumbfs", "migrate", "-m", src, dst).want(t, cli.ExitUsage, "", "stored anew")
	run(t, "ddumbfs", "migrate", src, dst).want(t, cli.ExitOK, "copied 1 files", "")
	run(t, "cpddumbfs", dst+"/ddfsroot/file", "-").want(t, cli.ExitOK, content, "")
	run(t, "fsckddumbfs", "-C", dst).want(t, cli.ExitOK, "OK", "")
	run(t, "fsckddumbfs", "-C", src).want(t, cli.ExitOK, "OK", "")
}

func TestMigrateRefuses(t *testing.T) {
	src, _ := filled(t, "-s", "800k", "-H", "TIGER")
	run(t, "migrateddumbfs", src).want(t, cli.ExitUsage, "", "two volumes")
	run(t, "migrateddumbfs", src, src).want(t, cli.ExitUsage, "", "is both volumes")
	run(t, "migrateddumbfs", src, t.TempDir()).want(t, cli.ExitNoVolume, "", "no ddfs.cfg")
	run(t, "migrateddumbfs", src, newVolume(t, "-s", "8k", "-H", "TIGER")).want(t, cli.ExitNoSpace, "", "has 2 blocks")
	other, _ := filled(t, "-s", "800k", "-H", "TIGER")
	run(t, "migrateddumbfs", src, other).want(t, cli.ExitFailure, "", "not a new, empty volume")
}
