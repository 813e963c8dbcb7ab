package disk_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, name string, flag int) disk.File {
	t.Helper()
	f, err := disk.OS().OpenFile(name, flag, 0o600)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// loop attaches a file of size bytes as a block device and detaches it again.
func loop(t *testing.T, size int64) string {
	t.Helper()
	back := filepath.Join(t.TempDir(), "back")
	must(t, os.WriteFile(back, nil, 0o600))
	must(t, os.Truncate(back, size))
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
	return dev
}

func TestDevice(t *testing.T) {
	const size = 8 << 20
	f := open(t, loop(t, size), os.O_RDWR)
	if have, err := f.Size(); have != size || err != nil || !f.IsDevice() {
		t.Fatalf("loop device: size %d, %v, device %v, want %d", have, err, f.IsDevice(), size)
	}
	p := bytes.Repeat([]byte{7}, 64<<10)
	must(t, disk.WriteFull(f, p, 1<<20))
	must(t, f.Flush(0, 0))
	must(t, f.Sync())
	must(t, f.SyncAll())
	if n, err := f.WriteAt(p, size-4096); n != 4096 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write past the end: have %d, %v, want 4096, ENOSPC", n, err)
	}
	if at, err := f.NextData(5); at != 5 || err != nil {
		t.Errorf("next data: have %d, %v, want 5", at, err)
	}
	if at, err := f.NextHole(5); at != size || err != nil {
		t.Errorf("next hole: have %d, %v, want %d", at, err, size)
	}
	if err := f.Truncate(0); err == nil {
		t.Error("truncate a device: have no error")
	}
	err := f.Punch(1<<20, 64<<10)
	if errors.Is(err, disk.ErrUnsupported) {
		t.Skipf("loop device without discard: %v", err)
	}
	must(t, err)
	must(t, disk.ReadFull(f, p, 1<<20))
	if !bytes.Equal(p, make([]byte, len(p))) { // a loop device discards to zeros
		t.Error("discarded range still holds data")
	}
	if err := f.Punch(0, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("discard nothing: have %v, want EINVAL", err)
	}
}

func TestOddFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	must(t, unix.Mkfifo(fifo, 0o600))
	must(t, os.Symlink("/etc/passwd", link))
	tests := []struct {
		name string
		flag int
		want error
	}{
		{fifo, os.O_RDONLY, disk.ErrFileType}, {fifo, os.O_RDWR, disk.ErrFileType}, {fifo, os.O_WRONLY, unix.ENXIO},
		{"/dev/null", os.O_RDWR, disk.ErrFileType}, {dir, os.O_RDONLY, unix.EISDIR},
		{link, os.O_RDONLY | unix.O_NOFOLLOW, unix.ELOOP}, {"", os.O_RDONLY, fs.ErrNotExist},
		{dir + "/" + strings.Repeat("x", 300), os.O_RDONLY, unix.ENAMETOOLONG},
		{strings.Repeat("x", 5000), os.O_RDONLY, unix.ENAMETOOLONG},
		{"/" + strings.Repeat("x", 5000) + "/y", os.O_RDONLY, unix.ENAMETOOLONG},
	}
	for _, tt := range tests {
		if f, err := disk.OS().OpenFile(tt.name, tt.flag, 0); f != nil || !errors.Is(err, tt.want) {
			t.Errorf("open %.40q flags %#x: have %v, %v, want %v", tt.name, tt.flag, f, err, tt.want)
		}
	}
}

// TestDirect: O_DIRECT reaches the kernel, which then refuses what is not
// aligned.
func TestDirect(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := disk.OS().OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		t.Skipf("no direct I/O here: %v", err)
	}
	must(t, err)
	defer f.Close()
	m, err := disk.Alloc(8192, disk.AllocOptions{})
	must(t, err)
	defer m.Close()
	must(t, disk.WriteFull(f, m.Bytes()[:4096], 0))
	must(t, disk.ReadFull(f, m.Bytes()[4096:], 0))
	if _, err := f.WriteAt(m.Bytes()[1:514], 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("misaligned direct write: have %v, want EINVAL", err)
	}
}

