package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// seed is that of a random test: TRESOR_SEED, or a new one. It is printed so that a failure can be repeated.
func seed(t testing.TB) uint64 {
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

// long tells whether the long variants are asked for.
func long() bool { return os.Getenv("TRESOR_LONG") == "1" }

// word is the unit of all reads and writes here, in bytes: it names the file (8 bits), the version (24) and the place in the file (32).
const word = 8

func stamp(file, version, place int) uint64 {
	return uint64(file&0xFF)<<56 | uint64(version&0xFFFFFF)<<32 | uint64(uint32(place))
}

// history is one file and all that was done to it. Only one goroutine uses it at a time.
type history struct {
	path    string
	id      int
	version int
	size    int // words
	synced  int // words at the last sync
	writes  []wrote
	ever    bool // it was synced
	removed bool // its removal began
}

// wrote is a write that began; synced ones are those before the last fsync that succeeded.
type wrote struct {
	version, from, n int
	source           int // file id whose stamps were written (a clone), or the file's own
	synced           bool
}

// write stamps n words from one on with a new version. The file counts as written from the moment when the call begins.
func (h *history) write(f *os.File, from, n int) error {
	h.version++
	p := make([]byte, n*word)
	for i := range n {
		binary.LittleEndian.PutUint64(p[i*word:], stamp(h.id, h.version, from+i))
	}
	h.writes = append(h.writes, wrote{version: h.version, from: from, n: n, source: h.id})
	h.size = max(h.size, from+n)
	_, err := f.WriteAt(p, int64(from)*word)
	return err
}

// sync is fsync; what was written before is on disk if it succeeds.
func (h *history) sync(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	h.durable()
	return nil
}

func (h *history) durable() {
	for i := range h.writes {
		h.writes[i].synced = true
	}
	h.synced, h.ever = h.size, true
}

// must is the version that each word had at the last sync, 0 where there was none.
func (h *history) must() []int {
	list := make([]int, h.size)
	for _, w := range h.writes {
		if w.synced {
			for i := w.from; i < w.from+w.n; i++ {
				list[i] = w.version
			}
		}
	}
	return list
}

// judge reads the file and reports every word that is neither what it was at the last sync nor what was written since. exact: all that
// was written must be there. It returns what the file has now as its new history.
func (h *history) judge(t testing.TB, exact bool) {
	t.Helper()
	p, err := os.ReadFile(h.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if !h.removed && (h.ever || exact) {
			t.Errorf("%s: it was synced and is gone", h.path)
		}
		return
	case err != nil:
		t.Errorf("%s: %v", h.path, err)
		return
	}
	least := h.synced
	if exact {
		least = h.size
	}
	if words := len(p) / word; words < least {
		t.Errorf("%s: have %d words, want at least %d", h.path, words, least)
	}
	must := h.must()
	last := make([]int, h.size)
	for _, w := range h.writes {
		for i := w.from; i < w.from+w.n; i++ {
			last[i] = w.version
		}
	}
	wrong := 0
	for i := range len(p) / word {
		have := le(p[i*word:])
		if h.fits(i, have, must, last, exact) {
			continue
		}
		if wrong++; wrong < 5 {
			from, to := 0, 0
			if i < len(must) {
				from, to = must[i], last[i]
			}
			t.Errorf("%s: word %d: have %#x (file %d, version %d, place %d), want file %d, version %d to %d", h.path, i, have,
				have>>56, have>>32&0xFFFFFF, uint32(have), h.id, from, to)
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d words are wrong", h.path, wrong, len(p)/word)
	}
}

// fits tells whether a word may be what it is.
func (h *history) fits(i int, have uint64, must, last []int, exact bool) bool {
	if i >= len(must) {
		return have == 0 // the rest of a block whose size alone arrived
	}
	if have == 0 {
		return must[i] == 0 && (!exact || last[i] == 0)
	}
	version := int(have >> 32 & 0xFFFFFF)
	if have != stamp(h.id, version, i) || version < must[i] || version > last[i] || exact && version != last[i] {
		return false
	}
	for _, w := range h.writes {
		if w.version == version && i >= w.from && i < w.from+w.n {
			return true
		}
	}
	return false
}

// settle takes what the file has now for its synced content, so that the next round goes on with it.
func (h *history) settle() error {
	p, err := os.ReadFile(h.path)
	if err != nil {
		return err
	}
	h.writes, h.size = nil, len(p)/word
	for i := 0; i < h.size; {
		v := int(le(p[i*word:]) >> 32 & 0xFFFFFF)
		from := i
		for i < h.size && int(le(p[i*word:])>>32&0xFFFFFF) == v {
			i++
		}
		if v > 0 {
			h.writes = append(h.writes, wrote{version: v, from: from, n: i - from, source: h.id})
		}
	}
	f, err := os.OpenFile(h.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return h.sync(f)
}

// gone tells whether an error is one of a daemon that was killed, or of a mount that was taken away after it.
func gone(err error) bool {
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOENT)
}

// crowd runs functions until stop is called, each again and again. The first error of each that is not tolerated fails the test.
type crowd struct {
	t        testing.TB
	tolerate func(error) bool
	stopping chan struct{}
	all      sync.WaitGroup
}

func newCrowd(t testing.TB, tolerate func(error) bool) *crowd {
	return &crowd{t: t, tolerate: tolerate, stopping: make(chan struct{})}
}

func (c *crowd) run(name string, do func() error) {
	c.all.Go(func() {
		for {
			select {
			case <-c.stopping:
				return
			default:
			}
			if err := do(); err != nil {
				if !c.tolerate(err) {
					c.t.Errorf("%s: %v", name, err)
				}
				return
			}
		}
	})
}

func (c *crowd) stop() {
	close(c.stopping)
	c.all.Wait()
}

func le(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

func source(n uint64, part int) *rand.Rand { return rand.New(rand.NewPCG(n, uint64(part))) }

func name(dir string, id, generation int) string {
	return fmt.Sprintf("%s/f%d-%d", dir, id, generation)
}
