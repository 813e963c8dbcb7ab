package openfile_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/blockhash"
	"tresor/index/format"
)

// seed returns the seed of a random test: that of TRESOR_SEED, or a new one. It is printed so that a failure can be repeated.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TRESOR_SEED=%d", n)
	return n
}

// TestModel drives files with random operations beside plain byte slices, with reopening of the volume in between.
func TestModel(t *testing.T) {
	steps := 400
	if testing.Short() {
		steps = 120
	}
	i := 0
	for _, hash := range blockhash.Names() {
		for _, bs := range []int{512, 4096, 64 << 10, 1 << 20} {
			i++
			workers := i % 4
			t.Run(fmt.Sprintf("%s-%d-%d", hash, bs, workers), func(t *testing.T) {
				t.Parallel()
				m := &model{t: t, rig: newRig(t, format.CreateOptions{Hash: hash, Size: int64(bs) * 3000, BlockSize: bs, Overflow: 1.3}, workers),
					rnd: rand.New(rand.NewPCG(seed(t), 1)), bs: bs, want: make(map[string][]byte)}
				for range min(steps, 20+steps*(64<<10)/bs) {
					m.step()
				}
				m.compareAll()
				if bs >= 64<<10 && m.views == 0 {
					t.Error("nothing was ever shown without a copy")
				}
			})
		}
	}
}

type model struct {
	t    *testing.T
	rig  *rig
	rnd  *rand.Rand
	bs   int
	want map[string][]byte
	log  []string

	views int // that were compared
}

const modelFiles = 4

func (m *model) step() {
	m.t.Helper()
	name := fmt.Sprintf("f%d", m.rnd.IntN(modelFiles))
	limit := m.bs * 12
	off, n := m.rnd.IntN(limit), m.size()
	op := m.rnd.IntN(100)
	m.log = append(m.log, fmt.Sprintf("%s op %d off %d n %d size %d", name, op, off, n, len(m.want[name])))
	switch {
	case op < 45:
		m.write(name, off, n)
	case op < 60:
		m.compare(name, off, n)
	case op < 70:
		m.truncate(name, m.rnd.IntN(limit))
	case op < 78:
		m.zero(name, off, n)
	case op < 86:
		m.clone(name, off, n)
	case op < 90:
		m.seek(name, off)
	case op < 94:
		m.must(m.rig.file(name).Sync(op%2 == 0))
	case op < 97:
		m.must(m.rig.m.FlushAll())
	case op < 98:
		m.must(m.rig.vol.Checkpoint())
	default:
		m.rig.close()
		m.rig.open()
		m.compareAll()
	}
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.fail("%v", err)
	}
}

func (m *model) fail(text string, args ...any) {
	m.t.Helper()
	for _, l := range m.log[max(0, len(m.log)-40):] {
		m.t.Log(l)
	}
	m.t.Fatalf(text, args...)
}

// size favours the lengths at which something changes: around blocks, and very small ones.
func (m *model) size() int {
	switch m.rnd.IntN(4) {
	case 0:
		return 1 + m.rnd.IntN(40)
	case 1:
		return m.bs * (1 + m.rnd.IntN(4))
	}
	return 1 + m.rnd.IntN(m.bs*4)
}

// data is random, sometimes from a small set of blocks so that there are duplicates, sometimes zeros.
func (m *model) data(n int) []byte {
	p := make([]byte, n)
	switch m.rnd.IntN(4) {
	case 0:
	case 1:
		for i := range p {
			p[i] = byte(i / m.bs % 3)
		}
	default:
		s := rand.NewChaCha8([32]byte{byte(m.rnd.IntN(250))})
		s.Read(p)
	}
	return p
}

func (m *model) write(name string, off, n int) {
	m.t.Helper()
	if m.rnd.IntN(2) == 0 {
		off -= off % m.bs
	}
	h := m.rig.file(name)
	p := m.data(n)
	// several requests, as a kernel would send them
	for pos := 0; pos < n; {
		k := min(n-pos, 1+m.rnd.IntN(2*m.bs))
		if got, err := h.WriteAt(p[pos:pos+k], int64(off+pos)); err != nil || got != k {
			m.fail("write %s at %d: %d, %v", name, off+pos, got, err)
		}
		pos += k
	}
	if m.rnd.IntN(3) == 0 {
		m.must(h.Flush())
	}
	m.must(h.Close())
	m.grow(name, off+n)
	copy(m.want[name][off:], p)
}

func (m *model) grow(name string, size int) {
	if have := len(m.want[name]); size > have {
		m.want[name] = append(m.want[name], make([]byte, size-have)...)
	}
}

func (m *model) truncate(name string, size int) {
	m.t.Helper()
	h := m.rig.file(name)
	m.must(h.File().Truncate(int64(size)))
	m.must(h.Close())
	m.grow(name, size)
	m.want[name] = m.want[name][:size]
}

