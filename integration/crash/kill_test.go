package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/index/format"
	"tresor/integration/mounttest"
)

// TestKill kills the daemon at random moments under parallel load, beside reclaims and scrubs, and mounts the volume again: every file and range that was synced is
// there, no word is one that nobody wrote, the repair hashes no more than what was written since the last checkpoint, and the volume is clean
// after the next unmount.
func TestKill(t *testing.T) {
	rounds := 3
	if long() {
		rounds = 100
	}
	n := seed(t)
	for _, hash := range []string{"BLAKE3", "TIGER"} {
		t.Run(hash, func(t *testing.T) {
			const bs = 16 << 10
			parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Hash: hash, BlockSize: bs, Size: 1 << 30, ReuseASAP: true}})
			k := &killer{t: t, o: mounttest.Options{Parent: parent, Daemon: true, List: "checkpoint=" + strconv.Itoa(checkpoint)}, bs: bs}
			k.m = mounttest.Volume(t, k.o)
			for round := range rounds {
				k.round(source(n, round))
				if t.Failed() {
					t.Fatalf("round %d", round)
				}
			}
			k.m.Unmount()
			t.Logf("%d kills, %d reclaims and %d scrubs beside the writers", rounds, k.reclaims.Load(), k.scrubs.Load())
			if long() && (k.reclaims.Load() == 0 || k.scrubs.Load() == 0) {
				t.Error("no reclaim or no scrub ever came to its end")
			}
		})
	}
}

// checkpoint is how many bytes of new blocks make a checkpoint due in this test.
const checkpoint = 2 << 20

type killer struct {
	t     *testing.T
	o     mounttest.Options
	m     *mounttest.Mount
	bs    int
	files []*history // those that may be there
	made  int        // files ever
	total atomic.Int64

	reclaims, scrubs atomic.Int64 // that came to their end
}

const writers = 4

// round writes for a while, kills, mounts and judges.
func (k *killer) round(rnd *rand.Rand) {
	t := k.t
	t.Helper()
	k.ballast(rnd)
	fresh := k.m.Stats()["block_fresh"]
	k.total.Store(0)
	var killed atomic.Bool
	c := newCrowd(t, func(err error) bool { return killed.Load() && gone(err) })
	loads := make([]*load, writers)
	for i := range writers {
		loads[i] = &load{k: k, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), dir: k.m.Path(fmt.Sprintf("w%d", i)), next: i}
		for _, h := range k.files {
			if h.id%writers == i {
				h.path = name(loads[i].dir, h.id, 0)
				loads[i].files = append(loads[i].files, h)
			}
		}
		if err := os.MkdirAll(loads[i].dir, 0o755); err != nil {
			t.Fatal(err)
		}
		c.run("writer", loads[i].step)
	}
	c.run("reclaim", func() error {
		_, err := os.ReadFile(k.m.Path(format.SpecialName, "reclaim"))
		if err == nil {
			k.reclaims.Add(1)
		}
		return err
	})
	c.run("scrub", func() error {
		err := socket.Call(context.Background(), socket.Place{}, k.o.Parent, control.OpScrub, control.ScrubArgs{Reset: true}, &control.ScrubResult{}, nil)
		switch {
		case err == nil:
			k.scrubs.Add(1)
		case killed.Load():
			return unix.ENOTCONN // by whatever the socket says of it
		}
		return err
	})
	time.Sleep(time.Duration(50+rnd.IntN(700)) * time.Millisecond) // the moment of death is the random thing here
	killed.Store(true)
	k.m.Kill()
	c.stop()
	k.files = nil
	for _, l := range loads {
		k.files = append(k.files, l.files...)
		l.close()
	}
	k.o.Point = k.m.Point
	k.m = mounttest.Volume(t, k.o)
	hashed := k.hashed()
	if most := fresh + k.total.Load(); hashed > most {
		t.Errorf("the repair hashed %d blocks, want at most the %d that were new since the last checkpoint", hashed, most)
	}
	synced := 0
	left := k.files[:0]
	for _, h := range k.files {
		h.judge(t, false)
		synced += h.synced
		if _, err := os.Stat(h.path); err == nil && !h.removed {
			left = append(left, h)
		} else if err == nil {
			if err := os.Remove(h.path); err != nil {
				t.Error(err)
			}
		}
	}
	k.files = left
	t.Logf("%d files, %d MiB of them synced, %d blocks touched, %d blocks hashed by the repair", len(left), synced*word>>20, k.total.Load(), hashed)
	for _, h := range left {
		if err := h.settle(); err != nil {
			t.Error(err)
		}
	}
	if rnd.IntN(2) == 0 {
		k.m.Unmount() // checks the volume
		k.m = mounttest.Volume(t, k.o)
		for _, h := range left {
			h.judge(t, true)
		}
	}
}

