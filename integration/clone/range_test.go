package clone_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

const bs = 4096

// pair is two open files and what they hold.
type pair struct {
	t    *testing.T
	file [2]*os.File
	data [2][]byte
}

func newPair(t *testing.T, m *mounttest.Mount, sizes [2]int) *pair {
	t.Helper()
	p := &pair{t: t}
	for i, name := range []string{"src", "dst"} {
		var err error
		if p.file[i], err = os.Create(m.Path(name)); err != nil {
			t.Fatal(err)
		}
		p.write(i, random(uint64(i+1), sizes[i]), 0)
		if sizes[i] > 5*bs { // a hole
			if err := unix.Fallocate(int(p.file[i].Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 3*bs, bs); err != nil {
				t.Fatal(err)
			}
			clear(p.data[i][3*bs : 4*bs])
		}
	}
	return p
}

func (p *pair) write(i int, data []byte, off int) {
	p.t.Helper()
	if _, err := p.file[i].WriteAt(data, int64(off)); err != nil {
		p.t.Fatal(err)
	}
	p.data[i] = put(p.data[i], data, off)
}

// put is what a write does to content.
func put(have, data []byte, off int) []byte {
	if end := off + len(data); end > len(have) && len(data) > 0 {
		have = append(slices.Clone(have), make([]byte, end-len(have))...)
	}
	copy(have[min(off, len(have)):], data)
	return have
}

// copyRange copies until nothing comes any more, as programs do, and returns how much came.
func (p *pair) copyRange(from, to, srcOff, dstOff, n int) (done int, err error) {
	for done < n {
		s, d := int64(srcOff+done), int64(dstOff+done)
		k, err := unix.CopyFileRange(int(p.file[from].Fd()), &s, int(p.file[to].Fd()), &d, n-done, 0)
		if err != nil || k == 0 {
			return done, err
		}
		done += k
	}
	return done, nil
}

// check copies and compares with the model.
func (p *pair) check(from, to, srcOff, dstOff, n int) error {
	want := max(0, min(n, len(p.data[from])-srcOff))
	piece := slices.Clone(p.data[from][min(srcOff, len(p.data[from])):][:want])
	done, err := p.copyRange(from, to, srcOff, dstOff, n)
	if err != nil || done != want {
		return fmt.Errorf("copied %d bytes, %v; want %d", done, err, want)
	}
	p.data[to] = put(p.data[to], piece, dstOff)
	return errors.Join(p.compare(0), p.compare(1))
}

func (p *pair) compare(i int) error {
	have, err := os.ReadFile(p.file[i].Name())
	if err != nil || len(have) != len(p.data[i]) {
		return fmt.Errorf("%s: have %d bytes, %v; want %d", p.file[i].Name(), len(have), err, len(p.data[i]))
	}
	if !bytes.Equal(have, p.data[i]) {
		at := 0
		for have[at] == p.data[i][at] {
			at++
		}
		return fmt.Errorf("%s: differs at %d (block %d): have %#x, want %#x", p.file[i].Name(), at, at/bs, have[at], p.data[i][at])
	}
	return nil
}

func (p *pair) close() {
	p.t.Helper()
	for _, f := range p.file {
		if err := f.Close(); err != nil {
			p.t.Error(err)
		}
	}
}

func volume(t *testing.T, list string) *mounttest.Mount {
	t.Helper()
	parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 64 << 20, BlockSize: bs}})
	return mounttest.Volume(t, mounttest.Options{Parent: parent, List: list})
}

func TestRanges(t *testing.T) {
	m := volume(t, "")
	const tail = 9*bs + 77
	for _, c := range []struct {
		name              string
		src, dst          int // sizes
		srcOff, dstOff, n int
	}{
		{"whole", tail, 0, 0, 0, tail},
		{"whole blocks", tail, 20 * bs, 2 * bs, 5 * bs, 4 * bs},
		{"over a larger file", tail, 20 * bs, 0, 0, tail},
		{"over a larger file with a tail", tail, 20*bs + 5, 0, 0, tail},
		{"to the end of a larger file", tail, 20*bs + 5, 0, 11*bs + 5 - 77, tail},
		{"over a smaller file", tail, 2*bs + 9, 0, 0, tail},
		{"to a file that ends in the same block", tail, tail - 5, 0, 0, tail},
		{"to a file that ends later in the same block", tail, tail + 5, 0, 0, tail},
		{"same phase, odd edges", tail, 20 * bs, 100, 5*bs + 100, 3*bs + 500},
		{"same phase within a block", tail, 20 * bs, 100, 5*bs + 100, 500},
		{"same phase, up to a block's end", tail, 20 * bs, 100, 5*bs + 100, bs - 100},
		{"other phase", tail, 20 * bs, 100, 5*bs + 101, 3*bs + 500},
		{"other phase, small", tail, 20 * bs, 100, 101, 5},
		{"other phase, into the hole behind the end", tail, 33, 1, 12 * bs, 7000},
		{"hole", tail, 20 * bs, 3 * bs, 7 * bs, bs},
		{"behind the end", tail, 2*bs + 9, 0, 30 * bs, tail},
		{"behind the end, odd", tail, 2*bs + 9, 0, 30*bs + 1, tail},
		{"past the end of the source", tail, 0, 8 * bs, 8 * bs, 1 << 20},
		{"past the end of the source, odd", tail, 0, 8*bs + 1, 3, 1 << 20},
		{"from the end of the source", tail, 100, tail, 0, 1 << 20},
		{"far past the end of the source", tail, 100, 1 << 30, 0, 1 << 20},
		{"empty source", 0, 100, 0, 0, bs},
		{"nothing", tail, 100, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, m, [2]int{c.src, c.dst})
			defer p.close()
			if err := p.check(0, 1, c.srcOff, c.dstOff, c.n); err != nil {
				t.Error(err)
			}
			p.write(1, []byte("and on"), len(p.data[1])+10) // what lies behind the end must be zeros
			if err := errors.Join(p.compare(0), p.compare(1)); err != nil {
				t.Errorf("after writing on: %v", err)
			}
		})
	}
}

