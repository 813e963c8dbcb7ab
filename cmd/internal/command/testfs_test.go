package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
)

func TestTestfs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "big")
	args := []string{"testddumbfs", "-S", "300001", "-B", "10000", "-c", "3", "-s", "7"}
	run(t, append(args, name)...).want(t, cli.ExitOK, "first write", "")
	run(t, append(args, name)...).want(t, cli.ExitFailure, "", "file exists")
	c := run(t, append(args, "-f", "--json", name)...)
	var r speedResult
	if err := json.Unmarshal([]byte(c.out), &r); err != nil || c.code != cli.ExitOK || len(r.Passes) != 3 || r.Passes[2].Bytes != 3*300001 {
		t.Errorf("code %d, %v: %s", c.code, err, c.out)
	}
	run(t, append(args, "-o", "RC", name)...).want(t, cli.ExitOK, "read", "")
	run(t, append(args, "-o", "RC", "-s", "8", name)...).want(t, cli.ExitFailure, "", "at offset 0: want")

	data, err := os.ReadFile(name + ".1")
	if err != nil {
		t.Fatal(err)
	}
	data[123456] ^= 1
	if err := os.WriteFile(name+".1", data, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, append(args, "-oRC", name)...).want(t, cli.ExitFailure, "", "compare "+name+".1: at offset 123456: want")
	run(t, append(args, "-oR", name)...).want(t, cli.ExitOK, "", "")
	if err := os.Truncate(name+".2", 300000); err != nil {
		t.Fatal(err)
	}
	run(t, append(args, "-oR", name)...).want(t, cli.ExitFailure, "", "offset 300000: want 300001 bytes, have 300000 bytes")
}

func TestTestfsCommandLine(t *testing.T) {
	for _, args := range [][]string{{}, {"-o", "X", "f"}, {"-o", "F", "f"}, {"-B", "1", "f"}, {"-S", "x", "f"}, {"-m", "x", "f"}, {"-c", "0", "f"}} {
		run(t, append([]string{"ddumbfs", "testfs"}, args...)...).want(t, cli.ExitUsage, "", "ddumbfs testfs: ")
	}
	run(t, "testddumbfs", filepath.Join(t.TempDir(), "no", "dir")).want(t, cli.ExitNoVolume, "", "no such file")
}

// Content can be computed at any place, and repeats only as the mask says.
func TestPattern(t *testing.T) {
	p := newPattern(3, 1000, ^uint64(0))
	whole := make([]byte, 10000)
	p.fill(whole, 2, 12345)
	for _, at := range []int{0, 1, 7, 8, 655, 656, 999, 5003} {
		part := make([]byte, 1500)
		p.fill(part, 2, 12345+int64(at))
		if !bytes.Equal(part, whole[at:at+1500]) {
			t.Errorf("from %d on the content is another", at)
		}
	}
	blocks := func(p pattern, file int) map[string]bool {
		seen := map[string]bool{}
		for i := range int64(100) {
			b := make([]byte, 512)
			p.fill(b, file, i*512)
			seen[string(b)] = true
		}
		return seen
	}
	p.request = 512
	a, b := blocks(p, 0), blocks(p, 1)
	for k := range b {
		if a[k] {
			t.Error("two files have a block in common")
		}
	}
	p.mask = 7
	if n := len(blocks(p, 0)); len(a) != 100 || n != 8 {
		t.Errorf("have %d different blocks of 100, and %d with a mask of three bits", len(a), n)
	}
	if zero := strings.Repeat("\x00", 512); a[zero] {
		t.Error("a block of zeros")
	}
}

func BenchmarkPattern(b *testing.B) {
	p, buf := newPattern(1, 128<<10, ^uint64(0)), make([]byte, 1<<20)
	b.SetBytes(int64(len(buf)))
	for i := range b.N {
		p.fill(buf, 0, int64(i)<<20)
	}
}
