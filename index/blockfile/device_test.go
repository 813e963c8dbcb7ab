package blockfile_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// TestDeviceInMemory: a device must have room for all blocks, keeps its other
// content on Create, and is not truncated.
func TestDeviceInMemory(t *testing.T) {
	for _, size := range []int64{blocks * blockSize, blocks*blockSize - 1} {
		m := disktest.New()
		m.CheckLeaks(t)
		must(t, m.AddDevice("/dev", size))
		f, err := m.OpenFile("/dev", os.O_RDWR, 0)
		must(t, err)
		must(t, disk.WriteFull(f, bytes.Repeat([]byte{9}, 8*blockSize), 0))
		must(t, f.Close())
		b, err := blockfile.Create(m, "/dev", geometry(t))
		if size < blocks*blockSize {
			if !errors.Is(err, format.ErrCorrupt) {
				t.Errorf("create on a device of %d bytes: have %v, want a size error", size, err)
			}
			continue
		}
		must(t, err)
		p := make([]byte, 3*blockSize)
		must(t, disk.ReadFull(b.Disk(), p, 0))
		if string(p[:9]) != "DDUMBFSB\x00" || !bytes.Equal(p[blockSize:2*blockSize], make([]byte, blockSize)) || p[2*blockSize] != 9 {
			t.Error("device after create: header, zero block or other content is wrong")
		}
		must(t, b.Truncate(2))
		must(t, b.Close())
	}
}

// TestLoopDevice does the same on a real one, with and without the page cache.
func TestLoopDevice(t *testing.T) {
	back := filepath.Join(t.TempDir(), "back")
	must(t, os.WriteFile(back, make([]byte, blocks*blockSize), 0o600))
	out, err := exec.Command("losetup", "--find", "--show", back).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device (needs root): %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", dev, err, out)
		}
	})
	b, err := blockfile.Create(disk.OS(), dev, geometry(t))
	must(t, err)
	must(t, b.Write(7, block(7)))
	must(t, b.Sync())
	must(t, b.Close())
	b, err = blockfile.OpenDirect(disk.OS(), dev, geometry(t), false)
	must(t, err)
	defer b.Close()
	m, err := disk.Alloc(blockSize, disk.AllocOptions{})
	must(t, err)
	defer m.Close()
	must(t, b.Read(7, m.Bytes()))
	if !bytes.Equal(m.Bytes(), block(7)) {
		t.Error("direct read differs from what was written")
	}
	copy(m.Bytes(), block(blocks-1))
	must(t, b.Write(blocks-1, m.Bytes()))
	must(t, b.Sync())
	if err := b.Read(2, make([]byte, blockSize+1)[1:]); !errors.Is(err, unix.EINVAL) || !errors.Is(err, format.ErrIO) {
		t.Errorf("misaligned direct read: have %v, want EINVAL", err)
	}
	buffered, err := blockfile.Open(disk.OS(), dev, geometry(t), true)
	must(t, err)
	defer buffered.Close()
	p := make([]byte, blockSize)
	must(t, buffered.Read(blocks-1, p))
	if !bytes.Equal(p, block(blocks-1)) {
		t.Error("buffered read differs from what was written directly")
	}
	if err := b.Punch(7, 1); err != nil && !errors.Is(err, disk.ErrUnsupported) {
		t.Errorf("punch: have %v", err)
	}
}
