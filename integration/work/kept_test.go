package work

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/bench/counted"
	"tresor/fs/openfile"
	"tresor/index/format"
	"tresor/integration/mounttest"
)

// What a mount reads with: cached handles past the page cache of the block file (Handle.ReadKept), direct ones what the page cache has (Handle.View). The
// calls that look into the page cache (mincore, madvise) go past the disk that counts: TestSystemCalls counts those.

// cool has memory forget a block file. All of it is on the disk, which newStored and newStoredVolume see to: the temporary directory may be memory.
func cool(t *testing.T, parent string) {
	t.Helper()
	f, err := os.Open(filepath.Join(parent, format.DefaultBlocksName))
	must(t, err)
	must(t, f.Sync())
	// The kernel leaves what somebody holds at the moment, if only for the lists of its own memory.
	gone := mounttest.Until(10*time.Second, func() bool {
		must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		return residentPages(t, parent) == 0
	})
	if !gone {
		t.Fatalf("%d pages of the block file stay in memory", residentPages(t, parent))
	}
	must(t, f.Close())
}

// inMemory reads a block file into the page cache and holds it there until the test ends: pages that somebody has mapped stay, also when another test of this
// machine drops the caches.
func inMemory(t *testing.T, parent string) {
	t.Helper()
	f, err := os.Open(filepath.Join(parent, format.DefaultBlocksName))
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	p, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	must(t, err)
	must(t, f.Close())
	t.Cleanup(func() { must(t, unix.Munmap(p)) })
}

// newStored is a rig whose volume has one file and was opened anew, on an ext4 of its own as in newStoredVolume.
func newStored(t *testing.T, seed byte) (*rig, *openfile.Handle) {
	t.Helper()
	r := newRigIn(t, mounttest.Loop(t, 2<<30))
	h := r.open1(1, "a")
	for data := range slices.Chunk(random(seed, fileSize), request) { // one after the other, so that they lie in order also where workers are late
		n, err := h.WriteAt(data, h.File().Size())
		must(t, errors.Join(err, h.Flush()))
		if n != request {
			t.Fatalf("%d bytes written, want %d", n, request)
		}
	}
	must(t, h.Sync(false))
	must(t, h.Close())
	r.reopen()
	return r, r.open1(1, "a")
}

// windows is how many pieces of 4 MiB of the block file have a part of the file.
const windows = fileSize>>22 + 1

// TestReadKept counts two cold passes as a cached handle reads, the first of which proves all blocks.
func TestReadKept(t *testing.T) {
	r, h := newStored(t, 12)
	p := aligned(t, request)
	for pass, proofs := range []int64{fileSize / block, 0} {
		cool(t, r.dir)
		d := r.count(func() {
			for off := int64(0); off < fileSize; off += request {
				_, err := h.ReadKept(p, off)
				must(t, err)
			}
		})
		direct, b, e := d.of(counted.Direct), d.of(counted.Blocks), d.of(counted.Entries)
		t.Run([]string{"first", "second"}[pass], func(t *testing.T) {
			hold(t, []bound{
				{"direct reads a MiB", per(direct.Reads, megabytes), 1.2, "one for each request; an extent of 8 MiB cuts one more"},
				{"other reads of blocks a MiB", per(b.Reads, megabytes), 0.2, "what an extent cuts off, where it is short; the header when it is opened"},
				{"bytes of them of bytes read", per(b.ReadBytes, fileSize), 0.02, "the same"},
				{"reads of entries a MiB", per(e.Reads, megabytes), 1.6, "one for each request, one each 4 MiB to look ahead"},
				{"mappings", float64(b.Maps + direct.Maps), []float64{windows, 0}[pass], "each 4 MiB of the block file once, to ask what is in memory"},
				{"advice", float64(b.Ahead + direct.Ahead), 0, "long runs need none"},
				{"allocations a MiB", per(d.allocs, megabytes), []float64{1.2, 0.3}[pass], "none is needed; each mapping is noted"},
			},
				exactly{"proofs", int64(d.stats.Verified), proofs},
				exactly{"bytes of blocks, and of the header at first", direct.ReadBytes + b.ReadBytes, fileSize + []int64{8, 0}[pass]},
				exactly{"hashes of writes", int64(d.stats.Hashed), 0},
				exactly{"writes", b.Writes + e.Writes + d.of(counted.Headers).Writes + d.of(counted.Index).Writes, 0})
		})
	}
	must(t, h.Close())
}

// TestView counts two passes as a direct handle reads what is proved and in memory: nothing is read and nothing hashed.
func TestView(t *testing.T) {
	r, h := newStored(t, 13)
	r.read(h, make([]byte, request)) // proves
	inMemory(t, r.dir)
	for pass, maps := range []float64{windows, 0} {
		shown := 0
		d := r.count(func() {
			for off := int64(0); off < fileSize; off += request {
				v := h.View(request, off)
				if v == nil {
					t.Fatalf("offset %d: not shown, though it is proved and in memory", off)
				}
				shown += v.Size()
				v.Release()
			}
		})
		b, e := d.of(counted.Blocks), d.of(counted.Entries)
		t.Run([]string{"first", "second"}[pass], func(t *testing.T) {
			hold(t, []bound{
				{"reads of entries a MiB", per(e.Reads, megabytes), 1, "one for each request"},
				{"mappings", float64(b.Maps), maps, "each 4 MiB of the block file once"},
				{"allocations a MiB", per(d.allocs, megabytes), []float64{0.8, 0.3}[pass], "none is needed; each mapping is noted"},
			},
				exactly{"bytes shown", int64(shown), fileSize},
				exactly{"reads of blocks", b.Reads + d.of(counted.Direct).Reads, 0},
				exactly{"advice", b.Ahead, 0},
				exactly{"hashes", int64(d.stats.Verified + d.stats.Hashed), 0},
				exactly{"writes", b.Writes + e.Writes + d.of(counted.Headers).Writes + d.of(counted.Index).Writes, 0})
		})
	}
	must(t, h.Close())
}
