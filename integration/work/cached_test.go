package work

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
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

// piece is how long the runs of blocks are in what is scattered: long enough to be read past the page cache, short enough for advice.
const piece = 512 << 10

// newStoredVolume is a new volume with a file, and another one of the same blocks in another order (scattered), on an ext4 of its own: there direct reads, and forgetting, are possible on every machine.
func newStoredVolume(t *testing.T, seed byte) (dir string) {
	t.Helper()
	dir = mounttest.New(t, mounttest.VolumeOptions{Dir: filepath.Join(mounttest.Loop(t, 1<<30), "volume"), CreateOptions: format.CreateOptions{Size: 512 << 20}})
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options})
	data := aligned(t, fileSize)
	copy(data, random(seed, fileSize))
	f, err := os.OpenFile(m.Path("a"), os.O_WRONLY|os.O_CREATE|unix.O_DIRECT, 0o600)
	must(t, err)
	for off := 0; off < fileSize; off += request { // one after the other, so that they lie in order also where workers are late
		_, err := f.WriteAt(data[off:off+request], int64(off))
		must(t, errors.Join(err, f.Sync()))
	}
	must(t, f.Close())
	whole := slices.Clone(data)
	for i := 0; i < fileSize; i += piece {
		copy(data[i:i+piece], whole[i*37%fileSize:]) // 37 and the number of pieces have no divisor in common
	}
	store(t, m.Path("scattered"), data, true)
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
		guardTraffic(t, []string{"first", "second"}[pass], coldRounds, func(t *testing.T, _ int) traffic {
			if pass == 0 {
				m = m.Remount(options)
			}
			forget(t, m.Path("a"))
			cool(t, dir)
			d := count(t, m, func() { loadCached(t, m.Path("a"), p) })
			resident = residentPages(t, dir)
			return d
		}, func(d traffic) limits {
			l := coldLimits(d, proofs, bound{"reads a MiB", per(d.syscr, megabytes), 5, "the request, entries, blocks, entries to look ahead"})
			l.other = append(l.other, bound{"kept a second time, of bytes asked for", per(resident*4096, fileSize), 0.02,
				"the kernel has the pages of the file; of the block file only what short requests read"})
			return l
		})
	}
}

// coldLimits are those of a file that is read once from the disk and from nowhere else, whatever its blocks lie like.
func coldLimits(d traffic, proofs int64, reads bound) limits {
	return limits{
		calls: []bound{
			reads,
			{"writes a MiB", per(d.syscw, megabytes), 1.5, "the reply"},
			{"bytes replied of bytes asked for", per(d.wchar, fileSize), 1.01, "the kernel asks once"},
			{"bytes of the disk of bytes replied", float64(d.disk) / float64(d.wchar), 1.02, "each block once; entries"},
		},
		other: []bound{
			{"bytes read of bytes replied", float64(d.rchar) / float64(d.wchar), 1.01, "each block once; requests, entries"},
			{"bytes that did not come from the disk", 1 - per(d.disk, fileSize), 0.01, "else nothing was cold and this test shows nothing"},
		},
		exact: []exactly{{"proofs", d.stats["block_verified"], proofs}, {"hashes of writes", d.stats["hash"], 0}},
	}
}

// TestColdReadScattered counts a cold read of a file whose blocks lie in short runs, as in a volume that has been used for long. Runs that are read past the page cache are not asked for beforehand: what is on
// its way there would come from the disk twice.
func TestColdReadScattered(t *testing.T) {
	dir, p := newStoredVolume(t, 25), make([]byte, request)
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options})
	guardTraffic(t, "first", coldRounds, func(t *testing.T, _ int) traffic {
		m = m.Remount(options)
		cool(t, dir)
		return count(t, m, func() { loadCached(t, m.Path("scattered"), p) })
	}, func(d traffic) limits {
		return coldLimits(d, fileSize/block, bound{"reads a MiB", per(d.syscr, megabytes), 6.5, "the request, entries, two runs, entries to look ahead"})
	})
}

// TestReadAllocations counts allocations of the whole way, the FUSE library's included, by serving the mount from this process. Its own readers are among them. The library
// allocates for each request, and the kernel asks again for what another test of this machine made it forget: that is why there are several rounds.
func TestReadAllocations(t *testing.T) {
	dir, p := newStoredVolume(t, 24), aligned(t, request)
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, List: options})
	allocs := func(most float64, why string, do func()) limits {
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return limits{calls: []bound{{"allocations a MiB", per(int64(after.Mallocs-before.Mallocs), megabytes), most, why}}}
	}
	cold := func(t *testing.T, most float64, why string) limits {
		forget(t, m.Path("a"))
		cool(t, dir)
		return allocs(most, why, func() { loadCached(t, m.Path("a"), p) })
	}
	guardLimits(t, "cold, first", coldRounds, func(t *testing.T, _ int) limits {
		m = m.Remount(options)
		return cold(t, 26, "of the library for each request; first use of buffers, mappings")
	})
	guardLimits(t, "cold, second", coldRounds, func(t *testing.T, _ int) limits { return cold(t, 19, "of the library for each request") })
	inMemory(t, dir)
	for _, name := range []string{"direct, first", "direct, second"} {
		guardLimits(t, name, rounds, func(t *testing.T, _ int) limits {
			return allocs(18, "of the library for each request", func() { load(t, m.Path("a"), p) })
		})
	}
}
