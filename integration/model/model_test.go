package model_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// seed is TRESOR_SEED, or a new one each time. It is printed, so that a failure can be repeated.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("TRESOR_SEED: %v", err)
		}
	}
	t.Logf("TRESOR_SEED=%d", n)
	return n
}

// TestBesidePlainDirectory covers every hash, and with them block sizes from the smallest to the largest.
func TestBesidePlainDirectory(t *testing.T) {
	sizes := []int{512, 4 << 10, 8 << 10, 128 << 10, 1 << 20, 2 << 20}
	steps := 500
	if os.Getenv("TRESOR_LONG") != "" {
		steps = 20000
	}
	for i, hash := range blockhash.Names() {
		bs := sizes[i%len(sizes)]
		t.Run(fmt.Sprintf("%s-%s", hash, format.FormatSize(int64(bs))), func(t *testing.T) {
			parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{
				Hash: hash, BlockSize: bs, Size: max(64<<20, int64(bs)*400), Overflow: 1.3}})
			p := &pair{t: t, rnd: rand.New(rand.NewPCG(seed(t), 1)), plain: t.TempDir(), bs: bs,
				m: mounttest.Volume(t, mounttest.Options{Parent: parent, List: []string{"", "pool=0", "verify=always"}[i%3]})}
			for i := range steps {
				p.step()
				if i%100 == 99 {
					p.m = p.m.Remount("")
					p.compare()
				}
			}
			p.compare()
		})
	}
}

// pair is a mount and the plain directory beside it.
type pair struct {
	t     *testing.T
	rnd   *rand.Rand
	m     *mounttest.Mount
	plain string
	bs    int
	log   []string
}

func (p *pair) fail(text string, args ...any) {
	p.t.Helper()
	for _, l := range p.log[max(0, len(p.log)-30):] {
		p.t.Log(l)
	}
	p.t.Fatalf(text, args...)
}

// name is one of few, so that operations meet; some lie in directories that may not exist.
func (p *pair) name() string {
	names := []string{"a", "b", "c", "d1", "d2", "l"}
	n := names[p.rnd.IntN(len(names))]
	for p.rnd.IntN(3) == 0 {
		n = filepath.Join([]string{"d1", "d2", "d3"}[p.rnd.IntN(3)], n)
	}
	return n
}

// both runs an operation on the mount and on the plain directory and compares the outcomes: the errno, and a text that says what was seen.
func (p *pair) both(what string, do func(root string) (string, error)) {
	p.t.Helper()
	p.log = append(p.log, what)
	have, haveErr := do(p.m.Point)
	want, wantErr := do(p.plain)
	if a, b := errno(haveErr), errno(wantErr); a != b {
		p.fail("%s: plain directory says %v (%v), the mount %v (%v)", what, b, wantErr, a, haveErr)
	}
	if have != want {
		p.fail("%s: plain directory has %q, the mount %q", what, want, have)
	}
}

func errno(err error) syscall.Errno {
	var e syscall.Errno
	if err != nil && !errors.As(err, &e) {
		return syscall.EIO
	}
	return e
}

