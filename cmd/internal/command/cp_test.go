package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/indextest"
)

// rootOf is a path in the tree of files of a volume.
func rootOf(dir, name string) string { return filepath.Join(dir, "ddfsroot", name) }

func outsideFile(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(name, data, 0o640); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1234567890, 987654321)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCpInAndOut(t *testing.T) {
	dir := newVolume(t)
	data := bytes.Repeat([]byte("0123456789abcdef-"), 3000)
	name := outsideFile(t, data)
	run(t, "cpddumbfs", "-cl", name, rootOf(dir, "a")).want(t, cli.ExitOK, "", "OK\n")
	run(t, "ddumbfs", "cp", name, dir+":b").want(t, cli.ExitOK, "", "")
	run(t, "ddumbfs", "cp", name, rootOf(dir, "")).want(t, cli.ExitOK, "", "") // a directory: the name is that of the source
	indextest.AssertClean(t, dir)
	back := t.TempDir()
	for _, stored := range []string{"a", "b", "outside"} {
		run(t, "cpddumbfs", "-c", rootOf(dir, stored), back).want(t, cli.ExitOK, "", "OK\n")
		have, err := os.ReadFile(filepath.Join(back, stored))
		if err != nil || !bytes.Equal(have, data) {
			t.Errorf("%s: have %d bytes, %v", stored, len(have), err)
		}
		info, err := os.Stat(filepath.Join(back, stored))
		if err != nil || info.Mode() != 0o640 || !info.ModTime().Equal(time.Unix(1234567890, 987654321)) {
			t.Errorf("%s: have %v, %v", stored, info, err)
		}
	}
	if c := run(t, "cpddumbfs", dir+":a", "-"); c.code != cli.ExitOK || c.out != string(data) || c.err != "" {
		t.Errorf("to standard output: code %d, %d bytes, %s", c.code, len(c.out), c.err)
	}
	c := run(t, "cpddumbfs", "-v", rootOf(dir, "a"), "/dev/null")
	c.want(t, cli.ExitOK, "", " OK\n")
	if lines := strings.Count(c.err, "\n"); lines != (len(data)+4095)/4096+1 { // and one that says who reads
		t.Errorf("-v: have %d lines:\n%s", lines, c.err)
	}
}

func TestCpFromStandardInput(t *testing.T) {
	dir := newVolume(t)
	var out, errs bytes.Buffer
	v := &copyFile{in: strings.NewReader("by a pipe"), json: true}
	if err := v.Run(t.Context(), Streams{&out, &errs}, []string{"-", rootOf(dir, "p")}); err != nil {
		t.Fatal(err, errs.String())
	}
	var c copied
	if err := json.Unmarshal(out.Bytes(), &c); err != nil || c.Written == nil || c.Written.Bytes != 9 || c.Written.New != 1 || c.Direction != "in" {
		t.Errorf("have %s, %v", out.String(), err)
	}
	run(t, "cpddumbfs", rootOf(dir, "p"), "-").want(t, cli.ExitOK, "by a pipe", "")
	if err := v.Run(t.Context(), Streams{&out, &errs}, []string{"-", rootOf(dir, "")}); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("into a directory: have %v", err)
	}
	indextest.AssertClean(t, dir)
}

