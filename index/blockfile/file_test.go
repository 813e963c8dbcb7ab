package blockfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
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
	"tresor/integration/goldenvol"
)

const (
	blockSize = 4096
	blocks    = 64
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func geometry(t testing.TB) *format.Geometry {
	t.Helper()
	c, err := format.NewConfig(format.CreateOptions{Hash: "SHA1", Size: blocks * blockSize, BlockSize: blockSize})
	must(t, err)
	g, err := c.Geometry()
	must(t, err)
	return g
}

// block is block content that tells its address.
func block(a int) []byte { return bytes.Repeat([]byte{byte(a), 0xB5}, blockSize/2) }

// create makes "/b" on a new disk in memory.
func create(t *testing.T) (*disktest.FS, *blockfile.File) {
	t.Helper()
	m := disktest.New()
	m.CheckLeaks(t)
	b, err := blockfile.Create(m, "/b", geometry(t))
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	return m, b
}

func raw(t *testing.T, m disk.FS, name string) []byte {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDONLY, 0)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	must(t, disk.ReadFull(f, p, 0))
	return p
}

// TestCreateGolden compares a new file with what the original's mkfs wrote.
func TestCreateGolden(t *testing.T) {
	golden, err := filepath.Glob(filepath.Join(goldenvol.Dir(), "empty-*.tar.zst"))
	must(t, err)
	if len(golden) == 0 {
		t.Fatalf("no golden volumes in %s", goldenvol.Dir())
	}
	for _, tar := range golden {
		t.Run(filepath.Base(tar), func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("tar", "--zstd", "-C", dir, "-xf", tar).CombinedOutput(); err != nil {
				t.Fatalf("unpack: %v: %s", err, out)
			}
			configs, _ := filepath.Glob(filepath.Join(dir, "*", format.ConfigName))
			if len(configs) != 1 {
				t.Fatalf("configurations in %s: have %q, want one", tar, configs)
			}
			parent := filepath.Dir(configs[0])
			text, err := os.ReadFile(configs[0])
			must(t, err)
			c, err := format.ParseConfig(configs[0], text)
			must(t, err)
			g, err := c.Geometry()
			must(t, err)
			b, err := blockfile.Create(disk.OS(), filepath.Join(dir, "ours"), g)
			must(t, err)
			must(t, b.Close())
			want, have := raw(t, disk.OS(), filepath.Join(parent, c.BlockFilename)), raw(t, disk.OS(), filepath.Join(dir, "ours"))
			if !bytes.Equal(want, have) {
				t.Errorf("block file: have %d bytes, want %d, equal %v", len(have), len(want), false)
			}
			info, err := os.Stat(filepath.Join(dir, "ours"))
			must(t, err)
			if info.Mode().Perm() != 0o600 {
				t.Errorf("mode: have %v, want 0600", info.Mode())
			}
			b, err = blockfile.Open(disk.OS(), filepath.Join(parent, c.BlockFilename), g, false)
			must(t, err)
			must(t, b.Close())
		})
	}
}

func TestReadBack(t *testing.T) {
	_, b := create(t)
	must(t, b.Write(2, block(2)))
	must(t, b.Write(5, append(block(5), block(6)...)))
	must(t, b.Write(blocks-1, block(blocks-1)))
	must(t, b.Sync())
	for _, a := range []int{2, 5, 6, blocks - 1} {
		p := make([]byte, blockSize)
		must(t, b.Read(format.Address(a), p))
		if !bytes.Equal(p, block(a)) {
			t.Errorf("block %d is not what was written", a)
		}
		part := make([]byte, 100)
		must(t, b.ReadPart(format.Address(a), 3996, part))
		if !bytes.Equal(part, block(a)[3996:]) {
			t.Errorf("part of block %d is not what was written", a)
		}
	}
	run := make([]byte, 5*blockSize)
	must(t, b.Read(2, run))
	if !bytes.Equal(run[3*blockSize:], append(block(5), block(6)...)) {
		t.Error("run of blocks is not what was written")
	}
	if n, err := b.Blocks(); n != blocks || err != nil {
		t.Errorf("blocks: have %d, %v, want %d", n, err, blocks)
	}
}

