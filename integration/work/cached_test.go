package work

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/integration/mounttest"
)

// loadCached reads a file as everybody does: through the kernel's cache of the mount, which reads ahead.
func loadCached(t *testing.T, name string, p []byte) {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, p)
	must(t, errors.Join(err, f.Close()))
	if n != fileSize {
		t.Fatalf("%s: %d bytes, want %d", name, n, fileSize)
	}
}

// forget has the kernel drop what it has of a file of a mount.
func forget(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	must(t, errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()))
}

// residentPages is how many pages of 4 KiB of a block file are in memory.
func residentPages(t *testing.T, parent string) (n int64) {
	t.Helper()
	f, err := disk.OS().OpenFile(filepath.Join(parent, format.DefaultBlocksName), os.O_RDONLY, 0)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	p, err := disk.MapShared(f, 0, int(size))
	must(t, err)
	for off := int64(0); off < size; off += 4096 {
		yes, err := disk.Resident(p[off:min(off+4096, size)])
		must(t, err)
		if yes {
			n++
		}
	}
	must(t, errors.Join(disk.Unmap(p), f.Close()))
	return n
}

// newStoredVolume is a new volume with a file on an ext4 of its own: there direct reads, and forgetting, are possible on every machine.
func newStoredVolume(t *testing.T, seed byte) (dir string) {
	t.Helper()
	dir = mounttest.New(t, mounttest.VolumeOptions{Dir: filepath.Join(mounttest.Loop(t, 1<<30), "volume"), CreateOptions: format.CreateOptions{Size: 512 << 20}})
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options})
	data := aligned(t, fileSize)
	copy(data, random(seed, fileSize))
	store(t, m.Path("a"), data, true)
	m.Unmount()
	return dir
}

// TestColdRead counts what the daemon does when a file is read that no cache holds: the first time, which proves all blocks, and again after everything
// was forgotten but that they are proved.
func TestColdRead(t *testing.T) {
	dir, p := newStoredVolume(t, 23), make([]byte, request)
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options})
	for pass, proofs := range []int64{fileSize / block, 0} {
		var resident int64
		guardTraffic(t, []string{"first", "second"}[pass], func(t *testing.T, _ int) traffic {
			if pass == 0 {
				m = m.Remount(options)
			}
			forget(t, m.Path("a"))
			cool(t, dir)
			d := count(t, m, func() { loadCached(t, m.Path("a"), p) })
			resident = residentPages(t, dir)
			return d
		}, func(d traffic) limits {
			return limits{
				calls: []bound{
					{"reads a MiB", per(d.syscr, megabytes), 5, "the request, entries, blocks, entries to look ahead"},
					{"writes a MiB", per(d.syscw, megabytes), 1.5, "the reply"},
				},
				other: []bound{
					{"bytes read of bytes asked for", per(d.rchar, fileSize), 1.01, "each block once; requests, entries"},
					{"bytes of the disk of bytes asked for", per(d.disk, fileSize), 1.02, "each block once; entries"},
					{"bytes that did not come from the disk", 1 - per(d.disk, fileSize), 0.01, "else nothing was cold and this test shows nothing"},
					{"bytes written of bytes asked for", per(d.wchar, fileSize), 1.01, "the reply"},
					{"kept a second time, of bytes asked for", per(resident*4096, fileSize), 0.02, "the kernel has the pages of the file; of the block file only what short requests read"},
				},
				exact: []exactly{{"proofs", d.stats["block_verified"], proofs}, {"hashes of writes", d.stats["hash"], 0}},
			}
		})
	}
}

// TestReadAllocations counts allocations of the whole way, the FUSE library's included, by serving the mount from this process. Its own readers are among them.
func TestReadAllocations(t *testing.T) {
	dir, p := newStoredVolume(t, 24), aligned(t, request)
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, List: options})
	allocs := func(do func()) float64 {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return per(int64(after.Mallocs-before.Mallocs), megabytes)
	}
	cold := func() float64 {
		forget(t, m.Path("a"))
		cool(t, dir)
		return allocs(func() { loadCached(t, m.Path("a"), p) })
	}
	direct := func() float64 { return allocs(func() { load(t, m.Path("a"), p) }) }
	hold(t, []bound{
		{"cold, first: allocations a MiB", cold(), 26, "of the library for each request; first use of buffers, mappings"},
		{"cold, second: allocations a MiB", cold(), 19, "of the library for each request"},
	})
	inMemory(t, dir)
	hold(t, []bound{
		{"direct, first: allocations a MiB", direct(), 18, "of the library for each request"},
		{"direct, second: allocations a MiB", direct(), 18, "the same"},
	})
}
