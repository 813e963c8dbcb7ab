package golden_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
)

// content of one inode.
type content struct{ data []byte }

// model is the tree of a mount as it must be: every regular file by path. Names of one inode share their content.
type model struct {
	t     *testing.T
	m     *mounttest.Mount
	rng   *rand.Rand
	files map[string]*content
	block int
	made  int
}

// seed is TRESOR_SEED or 1; it is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(1)
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("TRESOR_SEED: %v", err)
		}
		n = v
	}
	t.Logf("TRESOR_SEED=%d", n)
	return n
}

// load reads the tree of a mount that is known to be right.
func load(t *testing.T, m *mounttest.Mount) *model {
	t.Helper()
	n := seed(t)
	w := &model{t: t, m: m, rng: rand.New(rand.NewPCG(n, n)), files: map[string]*content{}, block: int(m.Stats()["block_size"])}
	inodes := map[uint64]*content{}
	for _, path := range w.list() {
		info, err := os.Stat(m.Path(path))
		if err != nil {
			t.Fatal(err)
		}
		ino := info.Sys().(*syscall.Stat_t).Ino
		if inodes[ino] == nil {
			data, err := os.ReadFile(m.Path(path))
			if err != nil {
				t.Fatal(err)
			}
			inodes[ino] = &content{data}
		}
		w.files[path] = inodes[ino]
	}
	return w
}

// list has the paths of all regular files.
func (w *model) list() (paths []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.m.Point, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".ddumbfs" {
			return fs.SkipDir
		}
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, path[len(w.m.Point)+1:])
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return paths
}

// compare looks whether the mount holds what the model says.
func (w *model) compare(when string) {
	w.t.Helper()
	have, want := w.list(), slices.Sorted(maps.Keys(w.files))
	slices.Sort(have)
	if !slices.Equal(have, want) {
		w.t.Errorf("%s: have files %q, want %q", when, have, want)
	}
	for _, path := range have {
		if w.files[path] != nil {
			w.compareFile(when, path)
		}
	}
}

func (w *model) compareFile(when, path string) {
	w.t.Helper()
	have, err := os.ReadFile(w.m.Path(path))
	want := w.files[path].data
	if err != nil {
		w.t.Errorf("%s: %v", when, err)
		return
	}
	if len(have) != len(want) {
		w.t.Errorf("%s: %s: have %d bytes, want %d", when, path, len(have), len(want))
		return
	}
	if !bytes.Equal(have, want) {
		at := 0
		for have[at] == want[at] {
			at++
		}
		w.t.Errorf("%s: %s: differs at offset %d (block %d): have %x, want %x", when, path, at, at/w.block, have[at], want[at])
	}
}

