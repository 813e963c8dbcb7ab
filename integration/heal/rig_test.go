package heal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// any is every verdict of a check: while a block is known to be bad the volume is not clean.
var anyVerdict = []fsck.Status{fsck.OK, fsck.Lost, fsck.Errors}

// rig is a volume with three files that share a block, each between two blocks of its own.
type rig struct {
	t      *testing.T
	m      *mounttest.Mount
	bs     int
	files  map[string][]byte
	shared []byte
}

// names of the three files.
func names() []string { return []string{"one", "two", "three"} }

func random(id uint64, n int) []byte {
	r := rand.New(rand.NewPCG(1, id))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func newRig(t *testing.T, o mounttest.Options, create format.CreateOptions) *rig {
	t.Helper()
	create.Size = 64 << 20
	o.Parent = mounttest.New(t, mounttest.VolumeOptions{CreateOptions: create})
	o.Verdict = anyVerdict
	r := &rig{t: t, bs: create.BlockSize, files: map[string][]byte{}, m: mounttest.Volume(t, o)}
	r.shared = random(0, r.bs)
	for i, name := range names() {
		data := append(random(uint64(10+2*i), r.bs), r.shared...)
		data = append(data, random(uint64(11+2*i), r.bs)...)
		r.put(name, data)
	}
	return r
}

// put writes a whole file.
func (r *rig) put(name string, data []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.m.Path(name), data, 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.files[name] = data
}

// address of a block of a file, as its underlying file has it.
func (r *rig) address(name string, block int) format.Address {
	r.t.Helper()
	r.m.Syncfs()
	_, entries := indextest.Describe(r.t, disk.OS(), r.m.Parent).Recipe(name)
	return entries[block].Addr
}

// damage changes a byte of a block on the disk, past the page cache of the block file, and drops what the mount has cached.
func (r *rig) damage(a format.Address) {
	r.t.Helper()
	v := indextest.Describe(r.t, disk.OS(), r.m.Parent)
	f, err := os.OpenFile(v.BlocksPath, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	p, off := aligned(4096), v.Geometry.Offset(a)
	if _, err := f.ReadAt(p, off); err != nil {
		r.t.Fatal(err)
	}
	p[100] ^= 1
	if _, err := f.WriteAt(p, off); err != nil {
		r.t.Fatal(err)
	}
	r.forget()
}

// forget drops the mount's clean pages.
func (r *rig) forget() {
	r.t.Helper()
	r.m.Syncfs()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		r.t.Fatal(err)
	}
}

// aligned is memory for O_DIRECT.
func aligned(n int) []byte {
	const page = 4096
	p := make([]byte, n+page)
	skip := (page - int(uintptr(unsafe.Pointer(&p[0]))%page)) % page
	return p[skip : skip+n]
}

// read reads a range past the page cache of the mount or through it.
func (r *rig) read(name string, direct bool, off, n int) ([]byte, error) {
	r.t.Helper()
	flags := os.O_RDONLY
	if direct {
		flags |= unix.O_DIRECT
	}
	f, err := os.OpenFile(r.m.Path(name), flags, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	p := aligned(n)
	k, err := f.ReadAt(p, int64(off))
	return p[:k], err
}

// right: the files are served as they were written.
func (r *rig) right(when string, names ...string) {
	r.t.Helper()
	for _, direct := range []bool{true, false} {
		for _, name := range names {
			have, err := r.read(name, direct, 0, len(r.files[name]))
			if err != nil || !bytes.Equal(have, r.files[name]) {
				r.t.Errorf("%s: %s (direct %v): have %d bytes, %v; want what was written", when, name, direct, len(have), err)
			}
		}
	}
}

// bad: block 1 of the files is an error, whatever part of it is read, and the blocks around it are right.
func (r *rig) bad(when string, names ...string) {
	r.t.Helper()
	for _, direct := range []bool{true, false} {
		for _, name := range names {
			if err := r.badBlock(name, direct); err != nil {
				r.t.Errorf("%s: %s (direct %v): %v", when, name, direct, err)
			}
		}
	}
}

func (r *rig) badBlock(name string, direct bool) error {
	const small = 4096
	want := r.files[name]
	for off := 0; off < len(want); off += small {
		have, err := r.read(name, direct, off, small)
		inside := off >= r.bs && off < 2*r.bs
		switch {
		case inside && !errors.Is(err, unix.EIO):
			return fmt.Errorf("read of %d bytes at %d, in the bad block: have %v, want EIO", small, off, err)
		case !inside && (err != nil || !bytes.Equal(have, want[off:off+small])):
			return fmt.Errorf("read of %d bytes at %d, beside the bad block: have %v, want what was written", small, off, err)
		}
	}
	if have, err := r.read(name, direct, 0, len(want)); err == nil {
		return fmt.Errorf("read of the whole file: have %d bytes and no error, want an error", len(have))
	}
	return nil
}

// counted compares a counter.
func (r *rig) counted(name string, low, high int64) {
	r.t.Helper()
	if have := r.m.Stats()[name]; have < low || have > high {
		r.t.Errorf("stats: %s: have %d, want %d to %d", name, have, low, high)
	}
}

// remount without a change of options.
func (r *rig) remount(list string) {
	r.t.Helper()
	r.m = r.m.Remount(list)
}
