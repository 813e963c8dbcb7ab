package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/index/disk"
	"tresor/index/indextest"
	"tresor/integration/goldenvol"
)

// A volume at rest is scrubbed, and what was verified is told afterwards; damage is found, named, and told again.
func TestScrubOfVolumeAtRest(t *testing.T) {
	dir := goldenvol.Unpack(t, "tiger-4k")
	run(t, "ddumbfs", "scrub", "--status", dir).want(t, cli.ExitOK, "regions_never_verified                 1", "")
	run(t, "ddumbfs", "scrub", dir).want(t, cli.ExitOK, "blocks that were read is what it should be", "")
	run(t, "ddumbfs", "scrub", "--status", dir).want(t, cli.ExitOK, "regions_never_verified                 0", "")
	run(t, "ddumbfs", "scrub", "--older-than", "1d", dir).want(t, cli.ExitOK, "blocks                                 0", "")
	run(t, "fsckddumbfs", "-C", dir).want(t, cli.FsckOK, "OK", "")
	v := indextest.Describe(t, disk.OS(), dir)
	bad := v.Entries()[7]
	v.DamageBlock(bad.Addr)
	c := run(t, "ddumbfs", "scrub", "--json", dir)
	c.want(t, cli.ExitCorrupt, `"bad": 1`, "")
	var rep struct {
		Files []struct{ Path string }
		New   int
	}
	if err := json.Unmarshal([]byte(c.out), &rep); err != nil || len(rep.Files) == 0 || rep.New != 1 {
		t.Fatalf("have %+v, %v in %s", rep, err, c.out)
	}
	run(t, "ddumbfs", "scrub", dir).want(t, cli.ExitCorrupt, "lost: \""+rep.Files[0].Path+"\", offset", "")
	run(t, "ddumbfs", "scrub", "--status", dir).want(t, cli.ExitCorrupt, "bad: block ", "")
	run(t, "ddumbfs", "verify", filepath.Join(dir, rep.Files[0].Path)).want(t, cli.ExitCorrupt, "mismatch", "")
	// The bad block is in no index: the repair makes the files' entries lost blocks.
	run(t, "fsckddumbfs", "-n", dir).want(t, cli.FsckDamaged, "", "")
	run(t, "ddumbfs", "verify", "--json", filepath.Join(dir, "ddfsroot", rep.Files[0].Path)).want(t, cli.ExitCorrupt, `"kind": "lost"`, "")
}

func TestScrubRefuses(t *testing.T) {
	dir := newVolume(t)
	for _, args := range [][]string{{}, {"--max-rate", "x", dir}, {"--max-rate", "0", dir}, {"--max-time", "-1s", dir}, {"--older-than", "soon", dir},
		{"--older-than", "99999d", dir}, {"--status", "--reset", dir}, {dir, dir}} {
		run(t, append([]string{"ddumbfs", "scrub"}, args...)...).want(t, cli.ExitUsage, "", "usage: ddumbfs scrub")
	}
	run(t, "ddumbfs", "scrub", t.TempDir()).want(t, cli.ExitNoVolume, "", "no ddfs.cfg")
	run(t, "ddumbfs", "scrub", "--status", t.TempDir()).want(t, cli.ExitNoVolume, "", "no ddfs.cfg")
	if err := os.WriteFile(filepath.Join(dir, ".autofsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "scrub", dir).want(t, cli.ExitCorrupt, "", "hint: ddumbfs fsck -n "+dir)
}

func TestParseLong(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "2w": 336 * time.Hour, "1h30m": 90 * time.Minute, "90s": 90 * time.Second} {
		if have, err := parseLong(text); have != want || err != nil {
			t.Errorf("%s: have %v, %v, want %v", text, have, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "1", "x", "99999w"} {
		if have, err := parseLong(text); err == nil {
			t.Errorf("%q: have %v, want an error", text, have)
		}
	}
}

func TestVerifyOfVolumeAtRest(t *testing.T) {
	dir := goldenvol.Unpack(t, "sha1-64k")
	v := indextest.Describe(t, disk.OS(), dir)
	var names []string
	for _, path := range v.Files() {
		names = append(names, filepath.Join(dir, path))
	}
	c := run(t, append([]string{"ddumbfs", "verify"}, names...)...)
	c.want(t, cli.ExitOK, "stored: good", "")
	if n := strings.Count(c.out, "\n"); n != len(names) {
		t.Errorf("have %d lines for %d files:\n%s", n, len(names), c.out)
	}
	run(t, "ddumbfs", "verify", names[0], filepath.Join(dir, "none"), filepath.Join(dir, "none either")).want(t, cli.ExitNoVolume, "good", "none either")
	run(t, "ddumbfs", "verify", "--against", filepath.Join(dir, "none"), names[0]).want(t, cli.ExitNoVolume, "", "none")
	run(t, "ddumbfs", "verify").want(t, cli.ExitUsage, "", "usage: ddumbfs verify")
}
