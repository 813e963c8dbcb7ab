package openfile_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/reclaim"
)

// TestCrash writes, cuts, punches and clones files at random, syncs now and then, and cuts the power after changes to the disk. Every word
// of every file has to be what it was at the last sync or what was written there since; only what was written since may be an error, and
// never after a mere kill.
func TestCrash(t *testing.T) {
	rounds, steps, cases := 6, 60, 60
	if os.Getenv("TRESOR_LONG") == "1" {
		rounds, steps, cases = 100, 200, 400
	}
	n := seed(t)
	for i := range rounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(n, uint64(i)))
			bs := []int{512, 4096}[i%2]
			r := newMemory(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: bs, Size: 600 * int64(bs), Overflow: 1.3, ReuseASAP: true}, i%3)
			c := &crashRun{memory: r, rnd: rnd, bs: bs}
			for j := range 3 {
				f := &history{id: j, name: fmt.Sprintf("f%d", j)}
				f.h = r.file(f.name)
				c.files = append(c.files, f)
			}
			if err := r.disk.SyncFS(memoryDir); err != nil {
				t.Fatal(err)
			}
			r.disk.Record()
			for range steps {
				c.step()
			}
			for _, f := range c.files {
				c.must(f.h.Close())
			}
			r.close()
			for j := range cases {
				c.cut(rnd.IntN(len(r.disk.Ops())+1), disktest.Unsynced(j%3), rnd.Uint64())
				if t.Failed() {
					return
				}
			}
			t.Logf("block size %d, %d workers: %d changes of the disk, %d crashes, %d repairs, %d files without a header", bs, i%3, len(r.disk.Ops()), cases, c.repairs, c.headless)
		})
	}
}

const word = 8

// crashRun is the workload.
type crashRun struct {
	*memory
	rnd     *rand.Rand
	bs      int
	files   []*history
	version uint32
	// headless counts files without a header, in all and in this crash.
	repairs, headless int
	log               []string
}

// history is all that ever was in a file.
type history struct {
	id    int
	name  string
	h     *openfile.Handle
	now   []uint64 // words
	saves []state
	ops   []change
}

// state is a file at a sync.
type state struct {
	at    int // changes of the disk when the sync was through
	words []uint64
	ops   int // changes of the file that it includes
}

// change sets words from one on and the size; words past the size are zero.
type change struct {
	begin int // changes of the disk when it began
	from  int
	words []uint64
	size  int // in words, afterwards
}

func (c *crashRun) must(err error) {
	c.t.Helper()
	if err != nil {
		c.fail("%v", err)
	}
}

func (c *crashRun) fail(text string, args ...any) {
	c.t.Helper()
	for _, l := range c.log {
		c.t.Log(l)
	}
	c.t.Fatalf(text, args...)
}

func (c *crashRun) step() {
	c.t.Helper()
	f := c.files[c.rnd.IntN(len(c.files))]
	limit := 12 * c.bs / word
	from, n := c.rnd.IntN(limit), 1+c.rnd.IntN(c.bs/word)
	switch c.rnd.IntN(4) {
	case 0: // whole blocks
		from, n = from/(c.bs/word)*(c.bs/word), c.bs/word*(1+c.rnd.IntN(4))
	case 1: // append
		from = len(f.now)
	}
	begin := len(c.disk.Ops())
	op := c.rnd.IntN(100)
	c.log = append(c.log, fmt.Sprintf("%4d: %s op %d words [%d,+%d) of %d", begin, f.name, op, from, n, len(f.now)))
	switch {
	case op < 55:
		c.writeWords(f, begin, from, n)
	case op < 62:
		size := c.rnd.IntN(limit)
		c.must(f.h.File().Truncate(int64(size) * word))
		f.apply(change{begin, 0, nil, size})
	case op < 68:
		mode := []uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE}[c.rnd.IntN(2)]
		c.must(f.h.File().Allocate(mode, int64(from)*word, int64(n)*word))
		size := len(f.now)
		if mode == unix.FALLOC_FL_ZERO_RANGE {
			size = max(size, from+n)
		}
		f.apply(change{begin, from, make([]uint64, max(0, min(n, size-from))), size})
	case op < 74:
		c.clone(f, begin, from, n)
	case op < 88:
		c.must(f.h.Sync(op%2 == 0))
		f.saves = append(f.saves, state{len(c.disk.Ops()), append([]uint64(nil), f.now...), len(f.ops)})
	case op < 92:
		c.must(c.m.FlushAll())
	case op < 95:
		c.must(c.vol.Checkpoint())
	case op < 97:
		_, err := c.vol.Quiesce(0, c.m.FlushAll)
		c.must(err)
	default:
		_, err := reclaim.Run(context.Background(), c.vol, reclaim.Options{})
		c.must(err)
	}
}

func (c *crashRun) writeWords(f *history, begin, from, n int) {
	c.t.Helper()
	c.version++
	words := make([]uint64, n)
	p := make([]byte, n*word)
	for i := range words {
		words[i] = uint64(f.id+1)<<56 | uint64(c.version)<<32 | uint64(from+i)
		if c.version%5 == 0 {
			words[i] = 1<<63 | uint64(c.version)<<32 // the same in every word: duplicates
		}
		binary.LittleEndian.PutUint64(p[i*word:], words[i])
	}
	for at := 0; at < len(p); {
		k := min(len(p)-at, word*(1+c.rnd.IntN(2*c.bs/word)))
		c.write(f.h, p[at:at+k], int64(from*word+at))
		at += k
	}
	f.apply(change{begin, from, words, max(len(f.now), from+n)})
}