func (p *pair) step() {
	p.t.Helper()
	name, other := p.name(), p.name()
	off := int64(p.rnd.IntN(p.bs * 5))
	n := 1 + p.rnd.IntN(p.bs*2)
	switch p.rnd.IntN(16) {
	case 0, 1, 2, 3:
		p.write(name, off, n)
	case 4:
		p.both("mkdir "+name, func(r string) (string, error) { return "", os.Mkdir(filepath.Join(r, name), 0o755) })
	case 5:
		p.both("remove "+name, func(r string) (string, error) { return "", unlink(filepath.Join(r, name)) })
	case 6, 7:
		flags := []uint{0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[p.rnd.IntN(4)]
		p.both(fmt.Sprintf("rename %s %s %d", name, other, flags), func(r string) (string, error) {
			return "", unix.Renameat2(unix.AT_FDCWD, filepath.Join(r, name), unix.AT_FDCWD, filepath.Join(r, other), flags)
		})
	case 8:
		p.both("link "+name+" "+other, func(r string) (string, error) {
			return "", unix.Link(filepath.Join(r, name), filepath.Join(r, other))
		})
	case 9:
		p.both("symlink "+name, func(r string) (string, error) { return "", unix.Symlink(other, filepath.Join(r, name)) })
	case 10:
		p.both(fmt.Sprintf("truncate %s %d", name, off), func(r string) (string, error) {
			return "", unix.Truncate(filepath.Join(r, name), off)
		})
	case 11:
		p.zero(name, off, int64(n))
	case 12:
		p.copyRange(name, other, off, n)
	case 13:
		p.both("chmod "+name, func(r string) (string, error) { return "", unix.Chmod(filepath.Join(r, name), 0o600|uint32(n%64)) })
	case 14:
		p.read(name, off, n)
	case 15:
		p.both("setxattr "+name, func(r string) (string, error) {
			return "", unix.Setxattr(filepath.Join(r, name), "user.x", fmt.Append(nil, n), 0)
		})
	}
}

func unlink(path string) error {
	err := unix.Unlink(path)
	if errors.Is(err, unix.EISDIR) {
		return unix.Rmdir(path)
	}
	return err
}

// data repeats a few blocks, so that there is something to deduplicate, or is random, or zeros.
func (p *pair) data(n int) []byte {
	data := make([]byte, n)
	switch p.rnd.IntN(4) {
	case 0:
	case 1:
		copy(data, bytes.Repeat([]byte{byte(p.rnd.IntN(3))}, n))
	default:
		s := rand.NewChaCha8([32]byte{byte(p.rnd.IntN(200))})
		s.Read(data)
	}
	return data
}

func (p *pair) write(name string, off int64, n int) {
	p.t.Helper()
	data := p.data(n)
	flag := os.O_RDWR | os.O_CREATE | []int{0, 0, os.O_APPEND, os.O_TRUNC, os.O_EXCL, os.O_SYNC}[p.rnd.IntN(6)]
	sync := p.rnd.IntN(8) == 0
	p.both(fmt.Sprintf("write %s at %d + %d flags %#x", name, off, n, flag), func(r string) (string, error) {
		fd, err := unix.Open(filepath.Join(r, name), flag|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		got, err := unix.Pwrite(fd, data, off)
		if err == nil && sync {
			err = unix.Fsync(fd)
		}
		return fmt.Sprint(got), err
	})
}

func (p *pair) zero(name string, off, n int64) {
	p.t.Helper()
	mode := []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE,
		unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE}[p.rnd.IntN(5)]
	p.both(fmt.Sprintf("fallocate %s mode %d at %d + %d", name, mode, off, n), func(r string) (string, error) {
		fd, err := unix.Open(filepath.Join(r, name), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		return "", unix.Fallocate(fd, mode, off, n)
	})
}

// copyRange copies between files, half of the time with offsets that allow cloning.
func (p *pair) copyRange(from, to string, off int64, n int) {
	p.t.Helper()
	in, out := off, int64(p.rnd.IntN(p.bs*5))
	if p.rnd.IntN(2) == 0 {
		out = out/int64(p.bs)*int64(p.bs) + in%int64(p.bs)
	}
	p.both(fmt.Sprintf("copy %s at %d + %d to %s at %d", from, in, n, to, out), func(r string) (string, error) {
		src, err := unix.Open(filepath.Join(r, from), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		defer unix.Close(src)
		dst, err := unix.Open(filepath.Join(r, to), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		defer unix.Close(dst)
		total := 0
		for a, b := in, out; total < n; {
			k, err := unix.CopyFileRange(src, &a, dst, &b, n-total, 0)
			if err != nil || k == 0 {
				return fmt.Sprint(total), err
			}
			total += k
		}
		return fmt.Sprint(total), nil
	})
}

func (p *pair) read(name string, off int64, n int) {
	p.t.Helper()
	p.both(fmt.Sprintf("read %s at %d + %d", name, off, n), func(r string) (string, error) {
		f, err := os.Open(filepath.Join(r, name))
		if err != nil {
			return "", err
		}
		defer f.Close()
		data := make([]byte, n)
		got, err := f.ReadAt(data, off)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		h := blockhash.Default().Sum(data[:got])
		return fmt.Sprintf("%d bytes, hash %x", got, h[:8]), err
	})
}

// compare walks both trees.
func (p *pair) compare() {
	p.t.Helper()
	have, want := p.tree(p.m.Point), p.tree(p.plain)
	for path, w := range want {
		if have[path] != w {
			p.fail("%s: plain directory has %s, the mount %s", path, w, have[path])
		}
		delete(have, path)
	}
	for path, h := range have {
		p.fail("%s: only the mount has it (%s)", path, h)
	}
}

// tree describes everything below root by path.
func (p *pair) tree(root string) map[string]string {
	p.t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		if err != nil || rel == "." {
			return err
		}
		if rel == format.SpecialName {
			return fs.SkipDir
		}
		all[rel], err = describe(path)
		return err
	})
	if err != nil {
		p.fail("walk %s: %v", root, err)
	}
	return all
}

func describe(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	text := fmt.Sprintf("mode %#o links %d", st.Mode, st.Nlink)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return strings.Split(text, " links")[0], nil // what counts as a link of a directory is the file system's affair
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return text + " to " + target, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value := make([]byte, 100)
	n, _ := unix.Getxattr(path, "user.x", value)
	h := blockhash.Default().Sum(data)
	return fmt.Sprintf("%s size %d hash %x user.x %q", text, st.Size, h[:8], value[:max(n, 0)]), nil
}
