package disk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
)

// TestDropCache: pages that were read are in memory, and are not after DropCache (mincore says so).
func TestDropCache(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	const size = 1 << 20
	must(t, os.WriteFile(name, bytes.Repeat([]byte{1}, size), 0o600))
	f := open(t, name, os.O_RDWR)
	must(t, f.SyncAll())
	resident := func() (n int) {
		fd, err := unix.Open(name, unix.O_RDONLY, 0)
		must(t, err)
		defer unix.Close(fd)
		m, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
		must(t, err)
		defer func() { must(t, unix.Munmap(m)) }()
		vec := make([]byte, size/4096)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), size, uintptr(unsafe.Pointer(&vec[0])))
		if errno != 0 {
			t.Skipf("no mincore: %v", errno)
		}
		for _, b := range vec {
			n += int(b & 1)
		}
		return n
	}
	must(t, disk.ReadFull(f, make([]byte, size), 0))
	if have := resident(); have == 0 {
		t.Skip("this file system keeps no pages")
	}
	must(t, disk.DropCache(f, 0, size))
	if have := resident(); have != 0 {
		t.Errorf("pages in memory after DropCache: have %d, want none", have)
	}
	m, err := disktest.New().OpenFile("/f", os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	must(t, disk.DropCache(m, 0, size)) // has no cache
	must(t, m.Close())
	if err := disk.DropCache(m, 0, size); err != nil {
		t.Errorf("a file without a cache: have %v", err)
	}
}
