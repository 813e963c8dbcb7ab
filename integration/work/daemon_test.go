package work

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// calls are what a process has read and written by system calls since it was started (proc(5), io).
type calls struct{ rchar, wchar, syscr, syscw int64 }

func callsOf(t *testing.T, pid int) (c calls) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/io", pid))
	must(t, err)
	defer f.Close()
	seen := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		for name, at := range map[string]*int64{"rchar": &c.rchar, "wchar": &c.wchar, "syscr": &c.syscr, "syscw": &c.syscw} {
			if text, ok := strings.CutPrefix(lines.Text(), name+": "); ok {
				_, err := fmt.Sscan(text, at)
				must(t, err)
				seen++
			}
		}
	}
	if seen != 4 {
		t.Fatalf("/proc/%d/io: %d of 4 lines found", pid, seen)
	}
	return c
}

// traffic is what the daemon did for one piece of work.
type traffic struct {
	calls
	stats mounttest.Counters
}

func count(t *testing.T, m *mounttest.Mount, do func()) traffic {
	t.Helper()
	m.ResetStats()
	before := callsOf(t, m.PID)
	do()
	after := callsOf(t, m.PID)
	return traffic{calls{after.rchar - before.rchar, after.wchar - before.wchar, after.syscr - before.syscr, after.syscw - before.syscw}, m.Stats()}
}

// aligned is memory that O_DIRECT takes.
func aligned(t *testing.T, n int) []byte {
	t.Helper()
	p, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(p)) })
	return p
}

// store writes a file in requests of 1 MiB and syncs it if asked.
func store(t *testing.T, name string, p []byte, sync bool) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|unix.O_DIRECT, 0o600)
	must(t, err)
	for off := 0; off < len(p); off += request {
		_, err := f.WriteAt(p[off:off+request], int64(off))
		must(t, err)
	}
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

// load reads a file in requests of 1 MiB past the kernel's cache of the mount.
func load(t *testing.T, name string, p []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECT, 0)
	must(t, err)
	for off := int64(0); off < fileSize; off += request {
		_, err := f.ReadAt(p[:request], off)
		must(t, err)
	}
	must(t, f.Close())
}

// rounds is how often a workload may be repeated for the sake of its numbers of calls: on a busy machine the Go runtime wakes its threads through
// an eventfd, and those reads and writes of 8 bytes are among them. Work done twice is done twice in every round.
const rounds = 20

// guard counts a piece of work until it is within its bounds, and judges the last round.
func guard(t *testing.T, m *mounttest.Mount, name string, do func(round int), bounds func(d traffic) ([]bound, []exactly)) {
	t.Run(name, func(t *testing.T) {
		for round := range rounds {
			list, exact := bounds(count(t, m, func() { do(round) }))
			if round == rounds-1 || !over(list) {
				hold(t, list, exact...)
				return
			}
		}
	})
}

func over(list []bound) bool {
	for _, b := range list {
		if b.have > b.most {
			return true
		}
	}
	return false
}

// TestDaemon counts what the daemon does for requests of the kernel, those of FUSE included: one read for each request and one write for each
// reply.
func TestDaemon(t *testing.T) {
	dir := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 4 << 30}})
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: "reclaim=0,nolock_index"})
	data, p := aligned(t, fileSize), aligned(t, request)
	copy(data, random(21, fileSize))
	guardWrites(t, m, data)
	m = m.Remount("reclaim=0,nolock_index")
	guard(t, m, "first read", func(int) { load(t, m.Path("a"), p) }, func(d traffic) ([]bound, []exactly) {
		// Once only: what is read again is proved. So no number of calls here.
		return readBounds(d)[2:], []exactly{{"proofs", d.stats["block_verified"], fileSize / block}, {"hashes of writes", d.stats["hash"], 0}}
	})
	guard(t, m, "second read", func(int) { load(t, m.Path("a"), p) }, func(d traffic) ([]bound, []exactly) {
		return readBounds(d), []exactly{{"proofs", d.stats["block_verified"], 0}, {"hashes of writes", d.stats["hash"], 0}}
	})
	guardFiles(t, m, data)
}