// ballast writes what a checkpoint has to cover, so that a repair that is not bounded by it is found out.
func (k *killer) ballast(rnd *rand.Rand) {
	k.t.Helper()
	h := &history{path: k.m.Path("ballast"), id: 200 + rnd.IntN(50), version: rnd.IntN(1 << 20)}
	f, err := os.Create(h.path)
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	for range 8 {
		if err := h.write(f, h.size, checkpoint/word); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := h.sync(f); err != nil {
		k.t.Fatal(err)
	}
	if !mounttest.Until(mounttest.CloseTime, func() bool { return k.m.Stats()["block_fresh"] <= checkpoint/int64(k.bs) }) {
		k.t.Errorf("no checkpoint after %d bytes: have %d fresh blocks", 8*checkpoint, k.m.Stats()["block_fresh"])
	}
}

var hashedLine = regexp.MustCompile(`(\d+) blocks hashed again`)

// hashed is what the log of the mount says of the repair.
func (k *killer) hashed() int64 {
	k.t.Helper()
	found := hashedLine.FindStringSubmatch(k.m.Log())
	if found == nil {
		k.t.Errorf("the log says nothing of a repair: %s", k.m.Log())
		return 0
	}
	n, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		k.t.Error(err)
	}
	return n
}

// load is one writer with files of its own.
type load struct {
	k     *killer
	rnd   *rand.Rand
	dir   string
	files []*history
	next  int
	open  map[*history]*os.File
}

func (l *load) file(h *history) (*os.File, error) {
	if l.open == nil {
		l.open = map[*history]*os.File{}
	}
	if f := l.open[h]; f != nil {
		return f, nil
	}
	f, err := os.OpenFile(h.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		l.open[h] = f
	}
	return f, err
}

func (l *load) close() {
	for _, f := range l.open {
		f.Close() // says only that the mount is gone
	}
	l.open = nil
}

// step does one thing to one file.
func (l *load) step() error {
	if len(l.files) < 6 {
		for taken := true; taken; l.next += writers {
			taken = false
			for _, h := range l.files {
				taken = taken || h.id == l.next
			}
			if !taken {
				l.files = append(l.files, &history{path: name(l.dir, l.next, 0), id: l.next, version: l.rnd.IntN(1 << 16)})
			}
		}
		l.next %= 200
	}
	i := l.rnd.IntN(len(l.files))
	h := l.files[i]
	if h.removed {
		return nil
	}
	f, err := l.file(h)
	if err != nil {
		return err
	}
	switch op := l.rnd.IntN(100); {
	case op < 40: // append
		return l.write(h, f, h.size, 1+l.rnd.IntN(40<<10/word))
	case op < 70:
		return l.write(h, f, l.rnd.IntN(h.size+1), 1+l.rnd.IntN(20<<10/word))
	case op < 75: // beyond the end
		return l.write(h, f, h.size+l.rnd.IntN(40<<10/word), 1+l.rnd.IntN(1<<10/word))
	case op < 90:
		return h.sync(f)
	case op < 94:
		return l.reread(h, f)
	case op < 97:
		delete(l.open, h)
		return f.Close()
	default:
		h.removed = true
		if err := os.Remove(h.path); err != nil {
			return err
		}
		delete(l.open, h)
		l.files = append(l.files[:i], l.files[i+1:]...)
		return f.Close()
	}
}

func (l *load) write(h *history, f *os.File, from, n int) error {
	l.k.total.Add(int64(n*word/l.k.bs + 2))
	return h.write(f, from, n)
}

// reread compares a part of a file with what was written.
func (l *load) reread(h *history, f *os.File) error {
	if h.size == 0 {
		return nil
	}
	from := l.rnd.IntN(h.size)
	p := make([]byte, min(h.size-from, 4096)*word)
	n, err := f.ReadAt(p, int64(from)*word)
	if err != nil {
		return err
	}
	last := make([]int, h.size)
	for _, w := range h.writes {
		for i := w.from; i < w.from+w.n; i++ {
			last[i] = w.version
		}
	}
	for i := 0; i < n/word; i++ {
		want := uint64(0)
		if v := last[from+i]; v > 0 {
			want = stamp(h.id, v, from+i)
		}
		if have := le(p[i*word:]); have != want {
			return fmt.Errorf("%s: word %d: have %#x, want %#x", h.path, from+i, have, want)
		}
	}
	return nil
}