// TestRefusals: no request outside the data blocks reaches the disk.
func TestRefusals(t *testing.T) {
	m, b := create(t)
	must(t, b.Write(blocks-1, block(1)))
	before := raw(t, m, "/b")
	tests := []struct {
		a       format.Address
		n       int // bytes
		corrupt bool
	}{
		{0, blockSize, true}, {1, blockSize, true}, {0, 4 * blockSize, true}, {blocks, blockSize, true},
		{blocks - 1, 2 * blockSize, true}, {math.MaxUint64, blockSize, true}, {1 << 52, blockSize, true},
		{1<<63 + 2, blockSize, true}, {2, 0, false}, {2, 100, false}, {2, blockSize + 1, false},
	}
	for _, tt := range tests {
		p := make([]byte, tt.n)
		for op, err := range map[string]error{"read": b.Read(tt.a, p), "write": b.Write(tt.a, p)} {
			if !errors.Is(err, format.ErrIO) || errors.Is(err, format.ErrCorrupt) != tt.corrupt {
				t.Errorf("%s %d bytes at %d: have %v, corrupt %v", op, tt.n, tt.a, err, errors.Is(err, format.ErrCorrupt))
			} else if !strings.Contains(err.Error(), "/b") || !strings.Contains(err.Error(), fmt.Sprint(uint64(tt.a))) {
				t.Errorf("%s %d bytes at %d: %q names not both file and address", op, tt.n, tt.a, err)
			}
		}
	}
	for _, part := range []struct{ off, n int }{{-1, 1}, {0, blockSize + 1}, {blockSize, 1}, {blockSize + 1, 0}, {4000, 97}} {
		if err := b.ReadPart(2, part.off, make([]byte, part.n)); !errors.Is(err, format.ErrIO) {
			t.Errorf("read %d bytes at %d of a block: have %v", part.n, part.off, err)
		}
	}
	for _, punch := range []struct {
		a format.Address
		n uint64
	}{{0, 1}, {1, 1}, {1, 5}, {2, blocks - 1}, {2, math.MaxUint64}, {blocks, 1}} {
		if err := b.Punch(punch.a, punch.n); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("punch %d blocks at %d: have %v", punch.n, punch.a, err)
		}
	}
	for n := range uint64(2) {
		if err := b.Truncate(n); err == nil {
			t.Errorf("truncate to %d blocks: have no error", n)
		}
	}
	if !bytes.Equal(before, raw(t, m, "/b")) {
		t.Error("a refused request changed the file")
	}
}

// TestShortBlock: what the file does not hold is an error, never zeros.
func TestShortBlock(t *testing.T) {
	_, b := create(t)
	must(t, b.Write(2, append(block(2), block(3)...)))
	must(t, b.Disk().Truncate(4*blockSize-1))
	must(t, b.Read(2, make([]byte, blockSize)))
	tests := []struct {
		a format.Address
		n int
	}{{3, 1}, {4, 1}, {2, 2}, {40, 1}}
	for _, tt := range tests {
		err := b.Read(tt.a, make([]byte, tt.n*blockSize))
		if !errors.Is(err, format.ErrIO) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read %d blocks at %d beyond the end: have %v, want class ErrIO", tt.n, tt.a, err)
			continue
		}
		for _, want := range []string{"/b", fmt.Sprintf("address %d", tt.a), fmt.Sprintf("offset %d", tt.a*blockSize)} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	if err := b.ReadPart(3, 4095, make([]byte, 1)); !errors.Is(err, format.ErrIO) {
		t.Errorf("read the missing byte: have %v, want class ErrIO", err)
	}
	must(t, b.ReadPart(3, 4094, make([]byte, 1)))
}

func TestDiskErrors(t *testing.T) {
	m, b := create(t)
	must(t, b.Write(2, block(2)))
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read}, Partial: 512, Err: unix.EIO})
	if err := b.Read(2, make([]byte, blockSize)); !errors.Is(err, unix.EIO) || !errors.Is(err, format.ErrIO) {
		t.Errorf("read of a bad sector: have %v, want EIO and class ErrIO", err)
	}
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Partial: 512, Err: unix.ENOSPC})
	if err := b.Write(3, block(3)); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "address 3") {
		t.Errorf("write to a full disk: have %v, want ENOSPC and the address", err)
	}
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Sync}, Err: unix.EIO})
	if err := b.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("sync: have %v, want EIO", err)
	}
}

