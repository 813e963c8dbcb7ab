package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// limit is how long a call that was called off may take.
const limit = 5 * time.Second

// readBack: blocks are counted, also those that are not read, and a name may change.
func (c *contract) readBack(t *testing.T) {
	bs := c.bs
	data := different(6, 20*bs+1)
	clear(data[3*bs : 5*bs])
	f := c.make(t, "f", data)
	f.whole()
	if err := os.Rename(f.full(), f.full()+" renamed"); err != nil {
		t.Fatal(err)
	}
	f.path += " renamed"
	f.assert()
	var b bytes.Buffer
	if r, err := c.ReadBack(t.Context(), f.path, &b, nil); err != nil || r.Blocks != 19 || r.Known != 0 || len(r.Bad) != 0 {
		t.Errorf("all: have %+v, %v, want 19 blocks", r, err)
	}
	list := []orchestrator.Blocks{{First: 0, Count: 4}, {First: 19, Count: 2}}
	if r, err := c.ReadBack(t.Context(), f.path, nil, list); err != nil || r.Blocks != 5 || r.Known != 14 || len(r.Bad) != 0 {
		t.Errorf("a list: have %+v, %v, want 5 blocks, and 14 known", r, err)
	}
	if r, err := c.ReadBack(t.Context(), f.path, nil, nil); err != nil || r.Blocks != 0 || r.Known != 19 {
		t.Errorf("nothing: have %+v, %v, want 19 known", r, err)
	}
	empty := c.make(t, "empty", nil)
	empty.assert()
}

// readBackOfAWrite: what programs have written to the tree is read back as well, saved or not.
func (c *contract) readBackOfAWrite(t *testing.T) {
	f := c.make(t, "f", different(7, 3*c.bs+5))
	h, err := os.OpenFile(f.full(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.WriteAt(f.want, 0); err != nil {
		t.Fatal(err)
	}
	f.assert()
}

// lists: long ones work, and those that cannot be are refused.
func (c *contract) lists(t *testing.T) {
	const n = 3001
	f := c.make(t, "f", different(8, 64*c.bs))
	f.whole()
	for _, bad := range [][]orchestrator.Blocks{{{First: 64, Count: 1}}, {{First: 63, Count: 2}}, {{First: 5, Count: 1}, {First: 4, Count: 1}}, {{First: 1, Count: 1 << 63}},
		{{First: 1 << 63, Count: 1 << 63}}} {
		if r, err := c.ReadBack(t.Context(), f.path, nil, bad); err == nil {
			t.Errorf("list %v: have %+v, no error", bad, r)
		}
	}
	g := c.make(t, "sparse", nil)
	if err := os.Truncate(g.full(), 2*n*c.bs); err != nil {
		t.Fatal(err)
	}
	var list []orchestrator.Blocks
	for i := range uint64(n) {
		list = append(list, orchestrator.Blocks{First: 2 * i, Count: 1})
	}
	if r, err := c.ReadBack(t.Context(), g.path, nil, list); err != nil || r.Blocks != 0 || r.Known != 0 {
		t.Errorf("%d runs of holes: have %+v, %v", n, r, err)
	}
}

// cancelPut: a Put that is called off ends soon, with the cause, or is done.
func (c *contract) cancelPut(t *testing.T) {
	f := c.make(t, "f", different(9, 24<<20))
	m, parts, err := partsOf(f.path, f.src, 0, 24<<20, c.bs)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Put(done, m, parts); !errors.Is(err, context.Canceled) {
		t.Errorf("called off before: have %v", err)
	}
	ended := 0
	for i := range 6 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*4*time.Millisecond)
		begin := time.Now()
		_, err := c.Put(ctx, m, parts)
		if took := time.Since(begin); took > limit || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("called off after %d ms: have %v after %v", 4*i, err, took)
		}
		if err != nil {
			ended++
		}
		cancel()
	}
	if ended == 0 {
		t.Error("no call was called off")
	}
	f.whole()
	f.assert()
}