// TestRangesReachTheKernel: the suite takes "unsupported" for an answer, so here
// it must be the kernel's own.
func TestRangesReachTheKernel(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f := open(t, name, os.O_RDWR|os.O_CREATE)
	must(t, disk.WriteFull(f, make([]byte, 64<<10), 0))
	plain, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer plain.Close()
	const keep = unix.FALLOC_FL_KEEP_SIZE
	tests := []struct {
		name string
		ours func(off, n int64) error
		mode uint32
	}{{"punch", f.Punch, keep | unix.FALLOC_FL_PUNCH_HOLE}, {"allocate", f.Allocate, keep}}
	for _, tt := range tests {
		want := unix.Fallocate(int(plain.Fd()), tt.mode, 60<<10, 64<<10)
		if have := tt.ours(60<<10, 64<<10); !errors.Is(have, want) {
			t.Errorf("%s: have %v, the kernel says %v", tt.name, have, want)
		}
		if size, err := f.Size(); size != 64<<10 || err != nil {
			t.Errorf("size after %s: have %d, %v, want it unchanged", tt.name, size, err)
		}
	}
}

// TestLongPaths: a tree deeper than PATH_MAX can be made, listed and removed.
func TestLongPaths(t *testing.T) {
	fsys, dir := disk.OS(), t.TempDir()
	deep := dir
	var all []string
	for len(deep) < 9000 {
		deep += "/" + strings.Repeat("d", 240)
		must(t, fsys.Mkdir(deep, 0o700))
		all = append(all, deep)
	}
	name := deep + "/file"
	f := open(t, name, os.O_RDWR|os.O_CREATE)
	must(t, disk.WriteFull(f, []byte("deep"), 0))
	must(t, fsys.SyncDir(deep))
	must(t, fsys.SyncFS(deep))
	lock, err := fsys.Lock(deep)
	must(t, err)
	must(t, lock.Close())
	must(t, fsys.Rename(name, name+"2"))
	list, err := fsys.ReadDir(deep)
	if err != nil || len(list) != 1 || list[0].Name() != "file2" {
		t.Fatalf("deep listing: have %v, %v", list, err)
	}
	info, err := list[0].Info()
	if err != nil || info.Size() != 4 {
		t.Errorf("info of a deep entry: have %v, %v", info, err)
	}
	if st, err := fsys.Lstat(name + "2"); err != nil || st.Name() != "file2" || st.Sys().(*syscall.Stat_t).Size != 4 {
		t.Errorf("deep lstat: have %v, %v", st, err)
	}
	_, err = fsys.Lstat(name)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
		t.Errorf("deep lstat of nothing: have %v", err)
	}
	must(t, fsys.Remove(name+"2"))
	for i := len(all) - 1; i >= 0; i-- {
		must(t, fsys.Remove(all[i]))
	}
}

func TestLockIsSeenByOthers(t *testing.T) {
	dir := t.TempDir()
	lock, err := disk.OS().Lock(dir)
	must(t, err)
	if out, err := exec.Command("flock", "--nonblock", dir, "true").CombinedOutput(); err == nil {
		t.Errorf("another process got the lock: %s", out)
	}
	must(t, lock.Close())
	if out, err := exec.Command("flock", "--nonblock", dir, "true").CombinedOutput(); err != nil {
		t.Errorf("another process cannot lock after us: %v: %s", err, out)
	}
}

func TestNoAllocations(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE)
	p := make([]byte, 4096)
	n := testing.AllocsPerRun(100, func() {
		if disk.WriteFull(f, p, 0) != nil || disk.ReadFull(f, p, 0) != nil {
			t.Error("transfer failed")
		}
	})
	if n != 0 {
		t.Errorf("allocations per write and read: have %v, want 0", n)
	}
}

func TestDescriptorsAreClosed(t *testing.T) {
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(list)
	}
	dir := t.TempDir()
	before := count()
	for range 20 {
		fsys := disk.OS()
		_, _ = fsys.OpenFile(dir, os.O_RDONLY, 0)
		_, _ = fsys.OpenFile("/dev/null", os.O_RDONLY, 0)
		_, _ = fsys.Lstat(dir + strings.Repeat("/.", 4000))
		_, _ = fsys.Lstat(dir + strings.Repeat("/.", 4000) + "/none/x")
		_ = fsys.SyncDir(dir)
		must(t, disk.WriteFileAtomic(fsys, dir+"/f", []byte("x"), 0o600))
		if a, err := fsys.Lock(dir); err == nil {
			_, _ = fsys.Lock(dir)
			must(t, a.Close())
		}
	}
	if after := count(); after != before {
		t.Errorf("descriptors: have %d, want %d", after, before)
	}
}
