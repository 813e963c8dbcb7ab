package openfile_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
	"tresor/index/recipe"
)

// TestBufferBesideAFlushGrowsOld: a block buffer that is begun while the file is being flushed is stored by age like any other, although the flush
// has given the file its time of modification.
func TestBufferBesideAFlushGrowsOld(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("a")
	r.write(h, pattern(1, 4096), 0)
	if err := h.Sync(false); err != nil {
		t.Fatal(err)
	}
	r.write(h, pattern(2, 100), 10)
	var once sync.Once
	r.hooks.set(func() {
		// The block that takes old bytes over is synced before its entry is written: the flush is on its way then.
		r.hooks.beforeSync = func(string) {
			once.Do(func() { r.write(h, pattern(3, 100), 3*4096) })
		}
	})
	if err := h.File().Drain(); err != nil {
		t.Fatal(err)
	}
	if n := h.File().Buffers(); n != 1 {
		t.Fatalf("%d block buffers after the flush, want that of the write beside it", n)
	}
	r.m.FlushOlder(0)
	if n := h.File().Buffers(); n != 0 {
		t.Errorf("%d block buffers are left however old they are", n)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	r.close()
}

// TestScatteredBytesAreBounded: what a block buffer knows about single bytes all over its block takes memory too, which nobody counts.
func TestScatteredBytesAreBounded(t *testing.T) {
	r := newBudget(t, 2)
	h := r.file("a")
	want := pattern(1, 2*budgetBlock)
	r.write(h, want, 0)
	if err := h.Sync(false); err != nil {
		t.Fatal(err)
	}
	most := 0
	for off := 1; off < budgetBlock; off += 2 {
		r.write(h, []byte{byte(off >> 3)}, int64(off))
		want[off] = byte(off >> 3)
		most = max(most, h.File().Parts(0))
	}
	if limit := budgetBlock / 4096 * 16; most > limit {
		t.Errorf("one block buffer had %d parts, want at most %d", most, limit)
	}
	r.assertContent(h, want)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	r.close()
}

// TestUndefinedEndStays: the last block of an old volume has anything behind the end of the file. As long as it cannot be replaced the file does not
// grow, and what is there is never served.
func TestUndefinedEndStays(t *testing.T) {
	const size = 1000
	for _, workers := range []int{0, 2} {
		r := newMemory(t, tiny(), workers)
		h := r.file("a")
		r.write(h, pattern(1, 4096), 0)
		if err := h.Sync(false); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		d, err := r.disk.OpenFile(r.path("a"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := recipe.New(d, r.vol.Geometry()).WriteHeader(size); err != nil {
			t.Fatal(err)
		}
		d.Close()
		h = r.file("a")
		r.disk.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}, Err: unix.EIO})
		_, werr := h.WriteAt(pattern(2, 4096), 2*4096)
		if err := h.Flush(); err == nil && werr == nil {
			t.Errorf("workers %d: nobody was told", workers)
		}
		if r.disk.Fired() == 0 {
			t.Fatalf("workers %d: no fault: %v", workers, r.disk.SortedCalls())
		}
		p := make([]byte, 3*4096)
		n, err := h.ReadAt(p, 0)
		if err != nil || strings.Trim(string(p[size:min(n, 4096)]), "\x00") != "" {
			t.Errorf("workers %d: what was behind the end of the file is served (%d bytes, %v)", workers, n, err)
		}
		_, _ = h.WriteAt(pattern(3, 4096), 2*4096) // may tell of the failure once more
		r.write(h, pattern(3, 4096), 2*4096)
		if err := h.Flush(); err != nil {
			t.Fatal(err)
		}
		n, err = h.ReadAt(p, 0)
		if err != nil || n != len(p) || strings.Trim(string(p[size:4096]), "\x00") != "" {
			t.Errorf("workers %d: after another try what was behind the end is served (%d bytes, %v)", workers, n, err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		r.close()
	}
}

// TestReplacedBuffersAreLetGo: block buffers that whole blocks have replaced are not kept, by a list of those that were to be submitted, while nobody
// counts their memory.
func TestReplacedBuffersAreLetGo(t *testing.T) {
	r := newBudget(t, 2)
	h := r.file("a")
	const blocks = 150
	for i := range blocks { // until some are submitted
		r.write(h, pattern(1, 4096), int64(i*budgetBlock))
	}
	if n := h.File().Buffers(); n == 0 || n == blocks {
		t.Fatalf("%d block buffers of %d blocks: none were submitted, or all", n, blocks)
	}
	want := pattern(2, blocks*budgetBlock)
	r.write(h, want, 0)
	if n := h.File().Listed(); n != 0 {
		t.Errorf("%d block buffers that are no use any more are kept", n)
	}
	assertBudget(t, r.m, "after whole blocks")
	r.assertContent(h, want)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	r.close()
}
