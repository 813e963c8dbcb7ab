package matrix_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// grain is a multiple of every block size: what is a hole in such pieces is one everywhere.
const grain = 2 << 20

func fallocate(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	data := random(1, 3<<20)
	must(t, os.WriteFile(name, data, 0o644))
	f := open(t, name, os.O_RDWR)
	fd := int(f.Fd())
	const keep = unix.FALLOC_FL_KEEP_SIZE
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|keep, 1000, 1<<20))
	clear(data[1000 : 1000+1<<20])
	is(t, "punched", name, data)
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|keep, 3<<20-10, 1<<20))
	clear(data[3<<20-10:])
	is(t, "punched across the end", name, data)
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE|keep, 2<<20, 777))
	clear(data[2<<20 : 2<<20+777])
	is(t, "zeroed", name, data)
	must(t, unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 3<<20-5, 100))
	data = append(data, make([]byte, 95)...)
	clear(data[3<<20-5:])
	is(t, "zeroed across the end", name, data)
	must(t, unix.Fallocate(fd, 0, 0, 4<<20))
	data = append(data, make([]byte, 4<<20-len(data))...)
	is(t, "enlarged", name, data)
	must(t, unix.Fallocate(fd, keep, 0, 5<<20))
	is(t, "reserved", name, data)
	fails(t, "no length", unix.Fallocate(fd, 0, 0, 0), unix.EINVAL)
	fails(t, "negative offset", unix.Fallocate(fd, 0, -1, 1), unix.EINVAL)
	fails(t, "punch without keeping the size", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE, 0, 1), unix.EOPNOTSUPP)
	must(t, f.Close())
}

func seek(t *testing.T, dir string) {
	f := open(t, filepath.Join(dir, "f"), os.O_CREATE|os.O_RDWR)
	writeAt(t, f, random(1, grain), 2*grain)
	writeAt(t, f, random(2, grain), 5*grain)
	must(t, f.Truncate(8*grain))
	fd := int(f.Fd())
	for _, c := range []struct {
		whence    int
		from, pos int64
		err       error
	}{
		{unix.SEEK_DATA, 0, 2 * grain, nil},
		{unix.SEEK_DATA, 2*grain + 5, 2*grain + 5, nil},
		{unix.SEEK_HOLE, 2*grain + 5, 3 * grain, nil},
		{unix.SEEK_HOLE, 0, 0, nil},
		{unix.SEEK_DATA, 3 * grain, 5 * grain, nil},
		{unix.SEEK_HOLE, 5 * grain, 6 * grain, nil},
		{unix.SEEK_HOLE, 7*grain + 1, 7*grain + 1, nil},
		{unix.SEEK_DATA, 6 * grain, 0, unix.ENXIO},
		{unix.SEEK_HOLE, 8 * grain, 0, unix.ENXIO},
		{unix.SEEK_DATA, 9 * grain, 0, unix.ENXIO},
	} {
		pos, err := unix.Seek(fd, c.from, c.whence)
		if !errors.Is(err, c.err) || err == nil && pos != c.pos {
			t.Errorf("lseek %d from %d: have %d, %v; want %d, %v", c.whence, c.from, pos, err, c.pos, c.err)
		}
	}
	must(t, f.Close())
}

// mapped maps n bytes of a file.
func mapped(t *testing.T, f *os.File, n, prot int) []byte {
	t.Helper()
	p, err := unix.Mmap(int(f.Fd()), 0, n, prot, unix.MAP_SHARED)
	must(t, err)
	return p
}

func mmapWrite(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	data := random(1, 1<<20+100)
	must(t, os.WriteFile(name, data, 0o644))
	f := open(t, name, os.O_RDWR)
	p := mapped(t, f, len(data), unix.PROT_READ|unix.PROT_WRITE)
	if !bytes.Equal(p, data) {
		t.Error("mapping: have other content than the file")
	}
	for off := 10; off < len(data); off += 70_001 {
		copy(p[off:], "mapped")
		copy(data[off:], "mapped")
	}
	must(t, unix.Msync(p, unix.MS_SYNC))
	is(t, "after msync", name, data)
	copy(p[5000:], "without msync")
	copy(data[5000:], "without msync")
	must(t, errors.Join(unix.Munmap(p), f.Sync(), f.Close()))
	is(t, "after munmap", name, data)
}

// mmapRead: a mapping shows what is written beside it.
func mmapRead(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	data := random(1, 1<<20)
	must(t, os.WriteFile(name, data, 0o644))
	f, w := open(t, name, os.O_RDONLY), open(t, name, os.O_RDWR)
	p := mapped(t, f, len(data), unix.PROT_READ)
	for off := int64(7); off < int64(len(data)); off += 130_001 {
		writeAt(t, w, []byte("w"), off)
		data[off] = 'w'
		if p[off] != 'w' {
			t.Errorf("mapping at %d: have %#x, want what was just written", off, p[off])
		}
	}
	if !bytes.Equal(p, data) {
		t.Error("mapping: have other content than the file")
	}
	must(t, errors.Join(unix.Munmap(p), f.Close(), w.Close()))
}

func mmapTruncate(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f := open(t, name, os.O_CREATE|os.O_RDWR)
	must(t, f.Truncate(1<<20))
	p := mapped(t, f, 1<<20, unix.PROT_READ|unix.PROT_WRITE)
	copy(p[1<<20-9:], "the last")
	copy(p[100:], "the first")
	must(t, f.Truncate(1<<19+5))
	copy(p[1<<19:], "12345")
	must(t, f.Truncate(1<<20))
	want := make([]byte, 1<<20)
	copy(want[100:], "the first")
	copy(want[1<<19:], "12345")
	must(t, errors.Join(unix.Msync(p, unix.MS_SYNC), unix.Munmap(p), f.Close()))
	is(t, "cut and enlarged under a mapping", name, want)
}
