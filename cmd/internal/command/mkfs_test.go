package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/integration/goldenvol"
)

// The options of the original's tool make the original's volume, byte for byte.
func TestMkfsMakesTheOriginalsVolume(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Empty) {
		t.Run(name, func(t *testing.T) {
			want := goldenvol.Unpack(t, name)
			dir := t.TempDir()
			c := run(t, append(append([]string{"mkddumbfs"}, goldenvol.MkfsArgs(t, name)...), dir)...)
			c.want(t, cli.ExitOK, "next: ddumbfs mount "+dir+" MNT", "")
			for _, file := range []string{"ddfs.cfg", "ddfsidx", "ddfsblocks"} {
				have, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					t.Fatal(err)
				}
				golden, err := os.ReadFile(filepath.Join(want, file))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(have, golden) {
					t.Errorf("%s of %d bytes differs from the original's of %d bytes", file, len(have), len(golden))
				}
				if file == "ddfs.cfg" && !bytes.HasPrefix([]byte(c.out), golden) {
					t.Errorf("the output does not begin with ddfs.cfg:\n%s", c.out)
				}
			}
		})
	}
}

func TestMkfsOptions(t *testing.T) {
	elsewhere := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		code cli.Code
		out  string
		err  string
	}{
		{"defaults", []string{"-s", "1M"}, 0, "hash: BLAKE3\n", ""},
		{"default block size", []string{"-s", "1M"}, 0, "block_size: 131072\n", ""},
		{"letters together", []string{"-faHSHA1", "-s1M", "-B4k"}, 0, "reuse_asap: 1\n", ""},
		{"long names", []string{"--size=1.5M", "--block-size=8k", "--hash=TIGER160", "--overflow=2", "--reuse-asap"}, 0, "block_count: 192\n", ""},
		{"index elsewhere", []string{"-s", "1M", "-i", elsewhere + "/index"}, 0, "index_filename: " + elsewhere + "/index\n", ""},
		{"no size unit", []string{"-s", "1X"}, cli.ExitUsage, "", "size \"1X\""},
		{"zero size", []string{"-s", "0"}, cli.ExitUsage, "", "want more than 0"},
		{"negative size", []string{"-s", "-5"}, cli.ExitUsage, "", "ddumbfs mkfs: "},
		{"one block", []string{"-s", "128k"}, cli.ExitFailure, "", "want at least 2 blocks"},
		{"block size no power of two", []string{"-s", "1M", "-B", "5000"}, cli.ExitFailure, "", "power of two"},
		{"huge block size", []string{"-s", "1M", "-B", "1T"}, cli.ExitUsage, "", "block size"},
		{"no overflow", []string{"-s", "1M", "-o", "0"}, cli.ExitUsage, "", "cannot be 0"},
		{"small overflow", []string{"-s", "1M", "-o", "1.05"}, cli.ExitFailure, "", "overflow"},
		{"unknown hash", []string{"-s", "1M", "-H", "MD5"}, cli.ExitUnsupported, "", "MD5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			run(t, append(append([]string{"ddumbfs", "mkfs"}, c.args...), dir)...).want(t, c.code, c.out, c.err)
			if _, err := os.Stat(filepath.Join(dir, "ddfs.cfg")); (err == nil) != (c.code == 0) {
				t.Errorf("code %d, and ddfs.cfg: %v", c.code, err)
			}
		})
	}
}

func TestMkfsRefuses(t *testing.T) {
	run(t, "mkddumbfs").want(t, cli.ExitUsage, "", "want one parent directory, have 0 arguments")
	run(t, "mkddumbfs", "a", "b").want(t, cli.ExitUsage, "", "have 2 arguments")
	run(t, "mkddumbfs", "/no/such/directory").want(t, cli.ExitNoVolume, "", "no such")
	dir := newVolume(t)
	run(t, "mkddumbfs", "-s", "1M", dir).want(t, cli.ExitFailure, "", "hint: an old volume is lost with -f")
	run(t, "mkddumbfs", "-s", "1M", "-f", dir).want(t, cli.ExitOK, "made a volume of 8 blocks of 128k", "")
}

func TestMkfsJSON(t *testing.T) {
	dir := t.TempDir()
	c := run(t, "ddumbfs", "mkfs", "--json", "-s", "1M", dir)
	c.want(t, cli.ExitOK, "", "")
	var made struct {
		Parent string
		Config map[string]any
	}
	if err := json.Unmarshal([]byte(c.out), &made); err != nil {
		t.Fatalf("%v in %s", err, c.out)
	}
	if made.Parent != dir || made.Config["block_count"] != 8.0 || made.Config["hash"] != "BLAKE3" {
		t.Errorf("have %+v, want parent %s, 8 blocks, hash BLAKE3", made, dir)
	}
}
