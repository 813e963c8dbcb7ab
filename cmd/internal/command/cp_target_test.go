package command

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/index/indextest"
)

// loopDevice is a block device over a file of size bytes.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("loop devices need root")
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", dev, err, out)
		}
	})
	return dev
}

func readStart(t *testing.T, name string, n int) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, n)
	if _, err := f.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// A block device that somebody has, or that is too small, or that holds a volume's blocks is not written to.
func TestCpToBlockDevices(t *testing.T) {
	dir := newVolume(t)
	data := bytes.Repeat([]byte("0123456789abcde-"), 1024)
	run(t, "cpddumbfs", outsideFile(t, data), rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	run(t, "cpddumbfs", outsideFile(t, bytes.Repeat(data, 100)), rootOf(dir, "large")).want(t, cli.ExitOK, "", "")
	dev := loopDevice(t, 1<<20)
	blank := make([]byte, len(data))
	fd, err := unix.Open(dev, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	run(t, "cpddumbfs", "-f", rootOf(dir, "a"), dev).want(t, cli.ExitBusy, "", "in use")
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
	run(t, "cpddumbfs", rootOf(dir, "large"), dev).want(t, cli.ExitNoSpace, "", "has 1048576 bytes, the file 1638400")
	if !bytes.Equal(readStart(t, dev, len(data)), blank) {
		t.Error("the device was written to")
	}
	run(t, "cpddumbfs", rootOf(dir, "a"), dev).want(t, cli.ExitOK, "", "")
	if !bytes.Equal(readStart(t, dev, len(data)), data) {
		t.Error("the device does not have the file")
	}
	if err := os.WriteFile(dev, []byte("DDUMBFSB"), 0); err != nil {
		t.Fatal(err)
	}
	run(t, "cpddumbfs", rootOf(dir, "a"), dev).want(t, cli.ExitUsage, "", "the block file of a volume")
	run(t, "cpddumbfs", "-f", rootOf(dir, "a"), dev).want(t, cli.ExitOK, "", "")
	if !bytes.Equal(readStart(t, dev, len(data)), data) {
		t.Error("the device does not have the file with -f")
	}
}

// What belongs to another volume is not overwritten without -f.
func TestCpOverAnotherVolume(t *testing.T) {
	dir, other := newVolume(t), newVolume(t)
	run(t, "cpddumbfs", outsideFile(t, []byte("x")), rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	for _, part := range []string{"ddfs.cfg", "ddfsidx", "ddfsblocks"} {
		run(t, "cpddumbfs", rootOf(dir, "a"), filepath.Join(other, part)).want(t, cli.ExitUsage, "", "is a part of the volume "+other+"; -f overwrites it")
		run(t, "cpddumbfs", "-n", rootOf(dir, "a"), filepath.Join(other, part)).want(t, cli.ExitUsage, "", "is a part of the volume "+other)
	}
	indextest.AssertClean(t, other)
	kept := filepath.Join(t.TempDir(), "kept") // an index without its volume, and by a link
	if err := os.WriteFile(kept, append([]byte("DDUMBFSI"), make([]byte, 5000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kept, kept+".link"); err != nil {
		t.Fatal(err)
	}
	run(t, "cpddumbfs", rootOf(dir, "a"), kept+".link").want(t, cli.ExitUsage, "", "the index file of a volume")
	run(t, "cpddumbfs", rootOf(dir, "a"), filepath.Join(other, "new")).want(t, cli.ExitOK, "", "") // a name that is free
	run(t, "cpddumbfs", rootOf(dir, "a"), filepath.Join(other, "new")).want(t, cli.ExitOK, "", "") // no part of the volume
	run(t, "cpddumbfs", "-f", rootOf(dir, "a"), kept+".link").want(t, cli.ExitOK, "", "")
	if have, err := os.ReadFile(kept); string(have) != "x" {
		t.Errorf("with -f: have %d bytes, %v", len(have), err)
	}
}

// A comparison says what it has not proved.
func TestVerifySaysWhatWasNotRead(t *testing.T) {
	dir := newVolume(t)
	data := bytes.Repeat([]byte("0123456789abcde-"), 1024)
	name := outsideFile(t, data)
	run(t, "cpddumbfs", name, rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	run(t, "ddumbfs", "verify", "--against", name, rootOf(dir, "a")).want(t, cli.ExitOK, "the index has all of its blocks, which were not read", "")
	run(t, "ddumbfs", "verify", "--json", "--against", name, rootOf(dir, "a")).want(t, cli.ExitOK, `"index_checked": true`, "")
	v := indextest.Describe(t, mustAcquire(t, dir).FS, dir)
	size, e := v.Recipe("a")
	e[0].Addr += 50 // a block that was never written
	v.WriteRecipe("a", size, e)
	run(t, "ddumbfs", "verify", "--against", name, rootOf(dir, "a")).want(t, cli.ExitCorrupt, "at offset 0, 4096 bytes", "")
	if err := os.Remove(filepath.Join(dir, "ddfsidx")); err != nil {
		t.Fatal(err)
	}
	c := run(t, "ddumbfs", "verify", "--against", name, rootOf(dir, "a"))
	c.want(t, cli.ExitOK, "the stored blocks were not read (--read does that)", "the index cannot be read")
}

// Files of a volume in the middle of a rebuild, a pack or a resize are not judged by its entries.
func TestVerifyRefusesUnfinished(t *testing.T) {
	dir := newVolume(t)
	name := outsideFile(t, []byte("0123456789abcde-"))
	run(t, "cpddumbfs", name, rootOf(dir, "a")).want(t, cli.ExitOK, "", "")
	if err := os.WriteFile(filepath.Join(dir, ".rebuildfsck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--against", name}, {"--json"}} {
		run(t, append(append([]string{"ddumbfs", "verify"}, args...), rootOf(dir, "a"))...).want(t, cli.ExitFailure, "", "ddumbfs fsck -r "+dir)
	}
}