func TestCpBadBlocks(t *testing.T) {
	dir := newVolume(t, "-H", "TIGER")
	data := make([]byte, 3*4096)
	for i := range data {
		data[i] = byte(i / 4096 * 7 / 3)
	}
	data[0] = 9
	run(t, "cpddumbfs", outsideFile(t, data), rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	v := indextest.Describe(t, mustAcquire(t, dir).FS, dir)
	_, entries := v.Recipe("a")
	v.DamageBlock(entries[1].Addr)
	out := filepath.Join(t.TempDir(), "out")
	c := run(t, "cpddumbfs", "-c", rootOf(dir, "a"), out)
	c.want(t, cli.ExitFailure, "", "ERR\n")
	c.want(t, cli.ExitFailure, "", "hint: -f copies the rest")
	if _, err := os.Lstat(out); err == nil {
		t.Error("a file with a bad block was left there")
	}
	c = run(t, "cpddumbfs", "-cfv", "--json", rootOf(dir, "a"), out)
	c.want(t, cli.ExitFailure, `"bad_blocks": 1`, " ERR\n")
	c.want(t, cli.ExitFailure, `"offset": 4096`, "bad: 4096 bytes at offset 4096")
	clear(data[4096:8192])
	if have, err := os.ReadFile(out); err != nil || !bytes.Equal(have, data) {
		t.Errorf("with -f: have %d bytes, %v", len(have), err)
	}
}

func mustAcquire(t *testing.T, dir string) *index.Parent {
	t.Helper()
	p, err := index.Acquire(index.Location{Parent: dir}, index.Read)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A volume that was not closed cleanly is read, and not written.
func TestCpOfUncleanVolume(t *testing.T) {
	dir := newVolume(t)
	name := outsideFile(t, []byte("x"))
	run(t, "cpddumbfs", name, rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	if err := os.WriteFile(filepath.Join(dir, ".autofsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ".autofsck.clean")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	run(t, "cpddumbfs", name, rootOf(dir, "b")).want(t, cli.ExitCorrupt, "", "hint: ddumbfs fsck -n "+dir)
	run(t, "cpddumbfs", "--dry-run", name, rootOf(dir, "b")).want(t, cli.ExitCorrupt, "", "hint: ddumbfs fsck -n "+dir)
	run(t, "cpddumbfs", rootOf(dir, "a"), "-").want(t, cli.ExitOK, "x", "")
	if _, err := os.Lstat(rootOf(dir, "b")); err == nil {
		t.Error("the file was written")
	}
}

func TestCpCommandLine(t *testing.T) {
	dir, other := newVolume(t), newVolume(t)
	name := outsideFile(t, []byte("x"))
	run(t, "cpddumbfs", name, rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	link := filepath.Join(t.TempDir(), "blocks")
	if err := os.Symlink(filepath.Join(dir, "ddfsblocks"), link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code cli.Code
		err  string
	}{
		{"one argument", []string{name}, cli.ExitUsage, "want a source and a destination"},
		{"no volume", []string{name, "/tmp/x"}, cli.ExitUsage, "neither"},
		{"both stored", []string{rootOf(dir, "a"), rootOf(other, "a")}, cli.ExitUsage, "both"},
		{"two pipes", []string{"-", "-"}, cli.ExitUsage, "neither"},
		{"no such stored file", []string{rootOf(dir, "none"), "-"}, cli.ExitNoVolume, "none"},
		{"no such outside file", []string{name + "x", rootOf(dir, "b")}, cli.ExitNoVolume, "no such file"},
		{"no such directory", []string{name, rootOf(dir, "no/dir")}, cli.ExitNoVolume, "no such file"},
		{"the special directory", []string{name, rootOf(dir, ".ddumbfs/x")}, cli.ExitFailure, "special directory"},
		{"over the volume's own parts", []string{rootOf(dir, "a"), filepath.Join(dir, "ddfsidx")}, cli.ExitUsage, "part of the volume"},
		{"the same by a symlink", []string{rootOf(dir, "a"), link}, cli.ExitUsage, "part of the volume"},
		{"a stored directory", []string{rootOf(dir, ""), "-"}, cli.ExitUsage, "not a regular file"},
		{"an outside directory", []string{filepath.Dir(name), rootOf(dir, "d")}, cli.ExitUsage, "is a directory"},
		{"dry run in", []string{"-n", name, rootOf(dir, "a")}, cli.ExitOK, ""},
		{"dry run out", []string{"-n", rootOf(dir, "a"), name}, cli.ExitOK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, append([]string{"cpddumbfs"}, c.args...)...).want(t, c.code, "", c.err)
		})
	}
	run(t, "cpddumbfs", "-n", name, rootOf(dir, "a")).want(t, cli.ExitOK, "would store "+name+" as a in volume "+dir+", which is replaced", "")
	indextest.AssertClean(t, dir)
}

// A volume that another process owns is not written.
func TestCpIntoAVolumeInUse(t *testing.T) {
	dir := newVolume(t)
	p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	run(t, "cpddumbfs", outsideFile(t, []byte("x")), rootOf(dir, "a")).want(t, cli.ExitBusy, "", "another process owns it")
}

// Files go into a mounted volume and out of it through the process that serves it, by whatever name.
func TestCpOfAMountedVolume(t *testing.T) {
	dir, mnt := mountedVolume(t)
	data := bytes.Repeat([]byte("what is stored, "), 3000)
	name := outsideFile(t, data)
	run(t, "cpddumbfs", "-vc", name, filepath.Join(mnt, "a")).want(t, cli.ExitOK, "", "the process that serves "+mnt+" stores it")
	run(t, "cpddumbfs", name, rootOf(dir, "b")).want(t, cli.ExitOK, "", "")
	run(t, "ddumbfs", "cp", "-n", name, dir+":b").want(t, cli.ExitOK, "would store "+name+" as b in volume "+dir+", which is replaced", "")
	run(t, "ddumbfs", "cp", "--json", name, mnt).want(t, cli.ExitOK, `"served": true`, "")
	open, err := os.OpenFile(filepath.Join(mnt, "a"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := open.WriteString("not saved"); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{filepath.Join(mnt, "a"): string(data) + "not saved", rootOf(dir, "a"): string(data) + "not saved",
		rootOf(dir, "b"): string(data), filepath.Join(mnt, "outside"): string(data)} {
		if c := run(t, "cpddumbfs", from, "-"); c.code != cli.ExitOK || c.out != want {
			t.Errorf("%s to standard output: code %d, %d bytes, %s", from, c.code, len(c.out), c.err)
		}
		back := filepath.Join(t.TempDir(), "back")
		run(t, "cpddumbfs", "-c", from, back).want(t, cli.ExitOK, "", "OK")
		have, err := os.ReadFile(back)
		if info, serr := os.Stat(back); err != nil || serr != nil || string(have) != want || info.Mode() != 0o640 {
			t.Errorf("%s to a file: have %d bytes, %v, %v, %v", from, len(have), info, err, serr)
		}
	}
	run(t, "cpddumbfs", filepath.Join(mnt, "a"), rootOf(dir, "c")).want(t, cli.ExitUsage, "", "lie in one volume")
	run(t, "cpddumbfs", "/dev/null", filepath.Join(mnt, "null")).want(t, cli.ExitOK, "", "") // read here, into a pipe
	run(t, "cpddumbfs", filepath.Join(mnt, "b"), "/dev/null").want(t, cli.ExitOK, "", "")
	run(t, "cpddumbfs", filepath.Join(mnt, "none"), "-").want(t, cli.ExitNoVolume, "", "none")
	run(t, "cpddumbfs", name, filepath.Join(mnt, "no/dir")).want(t, cli.ExitNoVolume, "", "directory no")
	run(t, "cpddumbfs", "--index", "/x", name, filepath.Join(mnt, "d")).want(t, cli.ExitUsage, "", "for volumes that are not")
	other := newVolume(t)
	run(t, "cpddumbfs", filepath.Join(mnt, "b"), rootOf(other, "b")).want(t, cli.ExitOK, "", "") // between two volumes
	run(t, "cpddumbfs", rootOf(other, "b"), filepath.Join(mnt, "e")).want(t, cli.ExitOK, "", "")
	if have, err := os.ReadFile(filepath.Join(mnt, "e")); err != nil || string(have) != string(data) {
		t.Errorf("have %d bytes, %v", len(have), err)
	}
}

// The serving process is killed in the middle of a copy: an error, then the old file, after a repair.
func TestCpWhenTheServingProcessIsKilled(t *testing.T) {
	dir, mnt := mountedVolume(t)
	run(t, "cpddumbfs", outsideFile(t, []byte("old")), filepath.Join(mnt, "a")).want(t, cli.ExitOK, "", "")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	done := make(chan error, 1)
	var out, errs bytes.Buffer
	go func() {
		done <- (&copyFile{in: r}).Run(t.Context(), Streams{&out, &errs}, []string{"-", filepath.Join(mnt, "a")})
	}()
	if _, err := w.Write(bytes.Repeat([]byte("0123456789abcdef"), 100<<10)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(daemonOf(t, mnt), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("no error")
	}
	run(t, "cpddumbfs", outsideFile(t, []byte("x")), rootOf(dir, "a")).want(t, cli.ExitBusy, "", "hint: the mount is dead")
	if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	mountVolume(t, dir, mnt)
	if have, err := os.ReadFile(filepath.Join(mnt, "a")); err != nil || string(have) != "old" {
		t.Errorf("have %q, %v", have, err)
	}
	if list, err := os.ReadDir(mnt); err != nil || len(list) != 2 {
		t.Errorf("have %v, %v, want the file and the special directory", list, err)
	}
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitOK, "is clean", "")
	indextest.AssertClean(t, dir)
}

// A copy from a pipe that says nothing can be called off: the old file and a clean volume are left.
func TestCpIsCalledOff(t *testing.T) {
	dir := newVolume(t)
	run(t, "cpddumbfs", outsideFile(t, []byte("old")), rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	if _, err := w.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, stop)
	v := &copyFile{in: r}
	var out, errs bytes.Buffer
	if err := v.Run(ctx, Streams{&out, &errs}, []string{"-", rootOf(dir, "a")}); !errors.Is(err, context.Canceled) || cli.CodeOf(err) != cli.ExitInterrupted {
		t.Errorf("have %v", err)
	}
	run(t, "cpddumbfs", rootOf(dir, "a"), "-").want(t, cli.ExitOK, "old", "")
	if list, err := os.ReadDir(rootOf(dir, "")); err != nil || len(list) != 2 {
		t.Errorf("have %v, %v, want the file and the special directory", list, err)
	}
	indextest.AssertClean(t, dir)
}