// churn does n random operations.
func (w *model) churn(n int) {
	w.t.Helper()
	ops := []struct {
		weight int
		name   string
		do     func() error
	}{
		{5, "create", w.create}, {6, "write", w.write}, {2, "rewrite", w.rewrite}, {2, "cut", w.cut}, {2, "grow", w.grow},
		{2, "punch", w.punch}, {1, "zero range", w.zeroRange}, {2, "delete", w.remove}, {1, "link", w.link}, {1, "reclaim", w.reclaim},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	for i := range n {
		k := w.rng.IntN(total)
		for _, op := range ops {
			if k -= op.weight; k < 0 {
				if err := op.do(); err != nil {
					w.t.Fatalf("operation %d, %s: %v", i, op.name, err)
				}
				break
			}
		}
	}
}

// pick is a random path, and the file opened for writing with more flags.
func (w *model) pick(flags int) (string, *content, *os.File, error) {
	paths := slices.Sorted(maps.Keys(w.files))
	if len(paths) == 0 {
		if err := w.create(); err != nil {
			return "", nil, nil, err
		}
		return w.pick(flags)
	}
	path := paths[w.rng.IntN(len(paths))]
	f, err := os.OpenFile(w.m.Path(path), os.O_RDWR|flags, 0)
	return path, w.files[path], f, err
}

// length is a random number of bytes: often odd, sometimes whole blocks.
func (w *model) length() int {
	n := w.rng.IntN(8 * w.block)
	if w.rng.IntN(3) == 0 {
		n = n / w.block * w.block
	}
	return n + 1 - w.rng.IntN(2)
}

// fill makes data: new, zeros, or a piece of a file that is there, whose blocks may so be known.
func (w *model) fill(n int) []byte {
	p := make([]byte, n)
	switch w.rng.IntN(4) {
	case 0:
	case 1:
		paths := slices.Sorted(maps.Keys(w.files))
		if len(paths) > 0 {
			data := w.files[paths[w.rng.IntN(len(paths))]].data
			copy(p, data[len(data)/2/w.block*w.block:])
		}
	default:
		for i := range p {
			p[i] = byte(w.rng.Uint32())
		}
	}
	return p
}

func (w *model) create() error {
	w.made++
	path := fmt.Sprintf("new-%03d", w.made)
	if w.rng.IntN(3) == 0 {
		dir := fmt.Sprintf("dir-%d", w.rng.IntN(3))
		if err := os.Mkdir(w.m.Path(dir), 0o755); err != nil && !os.IsExist(err) {
			return err
		}
		path = dir + "/" + path
	}
	data := w.fill(w.length())
	w.files[path] = &content{data}
	return os.WriteFile(w.m.Path(path), data, 0o644)
}

func (w *model) write() error {
	_, c, f, err := w.pick(0)
	if err != nil {
		return err
	}
	off := w.rng.IntN(min(len(c.data), 1<<20) + w.block)
	p := w.fill(w.length())
	if end := off + len(p); end > len(c.data) && len(p) > 0 {
		c.data = append(c.data, make([]byte, end-len(c.data))...)
	}
	copy(c.data[min(off, len(c.data)):], p)
	_, err = f.WriteAt(p, int64(off))
	return errors.Join(err, f.Close())
}

func (w *model) rewrite() error {
	_, c, f, err := w.pick(os.O_TRUNC)
	if err != nil {
		return err
	}
	c.data = w.fill(w.length())
	_, err = f.Write(c.data)
	return errors.Join(err, f.Close())
}

func (w *model) cut() error {
	_, c, f, err := w.pick(0)
	if err != nil {
		return err
	}
	c.data = c.data[:w.rng.IntN(len(c.data)+1)]
	return errors.Join(f.Truncate(int64(len(c.data))), f.Close())
}

func (w *model) grow() error {
	_, c, f, err := w.pick(0)
	if err != nil {
		return err
	}
	c.data = append(slices.Clone(c.data), make([]byte, w.length())...)
	return errors.Join(f.Truncate(int64(len(c.data))), f.Close())
}

func (w *model) punch() error {
	_, c, f, err := w.pick(0)
	if err != nil {
		return err
	}
	off, n := w.rng.IntN(len(c.data)+1), w.length()+1
	if off < len(c.data) {
		clear(c.data[off:min(off+n, len(c.data))])
	}
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n))
	return errors.Join(err, f.Close())
}

func (w *model) zeroRange() error {
	_, c, f, err := w.pick(0)
	if err != nil {
		return err
	}
	off, n := w.rng.IntN(len(c.data)+1), w.length()+1
	if end := off + n; end > len(c.data) {
		c.data = append(c.data, make([]byte, end-len(c.data))...)
	}
	clear(c.data[off : off+n])
	return errors.Join(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE, int64(off), int64(n)), f.Close())
}

func (w *model) remove() error {
	path, _, f, err := w.pick(0)
	if err != nil {
		return err
	}
	delete(w.files, path)
	return errors.Join(os.Remove(w.m.Path(path)), f.Close())
}

func (w *model) link() error {
	path, c, f, err := w.pick(0)
	if err != nil {
		return err
	}
	w.made++
	to := fmt.Sprintf("link-%03d", w.made)
	w.files[to] = c
	return errors.Join(os.Link(w.m.Path(path), w.m.Path(to)), f.Close())
}

func (w *model) reclaim() error {
	r := w.m.Reclaim()
	if r["block_in_use"] == 0 || r["files"] == 0 && len(w.files) > 0 {
		return fmt.Errorf("report: have %v, want blocks in use and files", r)
	}
	return nil
}