// TestOpenDamaged: each way in which the head of the file can be wrong.
func TestOpenDamaged(t *testing.T) {
	tests := []struct {
		name           string
		content        string
		read, readOnly bool // whether it opens for writing, for reading
	}{
		{"sound", "DDUMBFSB" + strings.Repeat("\x00", 2*blockSize-8), true, true},
		{"no zero block", "DDUMBFSB" + strings.Repeat("\x00", 2*blockSize-9), false, true},
		{"empty", "", false, false},
		{"cut off", "DDUMBF", false, false},
		{"index magic", "DDUMBFSI" + strings.Repeat("\x00", 2*blockSize), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := disktest.New()
			m.CheckLeaks(t)
			f, err := m.OpenFile("/b", os.O_RDWR|os.O_CREATE, 0o600)
			must(t, err)
			must(t, disk.WriteFull(f, []byte(tt.content), 0))
			must(t, f.Close())
			for readOnly, want := range map[bool]bool{false: tt.read, true: tt.readOnly} {
				b, err := blockfile.Open(m, "/b", geometry(t), readOnly)
				var c *format.CorruptError
				if (err == nil) != want || err != nil && (!errors.As(err, &c) || c.File != "/b") {
					t.Errorf("open, read only %v: have %v, want success %v", readOnly, err, want)
				}
				if err == nil {
					must(t, b.Close())
				}
			}
			must(t, blockfile.Repair(m, "/b", geometry(t)))
			b, err := blockfile.Open(m, "/b", geometry(t), false)
			must(t, err)
			must(t, b.Close())
		})
	}
	if _, err := blockfile.Open(disktest.New(), "/b", geometry(t), true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open nothing: have %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	m, b := create(t)
	must(t, b.Write(2, block(2)))
	r, err := blockfile.Open(m, "/b", geometry(t), true)
	must(t, err)
	defer r.Close()
	must(t, r.Read(2, make([]byte, blockSize)))
	for op, err := range map[string]error{"write": r.Write(2, block(3)), "punch": r.Punch(2, 1), "truncate": r.Truncate(2)} {
		if !errors.Is(err, format.ErrReadOnly) {
			t.Errorf("%s: have %v, want class ErrReadOnly", op, err)
		}
	}
}

func TestPunchAndTruncate(t *testing.T) {
	_, b := create(t)
	for a := 2; a < 10; a++ {
		must(t, b.Write(format.Address(a), block(a)))
	}
	must(t, b.Punch(4, 3))
	must(t, b.Punch(4, 0))
	for a := 2; a < 10; a++ {
		want := block(a)
		if a >= 4 && a < 7 {
			want = make([]byte, blockSize)
		}
		p := make([]byte, blockSize)
		must(t, b.Read(format.Address(a), p))
		if !bytes.Equal(p, want) {
			t.Errorf("block %d after punching 4 to 6: have %#x.., want %#x..", a, p[:2], want[:2])
		}
	}
	must(t, b.Truncate(100)) // never extends
	must(t, b.Truncate(8))
	if n, err := b.Blocks(); n != 8 || err != nil {
		t.Errorf("blocks after truncate: have %d, %v, want 8", n, err)
	}
}

// TestCreateFaults fails each disk call of Create in turn, and cuts the power
// after each write: a finished Create is on the disk, a failed one leaks
// nothing.
func TestCreateFaults(t *testing.T) {
	for n := 0; ; n++ {
		m := disktest.New()
		m.Inject(disktest.Fault{N: n, Err: unix.EIO})
		b, err := blockfile.Create(m, "/b", geometry(t))
		if m.Fired() == 0 {
			must(t, err)
			m.Heal() // the fault is still to come
			must(t, b.Close())
			break
		}
		if !errors.Is(err, unix.EIO) || len(m.OpenFiles()) > 0 {
			t.Errorf("fault at call %d: have %v, open %v", n, err, m.OpenFiles())
		}
	}
	m := disktest.New()
	m.Record()
	b, err := blockfile.Create(m, "/b", geometry(t))
	must(t, err)
	must(t, b.Close())
	img := m.Crash(len(m.Ops()), disktest.Drop, 0)
	if !bytes.Equal(raw(t, img, "/b"), raw(t, m, "/b")) {
		t.Error("a created block file did not survive the power cut")
	}
}