func guardWrites(t *testing.T, m *mounttest.Mount, data []byte) {
	guard(t, m, "unique write", func(round int) {
		for off := 0; off < len(data); off += 4096 {
			data[off] += byte(round)
		}
		store(t, m.Path("a"), data, true)
	}, func(d traffic) ([]bound, []exactly) {
		return []bound{
			{"reads a MiB", per(d.syscr, megabytes), 2, "the request; entries that are overwritten"},
			{"writes a MiB", per(d.syscw, megabytes), 4.4, "reply, blocks, header, entries"},
			{"bytes read of bytes written", per(d.rchar, fileSize), 1.02, "the request"},
			{"bytes written of bytes written", per(d.wchar, fileSize), 1.02, "the blocks"},
			{"syncs of the block file", float64(d.stats["syncs"]), 1, "one for the fsync"},
		}, []exactly{{"hashes", d.stats["hash"], fileSize / block}, {"blocks written", d.stats["block_write"], fileSize / block}}
	})
	guard(t, m, "known write", func(round int) { store(t, m.Path("b"), data, false) }, func(d traffic) ([]bound, []exactly) {
		return []bound{
				{"reads a MiB", per(d.syscr, megabytes), 2.5, "the request; entries that are overwritten"},
				{"writes a MiB", per(d.syscw, megabytes), 3.3, "reply, header, entries"},
				{"bytes read of bytes written", per(d.rchar, fileSize), 1.02, "the request"},
				{"bytes written of bytes written", per(d.wchar, fileSize), 0.01, "entries"},
			}, []exactly{{"hashes", d.stats["hash"], fileSize / block}, {"links", d.stats["ghost_write"], fileSize / block},
				{"blocks written", d.stats["block_write"], 0}, {"syncs", d.stats["syncs"], 0}}
	})
}

func readBounds(d traffic) []bound {
	return []bound{
		{"reads a MiB", per(d.syscr, megabytes), 5, "the request, entries, blocks, entries to look ahead"},
		{"writes a MiB", per(d.syscw, megabytes), 1.5, "the reply"},
		{"bytes read of bytes read", per(d.rchar, fileSize), 1.05, "the blocks; what was read ahead in vain"},
		{"bytes written of bytes read", per(d.wchar, fileSize), 1.01, "the reply"},
	}
}

func guardFiles(t *testing.T, m *mounttest.Mount, data []byte) {
	const files = 1000
	guard(t, m, "small files", func(round int) {
		dir := m.Path(name(round))
		must(t, os.Mkdir(dir, 0o700))
		for i := range files {
			must(t, os.WriteFile(filepath.Join(dir, name(i)), data[i*4096+512+round:(i+1)*4096], 0o600))
		}
	}, func(d traffic) ([]bound, []exactly) {
		return []bound{
			{"reads a file", per(d.syscr, files), 8.5, "lookup, create, write, flush, release, and what is tried in vain"},
			{"writes a file", per(d.syscw, files), 11, "their replies, block, header, entry"},
		}, []exactly{{"hashes", d.stats["hash"], files}, {"syncs", d.stats["syncs"], 0}}
	})
	must(t, os.RemoveAll(m.Path(name(0))))
	guard(t, m, "reclaim", func(int) { m.Reclaim() }, func(d traffic) ([]bound, []exactly) {
		return []bound{
			{"reads", float64(d.syscr), 30, "header and entries of a few files, requests"},
			{"bytes read", float64(d.rchar), 60 << 10, "headers and entries"},
			{"bytes written", float64(d.wchar), 1700 << 10, "the pages of the index that changed, in runs of pages"},
		}, []exactly{{"proofs", d.stats["block_verified"], 0}, {"checkpoints", d.stats["checkpoints"], 1}}
	})
}
