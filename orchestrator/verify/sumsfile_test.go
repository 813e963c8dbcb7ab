package verify_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/verify"
)

// TestSums: byte for byte the form of the predecessor.
func TestSums(t *testing.T) {
	files := []orchestrator.FileSum{
		{Path: "mail01.vmx", Cksum: 930766865, Size: 9}, {Path: "STATUS.ok", Cksum: 4294967295}, {Path: "ASYNC.OK", Cksum: 1, Size: 1},
		{Path: ".crc32", Cksum: 1, Size: 1}, {Path: "mail01-flat.vmdk", Cksum: 7, Size: 1 << 40}, {Path: "Büro: 1 2", Cksum: 8, Size: 3},
		{Path: "etc/passwd", Cksum: 9, Size: 4}, {Path: "etc/.hidden", Cksum: 9, Size: 4}, {Path: ".git/config", Cksum: 9, Size: 4}, {Path: "line\nfeed", Cksum: 9, Size: 4},
		{Path: "sub/ASYNC.OK", Cksum: 10, Size: 4}, {Path: "raw\xff", Cksum: 11, Size: 0},
	}
	var b bytes.Buffer
	if err := verify.WriteSums(&b, files); err != nil {
		t.Fatal(err)
	}
	want := "Büro: 1 2:8 3 \nSTATUS.ok:4294967295 0 \netc/passwd:9 4 \nmail01-flat.vmdk:7 1099511627776 \nmail01.vmx:930766865 9 \nraw\xff:11 0 \nsub/ASYNC.OK:10 4 \n"
	if b.String() != want {
		t.Errorf("have:\n%s\nwant:\n%s", b.String(), want)
	}
	back, err := verify.ReadSums(&b)
	if err != nil || len(back) != 7 || back[0].Path != "Büro: 1 2" || back[0].Cksum != 8 || back[0].Size != 3 || back[3].Size != 1<<40 {
		t.Errorf("read back: %+v, %v", back, err)
	}
}

func TestReadSums(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "a:1 2 \n": true, "b:1 2 \na:1 2 \n": true, "a:b:1 2 \n": true,
		"a:1 2\n": false, "a:1 2 ": false, "a:1 \n": false, "a:4294967296 2 \n": false, "a:-1 2 \n": false, "a:1 -2 \n": false, ":1 2 \n": false,
		"a:1 2 \n\n": false, "a: \n": false, "a:1 9223372036854775808 \n": false, "a:1 2 \na:3 4 \n": false, "../a:1 2 \n": false, "/a:1 2 \n": false,
		"a\x00:1 2 \n": false, "a:1 2 3 \n": false, "a:0x1 2 \n": false,
	} {
		if list, err := verify.ReadSums(strings.NewReader(text)); (err == nil) != ok {
			t.Errorf("%q: have %+v, %v", text, list, err)
		}
	}
	if _, err := verify.ReadSums(strings.NewReader("a:1 2 \nb:nonsense")); err == nil || !strings.Contains(err.Error(), `line 2: have "b:nonsense"`) {
		t.Errorf("have %v, want the line", err)
	}
}

// TestSumsOfPredecessor makes a file as the predecessor did, with cksum and a shell, and reads it.
func TestSumsOfPredecessor(t *testing.T) {
	w := newWorld(t)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `for f in $(LC_ALL=C ls); do [ -f $f ] && echo "$f:$(cksum <$f | tr '\n' ' ')" ; done; true`)
	cmd.Dir = w.source
	w.must(exec.CommandContext(t.Context(), "find", w.source, "-name", "*ber*", "-delete").Run())
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("bash and cksum: %v", err)
	}
	list, err := verify.ReadSums(bytes.NewReader(out))
	w.must(err)
	if len(list) != 4 { // empty, small, sparse, and the symlink, which it reads through
		t.Errorf("have %+v of\n%s", list, out)
	}
	for _, f := range list {
		for _, s := range w.sums {
			if s.Path == f.Path && (s.Cksum != f.Cksum || s.Size != f.Size) {
				t.Errorf("%s: cksum says %d %d, we say %d %d", f.Path, f.Cksum, f.Size, s.Cksum, s.Size)
			}
		}
	}
}

func FuzzReadSums(f *testing.F) {
	f.Add([]byte("a:1 2 \nb:3 4 \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := verify.ReadSums(bytes.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := verify.WriteSums(&b, list); err != nil {
			t.Fatal(err)
		}
		again, err := verify.ReadSums(&b)
		if err != nil || len(again) > len(list) {
			t.Errorf("%q: %v, %+v", text, err, again)
		}
	})
}