func (c *crashRun) clone(f *history, begin, from, n int) {
	c.t.Helper()
	src := c.files[(f.id+1)%len(c.files)]
	unit := c.bs / word
	at := from%unit + unit*c.rnd.IntN(8)
	got, err := f.h.File().CopyFrom(src.h.File(), int64(at)*word, int64(from)*word, int64(n)*word)
	c.must(err)
	n = int(got) / word
	if n == 0 {
		return
	}
	f.apply(change{begin, from, append([]uint64(nil), src.now[at:at+n]...), max(len(f.now), from+n)})
}

// apply changes the words as the file changes.
func (f *history) apply(ch change) {
	f.ops = append(f.ops, ch)
	f.now = ch.on(f.now)
}

func (ch change) on(words []uint64) []uint64 {
	out := make([]uint64, ch.size)
	copy(out, words)
	copy(out[min(ch.from, ch.size):], ch.words)
	return out
}

// cut looks at the disk as a power cut after k changes leaves it.
func (c *crashRun) cut(k int, how disktest.Unsynced, fate uint64) {
	c.t.Helper()
	where := fmt.Sprintf("power cut after %d changes, the unsynced rest %v (%d)", k, how, fate)
	img := onDisk(c.t, c.disk.Crash(k, how, fate), 2)
	p := img.acquire()
	dirty, err := p.Dirty()
	c.must(err)
	c.must(p.Close())
	if dirty {
		c.repairs++
		img.repair()
	} else {
		img.open()
	}
	before := c.headless
	for _, f := range c.files {
		c.inspect(img, f, where, k, how)
	}
	if c.t.Failed() {
		img.abandon()
		return
	}
	img.close()
	s, found := img.status()
	if c.headless == before && s != fsck.OK && (s != fsck.Lost || how == disktest.Keep) {
		c.fail("%s: after the repair: status %d: %q", where, s, found)
	}
}

// inspect judges every word of a file.
func (c *crashRun) inspect(img *memory, f *history, where string, k int, how disktest.Unsynced) {
	c.t.Helper()
	var base state
	for _, s := range f.saves {
		if s.at <= k {
			base = s
		}
	}
	// Everything that each word, and the size, may be.
	allowed := map[int]map[uint64]bool{}
	least, most := len(base.words), len(base.words)
	words := base.words
	note := func(i int, w uint64) {
		if allowed[i] == nil {
			allowed[i] = map[uint64]bool{}
		}
		allowed[i][w] = true
	}
	for i, w := range words {
		note(i, w)
	}
	touched := map[int]bool{} // words
	unit := c.bs / word
	for _, ch := range f.ops[base.ops:] {
		if ch.begin > k {
			break
		}
		before := words
		words = ch.on(words)
		least, most = min(least, len(words)), max(most, len(words))
		for i := range max(len(words), len(before)) {
			var a, b uint64
			if i < len(before) {
				a = before[i]
			}
			if i < len(words) {
				b = words[i]
				note(i, b)
			}
			if a != b || i >= len(before) || i >= len(words) || i >= ch.from && i < ch.from+len(ch.words) {
				touched[i] = true
			}
		}
	}
	h, err := img.tryFile(f.name)
	if err != nil {
		// The very first page of a file that was never synced did not arrive, but its length did.
		if how == disktest.Keep || base.at > 0 || !errors.Is(err, format.ErrCorrupt) {
			c.fail("%s: %s: synced at %d: %v", where, f.name, base.at, err)
		}
		c.headless++
		return
	}
	defer h.Close()
	size := h.File().Size()
	up := (int64(most)*word + int64(c.bs) - 1) / int64(c.bs) * int64(c.bs)
	if size < int64(least)*word || size > up {
		c.fail("%s: %s: size %d, want %d to %d", where, f.name, size, least*word, up)
	}
	p := make([]byte, c.bs)
	for b := 0; b*c.bs < int(size); b++ {
		n, err := h.ReadAt(p, int64(b)*int64(c.bs))
		if err != nil {
			for w := b * unit; w < min((b+1)*unit, len(base.words)); w++ {
				if how == disktest.Keep || !touched[w] {
					c.fail("%s: %s: word %d of block %d was synced at %d and written since: %v; it is lost: %v", where, f.name, w, b, base.at, touched[w], err)
				}
			}
			continue
		}
		for i := 0; i+word <= n; i += word {
			w := b*unit + i/word
			have := binary.LittleEndian.Uint64(p[i:])
			// Zeros where the file did not reach at the sync, or was cut since.
			if !allowed[w][have] && !(have == 0 && (w >= len(base.words) || w >= least)) {
				c.fail("%s: %s: word %d (block %d): have %#x, want one of %x; synced at %d with %d words", where, f.name, w, b, have, slices.Sorted(maps.Keys(allowed[w])), base.at, len(base.words))
			}
		}
	}
}
