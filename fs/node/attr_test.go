package node_test

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
)

// TestSize: the logical size comes from the open file or from the header, the
// blocks from the size.
func TestSize(t *testing.T) {
	m := newMount(t, nil)
	for _, size := range []int64{0, 1, testBlock - 1, testBlock, testBlock + 1, 10*testBlock + 7} {
		check(t, os.WriteFile(m.path("file"), make([]byte, size), 0o644))
		for _, when := range []string{"warm", "dropped"} {
			st := stat(t, m.path("file"))
			blocks := (size + testBlock - 1) / testBlock * testBlock / 512
			if st.Size != size || st.Blocks != blocks || st.Blksize != testBlock {
				t.Errorf("%s: size %d blocks %d blksize %d, want %d %d %d", when, st.Size, st.Blocks, st.Blksize, size, blocks, testBlock)
			}
			dropCaches(t)
		}
	}
}

// TestSizeFollows: sizes that change quickly are never served from a cache, also
// while the close of the writer, which nobody waits for, is still on its way.
func TestSizeFollows(t *testing.T) {
	m := newMount(t, nil)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := int64(1); i < 500; i++ {
				p := m.path(fmt.Sprint("file", g))
				if i%2 == 0 { // a new file, or more in an old one
					os.Remove(p)
				}
				if err := os.WriteFile(p, make([]byte, i), 0o644); err != nil {
					t.Error(err)
					return
				}
				var st unix.Stat_t
				if err := unix.Lstat(p, &st); err != nil || st.Size != i {
					t.Errorf("size %d, %v, want %d", st.Size, err, i)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestDamagedHeader: such a file is listed with the size its entries could hold,
// cannot be read, can be removed, and is named in the log once.
func TestDamagedHeader(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want int64
	}{
		{"magic", append([]byte("NOTOURS!"), make([]byte, 8+3*27)...), 3 * testBlock},
		{"short", []byte("DDUMB"), 0},
		{"size", append([]byte(format.MagicFile+"\xff\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 27)...), testBlock},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMount(t, nil)
			check(t, os.WriteFile(m.root+"/bad", tt.data, 0o644))
			for range 3 {
				if st := stat(t, m.path("bad")); st.Size != tt.want {
					t.Errorf("size %d, want %d", st.Size, tt.want)
				}
				if _, err := os.ReadFile(m.path("bad")); !errorIs(err, unix.EIO) {
					t.Errorf("read: %v, want EIO", err)
				}
			}
			if n := m.logged("size of node"); n != 1 {
				t.Errorf("messages about the size: %d, want 1", n)
			}
			check(t, os.Remove(m.path("bad")))
		})
	}
}

// TestTimes: times in ns, and a set time is not overwritten by data on its way.
func TestTimes(t *testing.T) {
	m := newMount(t, nil)
	f, err := os.Create(m.path("file"))
	check(t, err)
	_, err = f.WriteString("data")
	check(t, err)
	if fi, _ := f.Stat(); time.Since(fi.ModTime()).Abs() > time.Minute {
		t.Errorf("time of a write on its way: %v", fi.ModTime())
	}
	want := []unix.Timespec{{Sec: 1000, Nsec: 123456789}, {Sec: -5, Nsec: 999999999}}
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, m.path("file"), want, 0))
	check(t, f.Close())
	dropCaches(t)
	st := stat(t, m.path("file"))
	if st.Atim != want[0] || st.Mtim != want[1] {
		t.Errorf("times %v %v, want %v", st.Atim, st.Mtim, want)
	}
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, m.path("file"), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}, 0))
	if st := stat(t, m.path("file")); st.Atim != want[0] || time.Since(time.Unix(st.Mtim.Unix())).Abs() > time.Minute {
		t.Errorf("times %v %v, want %v and now", st.Atim, st.Mtim, want[0])
	}
}

// TestStatx: the time of birth, which only statx tells.
func TestStatx(t *testing.T) {
	m := newMount(t, nil)
	check(t, os.WriteFile(m.path("file"), make([]byte, 5000), 0o644))
	var have, want unix.Statx_t
	mask := unix.STATX_BASIC_STATS | unix.STATX_BTIME
	check(t, unix.Statx(unix.AT_FDCWD, m.path("file"), 0, mask, &have))
	check(t, unix.Statx(unix.AT_FDCWD, m.root+"/file", 0, mask, &want))
	if have.Mask&unix.STATX_BTIME == 0 || have.Btime != want.Btime {
		t.Errorf("time of birth %v (mask %#x), want %v", have.Btime, have.Mask, want.Btime)
	}
	if have.Size != 5000 || have.Ino != want.Ino || have.Mode != want.Mode {
		t.Errorf("size %d inode %d mode %o", have.Size, have.Ino, have.Mode)
	}
}

// TestXattrs: the name spaces, on files, directories and symbolic links.
func TestXattrs(t *testing.T) {
	m := newMount(t, nil)
	check(t, os.WriteFile(m.path("file"), nil, 0o644))
	check(t, os.Mkdir(m.path("dir"), 0o755))
	check(t, os.Symlink("nowhere", m.path("link")))
	for _, name := range []string{"file", "dir", "link"} {
		for _, attr := range []string{"user.a", "trusted.b", "security.c"} {
			have := unix.Lsetxattr(m.path(name), attr, []byte("value"), 0)
			want := error(nil)
			if name == "link" && attr == "user.a" {
				want = unix.EPERM
			}
			if have != want {
				t.Errorf("set %s of %s: %v, want %v", attr, name, have, want)
			}
			buf := make([]byte, 64)
			if n, err := unix.Lgetxattr(m.path(name), attr, buf); want == nil && (err != nil || string(buf[:n]) != "value") {
				t.Errorf("get %s of %s: %q, %v", attr, name, buf[:n], err)
			}
		}
		check(t, unix.Lremovexattr(m.path(name), "trusted.b"))
		if _, err := unix.Lgetxattr(m.path(name), "trusted.b", nil); err != unix.ENODATA {
			t.Errorf("removed attribute of %s: %v, want ENODATA", name, err)
		}
	}
	if err := unix.Setxattr(m.path("file"), "user.a", nil, unix.XATTR_CREATE); err != unix.EEXIST {
		t.Errorf("XATTR_CREATE over one: %v, want EEXIST", err)
	}
}

// TestGeneration: the ioctl tells what the file handle below tells.
func TestGeneration(t *testing.T) {
	const getVersion = 0x80087601
	m := newMount(t, nil)
	check(t, os.WriteFile(m.path("file"), nil, 0o644))
	var have, want int
	for p, v := range map[string]*int{m.path("file"): &have, m.root + "/file": &want} {
		f, err := os.Open(p)
		check(t, err)
		*v, err = unix.IoctlGetInt(int(f.Fd()), getVersion)
		check(t, err)
		if _, err := unix.IoctlGetInt(int(f.Fd()), 0x12345678); p == m.path("file") && err != unix.ENOTTY {
			t.Errorf("unknown ioctl: %v, want ENOTTY", err)
		}
		f.Close()
	}
	if uint32(have) != uint32(want) {
		t.Errorf("generation %#x, want %#x", have, want)
	}
}
