package resize_test

import (
	"os"
	"syscall"
	"testing"

	"tresor/index/disk"
)

func lstat(t testing.TB, fs disk.FS, name string) os.FileInfo {
	t.Helper()
	info, err := fs.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func sys(info os.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

func sysIno(info os.FileInfo) uint64 { return sys(info).Ino }