func (m *model) zero(name string, off, n int) {
	m.t.Helper()
	mode := []uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE,
		unix.FALLOC_FL_ZERO_RANGE, 0}[m.rnd.IntN(4)]
	h := m.rig.file(name)
	m.must(h.File().Allocate(mode, int64(off), int64(n)))
	m.must(h.Close())
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		m.grow(name, off+n)
	}
	if mode != 0 {
		w := m.want[name]
		clear(w[min(off, len(w)):min(off+n, len(w))])
	}
}

func (m *model) clone(name string, off, n int) {
	m.t.Helper()
	from := fmt.Sprintf("f%d", m.rnd.IntN(modelFiles))
	src := off%m.bs + m.bs*m.rnd.IntN(12)
	a, b := m.rig.file(from), m.rig.file(name)
	got, err := b.File().CopyFrom(a.File(), int64(src), int64(off), int64(n))
	want := max(0, min(n, len(m.want[from])-src))
	if from == name && want > 0 && src < off+want && off < src+want {
		if err == nil {
			m.fail("clone %s over itself from %d to %d: want an error, have %d", name, src, off, got)
		}
	} else {
		if err != nil || got != int64(want) {
			m.fail("clone %s at %d to %s at %d: want %d, have %d, %v", from, src, name, off, want, got, err)
		}
		if want > 0 {
			m.grow(name, off+want)
			copy(m.want[name][off:], m.want[from][src:src+want])
		}
	}
	m.must(a.Close())
	m.must(b.Close())
}

// seek checks SEEK_DATA and SEEK_HOLE by what they promise: between off and the answer of SEEK_DATA there are only zeros, and a
// SEEK_HOLE answer is not before data that begins at off.
func (m *model) seek(name string, off int) {
	m.t.Helper()
	w := m.want[name]
	h := m.rig.file(name)
	defer func() { m.must(h.Close()) }()
	pos, err := h.File().Seek(int64(off), unix.SEEK_DATA)
	if off >= len(w) {
		if err != unix.ENXIO {
			m.fail("seek past the end: want ENXIO, have %d, %v", pos, err)
		}
		return
	}
	end := len(w)
	if err == nil {
		end = int(pos)
	} else if err != unix.ENXIO {
		m.fail("seek: %v", err)
	}
	if end < off || !blockhash.IsZero(w[off:end]) {
		m.fail("SEEK_DATA from %d: %d, but there is data before", off, end)
	}
	hole, err := h.File().Seek(int64(off), unix.SEEK_HOLE)
	if err != nil || hole < int64(off) || hole > int64(len(w)) {
		m.fail("SEEK_HOLE from %d: %d, %v", off, hole, err)
	}
	if next := min(len(w), (int(hole)/m.bs+1)*m.bs); int(hole) < len(w) && !blockhash.IsZero(w[hole:next]) {
		m.fail("SEEK_HOLE from %d: %d, but there is data", off, hole)
	}
}

func (m *model) compare(name string, off, n int) {
	m.t.Helper()
	h := m.rig.file(name)
	defer func() { m.must(h.Close()) }()
	w := m.want[name]
	if h.File().Size() != int64(len(w)) {
		m.fail("%s: want size %d, have %d", name, len(w), h.File().Size())
	}
	p := make([]byte, n)
	read := h.ReadAt
	if m.rnd.IntN(2) == 0 {
		read = h.ReadKept
	}
	got, err := read(p, int64(off))
	w = w[min(off, len(w)):min(off+n, len(w))]
	m.compareView(h, name, off, n, w)
	if err != nil || got != len(w) {
		m.fail("read %s at %d: want %d bytes, have %d, %v", name, off, len(w), got, err)
	}
	if !bytes.Equal(p[:got], w) {
		i := 0
		for p[i] == w[i] {
			i++
		}
		m.fail("read %s at %d: first wrong byte at %d (block %d + %d): want %#x, have %#x", name, off, off+i, (off+i)/m.bs, (off+i)%m.bs, w[i], p[i])
	}
}

// compareView compares what is shown without a copy, if anything is.
func (m *model) compareView(h *openfile.Handle, name string, off, n int, want []byte) {
	m.t.Helper()
	v := h.View(n, int64(off))
	if v == nil {
		return
	}
	m.views++
	if have := slices.Concat(v.Slices()...); v.Size() != len(have) || !bytes.Equal(have, want) {
		m.fail("view of %s at %d: have %d bytes (said: %d), which differ from the %d wanted", name, off, len(have), v.Size(), len(want))
	}
	v.Release()
}

func (m *model) compareAll() {
	m.t.Helper()
	for i := range modelFiles {
		name := fmt.Sprintf("f%d", i)
		m.compare(name, 0, len(m.want[name])+10)
	}
}