// cancelReadBack: one that is called off ends soon, also where the reader is slow.
func (c *contract) cancelReadBack(t *testing.T) {
	f := c.make(t, "f", different(10, 12<<20))
	f.whole()
	ctx, cancel := context.WithCancel(t.Context())
	var off time.Time
	w := writerFunc(func(p []byte) (int, error) {
		if off.IsZero() {
			off = time.Now()
			cancel()
		}
		return len(p), nil
	})
	_, err := c.ReadBack(ctx, f.path, w, nil)
	if took := time.Since(off); !errors.Is(err, context.Canceled) || took > limit {
		t.Errorf("have %v after %v", err, took)
	}
	list := []orchestrator.Blocks{{Count: uint64((12<<20 + c.bs - 1) / c.bs)}}
	begin := time.Now()
	if _, err := c.ReadBack(ctx, f.path, nil, list); !errors.Is(err, context.Canceled) || time.Since(begin) > limit {
		t.Errorf("a list: have %v after %v", err, time.Since(begin))
	}
}

type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// writer: what the writer says ends it, and is told.
func (c *contract) writer(t *testing.T) {
	f := c.make(t, "f", different(11, 4<<20))
	f.whole()
	errFull := errors.New("the writer has had enough")
	begin := time.Now()
	_, err := c.ReadBack(t.Context(), f.path, writerFunc(func([]byte) (int, error) { return 0, errFull }), nil)
	if !errors.Is(err, errFull) || time.Since(begin) > limit {
		t.Errorf("have %v after %v", err, time.Since(begin))
	}
	_, err = c.ReadBack(t.Context(), f.path, writerFunc(func(p []byte) (int, error) { return len(p) / 2, nil }), nil)
	if !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a writer that takes half of it: have %v", err)
	}
	f.assert()
}

// parallel: several ranges of one file at once, with those of others.
func (c *contract) parallel(t *testing.T) {
	const seg = 256 << 10
	var all sync.WaitGroup
	for i := range 3 {
		f := c.make(t, string(rune('a'+i)), different(uint64(20+i), 8*seg+33))
		for at := int64(0); at < int64(len(f.want)); at += seg {
			all.Go(func() {
				if _, err := PutFile(t.Context(), c, f.path, f.src, at, min(seg, int64(len(f.want))-at)); err != nil {
					t.Error(err)
				}
			})
		}
		defer f.assert()
	}
	all.Wait()
}