func TestSameFile(t *testing.T) {
	m := volume(t, "")
	for _, c := range []struct {
		srcOff, dstOff, n int
		err               error
	}{
		{0, 4 * bs, 4 * bs, nil},
		{4 * bs, 0, 4 * bs, nil},
		{0, 4*bs + 1, 4 * bs, nil},
		{10, 6*bs + 10, 2 * bs, nil},
		{0, 0, bs, unix.EINVAL},
		{0, bs, 2 * bs, unix.EINVAL},
		{2 * bs, bs, 2 * bs, unix.EINVAL},
		{0, 1, 2, unix.EINVAL},
	} {
		p := newPair(t, m, [2]int{8*bs + 20, 0})
		if c.err == nil {
			if err := p.check(0, 0, c.srcOff, c.dstOff, c.n); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		} else if _, err := p.copyRange(0, 0, c.srcOff, c.dstOff, c.n); !errors.Is(err, c.err) {
			t.Errorf("%+v: have %v", c, err)
		}
		if err := p.compare(0); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		p.close()
	}
}

func TestRefused(t *testing.T) {
	m := volume(t, "")
	p := newPair(t, m, [2]int{bs, bs})
	defer p.close()
	open := func(name string, flags int) int {
		t.Helper()
		fd, err := unix.Open(name, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	src, dst, dir := p.file[0].Name(), p.file[1].Name(), m.Point
	for _, c := range []struct {
		name     string
		src, dst int
		want     error
	}{
		{"target open for reading", open(src, unix.O_RDONLY), open(dst, unix.O_RDONLY), unix.EBADF},
		{"source open for writing", open(src, unix.O_WRONLY), open(dst, unix.O_WRONLY), unix.EBADF},
		{"target open for appending", open(src, unix.O_RDONLY), open(dst, unix.O_WRONLY|unix.O_APPEND), unix.EBADF},
		{"directory", open(dir, unix.O_RDONLY), open(dst, unix.O_WRONLY), unix.EISDIR},
	} {
		if _, err := unix.CopyFileRange(c.src, nil, c.dst, nil, bs, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: have %v, want %v", c.name, err, c.want)
		}
	}
}

// Random copies and writes over two files, in all directions and phases.
func TestRandom(t *testing.T) {
	seed := uint64(1)
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("TRESOR_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("TRESOR_SEED=%d", seed)
	for _, list := range []string{"direct=always", "direct=never"} {
		r := rand.New(rand.NewPCG(seed, 7))
		p := newPair(t, volume(t, list), [2]int{10 * bs, 3*bs + 1})
		for i := range 300 {
			from, to := r.IntN(2), r.IntN(2)
			srcOff, dstOff, n := r.IntN(len(p.data[from])+bs), r.IntN(14*bs), r.IntN(6*bs)
			if r.IntN(2) == 0 {
				dstOff = dstOff/bs*bs + srcOff%bs
			}
			if r.IntN(3) == 0 {
				srcOff, dstOff = srcOff/bs*bs, dstOff/bs*bs
			}
			err := error(nil)
			switch {
			case r.IntN(5) == 0:
				p.write(to, random(uint64(i), n), dstOff)
			case r.IntN(5) == 0:
				p.data[to] = p.data[to][:r.IntN(len(p.data[to])+1)]
				err = p.file[to].Truncate(int64(len(p.data[to])))
			case from == to && srcOff+n > len(p.data[from]):
				// the file would grow under the loop that copies until its end
			case from != to || srcOff+n <= dstOff || dstOff+n <= srcOff:
				err = p.check(from, to, srcOff, dstOff, n)
			}
			if err != nil {
				t.Fatalf("%s: operation %d, %d to %d, offsets %d and %d, %d bytes: %v", list, i, from, to, srcOff, dstOff, n, err)
			}
		}
		p.close()
	}
}