// growing: ranges that lengthen a file at the same time do not cut one another off.
func (c *contract) growing(t *testing.T) {
	for range 20 {
		f := c.make(t, "f", different(80, 8*c.bs+7))
		if err := os.Truncate(f.full(), 0); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for at := int64(0); at < int64(len(f.want)); at += c.bs {
			all.Go(func() {
				if _, err := PutFile(t.Context(), c, f.path, f.src, at, min(c.bs, int64(len(f.want))-at)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		f.assert()
	}
}

// many: a Put of many files, whatever their names, is told for each of them; one of holes needs no memory.
func (c *contract) many(t *testing.T) {
	const n = 150
	m, err := orchestrator.NewMemory(n * 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var files []*file
	var parts []orchestrator.Part
	copy(m.Bytes(), different(100, int64(len(m.Bytes()))))
	for i := range n {
		size := 1 + i*13%4096
		f := c.make(t, fmt.Sprintf("%d grün\"\xff\xfe\n%s", i, strings.Repeat("long ", 30)), m.Bytes()[i*4096:][:size])
		parts = append(parts, orchestrator.Part{Path: f.path, N: int64(size), From: int64(i) * 4096})
		files = append(files, f)
	}
	parts[5] = orchestrator.Part{Path: files[5].path, Off: 10 * c.bs, N: 1 << 40, From: orchestrator.Hole}
	parts[6].From = parts[7].From // the same content, if not the same length
	files[6].want = m.Bytes()[parts[6].From:][:parts[6].N]
	added, err := c.Put(t.Context(), m, parts)
	if err == nil {
		err = c.Sync(t.Context())
	}
	if err != nil || len(added) != n {
		t.Fatalf("have %d, %v", len(added), err)
	}
	for i, f := range files {
		if a := added[i]; i != 5 && (a.New != 1 || a.Known+a.Zero != 0 || !slices.Equal(a.Fresh, []orchestrator.Blocks{{First: 0, Count: 1}})) {
			t.Fatalf("file %d: have %+v, want one new block", i, a)
		}
		if i == 5 || i > 20 && i%50 > 0 {
			continue
		}
		f.assert()
	}
	if info, err := os.Stat(files[5].full()); err != nil || info.Size() != 10*c.bs+1<<40 || added[5].New+added[5].Known != 0 {
		t.Errorf("a hole: have %v, %v, %+v", info, err, added[5])
	}
	if err := os.Remove(files[5].full()); err != nil { // others look at all files
		t.Fatal(err)
	}
	again, err := c.Put(t.Context(), nil, []orchestrator.Part{{Path: files[0].path, N: c.bs, From: orchestrator.Hole}})
	if err != nil || len(again) != 1 || again[0].New != 0 {
		t.Errorf("a hole over data: have %+v, %v", again, err)
	}
	files[0].want = make([]byte, c.bs)
	files[0].assert()
}

// room: what is stored takes room once, and what nobody refers to any more can be had back.
func (c *contract) room(t *testing.T) {
	usage := func() orchestrator.Usage {
		t.Helper()
		u, err := c.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if _, err := c.Reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := usage()
	f := c.make(t, "f", different(30, 16*c.bs))
	g := c.make(t, "g", f.want)
	f.whole()
	g.whole()
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u := usage(); u.Used != before.Used+16*c.bs || u.Files != before.Files+2 || u.Total != before.Total {
		t.Errorf("have %+v, before %+v, want 16 blocks and two files more", u, before)
	}
	if err := os.Remove(f.full()); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Reclaim(t.Context()); err != nil || r.Bytes != 0 {
		t.Errorf("with one of two files left: have %+v, %v, want nothing", r, err)
	}
	g.assert()
	if err := os.Remove(g.full()); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Reclaim(t.Context()); err != nil || r.Bytes != 16*c.bs {
		t.Errorf("have %+v, %v, want %d bytes", r, err, 16*c.bs)
	}
	if u := usage(); u.Used != before.Used || u.Files != before.Files {
		t.Errorf("have %+v, want what was used before: %+v", u, before)
	}
}

// damage: it is found where the disk has it, told, by a scrub too, and what is stored again after that is good.
func (c *contract) damage(t *testing.T) {
	d, ok := c.Store.(Damager)
	if !ok {
		t.Skip("the store of this test cannot be damaged")
	}
	bs := c.bs
	f := c.make(t, "f", different(40, 64*bs))
	f.whole()
	if r, err := c.Scrub(t.Context(), 0); err != nil || !r.Complete || r.Bad != 0 || r.Bytes < 64*bs {
		t.Fatalf("scrub: have %+v, %v", r, err)
	}
	if u, err := c.Usage(t.Context()); err != nil || time.Since(u.LastScrub) > time.Minute {
		t.Errorf("have %+v, %v, want the time of the scrub", u, err)
	}
	for _, block := range []int64{40, 41} {
		if err := d.Flip(f.path, block*bs+7); err != nil {
			t.Fatal(err)
		}
	}
	want := []orchestrator.Blocks{{First: 40, Count: 2}}
	r, err := c.ReadBack(t.Context(), f.path, nil, []orchestrator.Blocks{{First: 1, Count: 2}, {First: 38, Count: 10}})
	if !errors.Is(err, unix.EIO) || r.Blocks != 10 || !slices.Equal(r.Bad, want) {
		t.Errorf("a list: have %+v, %v, want %v as bad ones", r, err, want)
	}
	if err != nil && !strings.Contains(err.Error(), filepath.Base(f.path)) {
		t.Errorf("the error does not name the file: %v", err)
	}
	var b bytes.Buffer
	r, err = c.ReadBack(t.Context(), f.path, &b, nil)
	if !errors.Is(err, unix.EIO) || len(r.Bad) == 0 || r.Bad[0].First != 40 || !bytes.Equal(b.Bytes(), f.want[:min(40*bs, int64(b.Len()))]) || int64(b.Len()) > 40*bs {
		t.Errorf("all of it: have %+v, %v, and %d bytes, want those before block 40", r, err, b.Len())
	}
	if time.Since(r.Scrubbed) > time.Minute {
		t.Errorf("have a scrub at %v", r.Scrubbed)
	}
	if a := f.whole(); a.New+a.Known != 64 {
		t.Errorf("stored again: have %+v", a)
	}
	f.assert()
}
