package work

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// calls are what a process has read and written by system calls since it was started, and what of it the disk had to read (proc(5), io).
type calls struct{ rchar, wchar, syscr, syscw, disk int64 }

func callsOf(t *testing.T, pid int) (c calls) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/io", pid))
	must(t, err)
	defer f.Close()
	seen := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		for name, at := range map[string]*int64{"rchar": &c.rchar, "wchar": &c.wchar, "syscr": &c.syscr, "syscw": &c.syscw, "read_bytes": &c.disk} {
			if text, ok := strings.CutPrefix(lines.Text(), name+": "); ok {
				_, err := fmt.Sscan(text, at)
				must(t, err)
				seen++
			}
		}
	}
	if seen != 5 {
		t.Fatalf("/proc/%d/io: %d of 5 lines found", pid, seen)
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
	return traffic{calls{after.rchar - before.rchar, after.wchar - before.wchar, after.syscr - before.syscr, after.syscw - before.syscw,
		after.disk - before.disk}, m.Stats()}
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

// How often a workload may be repeated for the sake of its numbers of calls, and for how long: no round begins after it. Those that forget the block file each time, most of which
// also check the volume and mount it anew, take seconds each where the machine is busy.
const (
	rounds     = 20
	coldRounds = 6
	patience   = time.Minute
)

// dropTime is how long the kernel may take to drop the caches of all file systems: it counts that when it is through, perhaps long after it came by ours.
const dropTime = 10 * time.Second

// limits of what a daemon does. Its numbers of calls alone have a second chance: on a busy machine the Go runtime wakes its threads through an eventfd, and
// those reads and writes of 8 bytes are among them, some hundred in a bad moment. One round without them shows what the work itself takes,
// since work done twice is done twice in every round. All of them have it where another test dropped the caches of the whole machine meanwhile: then the kernel asks
// for some of it again, which may prove a block twice, and the daemon reads its own program again. Else everything holds in each.
type limits struct {
	calls, other []bound
	exact        []exactly
}

// guard counts a piece of work until its numbers of calls are within their bounds.
func guard(t *testing.T, m *mounttest.Mount, name string, do func(round int), of func(d traffic) limits) {
	t.Helper()
	guardTraffic(t, name, rounds, func(t *testing.T, round int) traffic { return count(t, m, func() { do(round) }) }, of)
}

// guardTraffic is guard for work that counts itself, such as what needs a mount of its own each time.
func guardTraffic(t *testing.T, name string, most int, do func(t *testing.T, round int) traffic, of func(d traffic) limits) {
	t.Helper()
	guardLimits(t, name, most, func(t *testing.T, round int) limits { return of(do(t, round)) })
}

// guardLimits is the same for any counts: at most so many rounds until one is within the bounds of its numbers of calls.
func guardLimits(t *testing.T, name string, most int, do func(t *testing.T, round int) limits) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		begin := time.Now()
		for round := range most {
			before := drops(t)
			l := do(t, round)
			dropped := drops(t) != before
			if !dropped && !l.rest() {
				dropped = mounttest.Until(dropTime, func() bool { return drops(t) != before })
			}
			switch {
			case round == most-1 || time.Since(begin) > patience || !over(l.calls) && (!dropped || l.rest()):
				hold(t, append(l.calls, l.other...), l.exact...)
				return
			case !dropped:
				hold(t, l.other, l.exact...)
			}
			t.Logf("round %d: %v (caches dropped: %t): not within the bounds, once more", round, l, dropped)
		}
	})
}

// drops is how often the caches of the machine were dropped (vmstat of proc(5)).
func drops(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/vmstat")
	must(t, err)
	var n []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "drop_") {
			n = append(n, line)
		}
	}
	if len(n) == 0 {
		t.Fatal("/proc/vmstat: no counts of dropped caches found")
	}
	return strings.Join(n, "")
}

// rest tells whether all but the numbers of calls are within their bounds.
func (l *limits) rest() bool {
	return !over(l.other) && !slices.ContainsFunc(l.exact, func(e exactly) bool { return e.have != e.want })
}

func over(list []bound) bool {
	return slices.ContainsFunc(list, func(b bound) bool { return b.have > b.most })
}

// options of the mounts: nothing begins by itself.
const options = "reclaim=0,nolock_index"

// TestDaemon counts what the daemon does for requests of the kernel, those of FUSE included: one read for each request and one write for each
// reply.
func TestDaemon(t *testing.T) {
	dir := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 4 << 30}})
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options})
	data, p := aligned(t, fileSize), aligned(t, request)
	copy(data, random(21, fileSize))
	guardWrites(t, m, data)
	guardTraffic(t, "first direct read", coldRounds, func(t *testing.T, _ int) traffic {
		m = m.Remount(options) // what was read once is proved
		return count(t, m, func() { load(t, m.Path("a"), p) })
	}, func(d traffic) limits {
		return limits{
			calls: []bound{
				{"reads a MiB", per(d.syscr, megabytes), 5, "the request, entries, blocks, entries to look ahead"},
				{"writes a MiB", per(d.syscw, megabytes), 1.5, "the reply"},
			},
			other: []bound{
				{"bytes read of bytes read", per(d.rchar, fileSize), 1.05, "the blocks; what was read ahead in vain"},
				{"bytes written of bytes read", per(d.wchar, fileSize), 1.01, "the reply"},
			},
			exact: []exactly{{"proofs", d.stats["block_verified"], fileSize / block}, {"hashes of writes", d.stats["hash"], 0}},
		}
	})
	guardTraffic(t, "second direct read", rounds, func(t *testing.T, _ int) traffic {
		inMemory(t, dir)
		return count(t, m, func() { load(t, m.Path("a"), p) })
	}, func(d traffic) limits {
		return limits{
			calls: []bound{
				{"reads a MiB", per(d.syscr, megabytes), 3.4, "the request, entries; no blocks"},
				{"writes a MiB", per(d.syscw, megabytes), 1.5, "the reply"},
			},
			other: []bound{
				{"bytes read of bytes read", per(d.rchar, fileSize), 0.01, "requests, entries: the kernel copies the blocks from where they are"},
				{"bytes written of bytes read", per(d.wchar, fileSize), 1.01, "the reply"},
			},
			exact: []exactly{{"proofs", d.stats["block_verified"], 0}, {"hashes of writes", d.stats["hash"], 0}},
		}
	})
	guardFiles(t, m, data)
}

func guardWrites(t *testing.T, m *mounttest.Mount, data []byte) {
	guard(t, m, "unique write", func(round int) {
		for off := 0; off < len(data); off += 4096 {
			data[off] += byte(round)
		}
		store(t, m.Path("a"), data, true)
	}, func(d traffic) limits {
		return limits{
			calls: []bound{
				{"reads a MiB", per(d.syscr, megabytes), 2, "the request; entries that are overwritten"},
				{"writes a MiB", per(d.syscw, megabytes), 4.4, "reply, blocks, header, entries"},
			},
			other: []bound{
				{"bytes read of bytes written", per(d.rchar, fileSize), 1.02, "the request"},
				{"bytes written of bytes written", per(d.wchar, fileSize), 1.02, "the blocks"},
				{"syncs of the block file", float64(d.stats["syncs"]), 1, "one for the fsync"},
			},
			exact: []exactly{{"hashes", d.stats["hash"], fileSize / block}, {"blocks written", d.stats["block_write"], fileSize / block}},
		}
	})
	guard(t, m, "known write", func(round int) { store(t, m.Path("b"), data, false) }, func(d traffic) limits {
		return limits{
			calls: []bound{
				{"reads a MiB", per(d.syscr, megabytes), 2.5, "the request; entries that are overwritten"},
				{"writes a MiB", per(d.syscw, megabytes), 3.3, "reply, header, entries"},
			},
			other: []bound{
				{"bytes read of bytes written", per(d.rchar, fileSize), 1.02, "the request"},
				{"bytes written of bytes written", per(d.wchar, fileSize), 0.01, "entries"},
			},
			exact: []exactly{{"hashes", d.stats["hash"], fileSize / block}, {"links", d.stats["ghost_write"], fileSize / block},
				{"blocks written", d.stats["block_write"], 0}, {"syncs", d.stats["syncs"], 0}},
		}
	})
}

func guardFiles(t *testing.T, m *mounttest.Mount, data []byte) {
	const files = 1000
	var dirs []string
	guard(t, m, "small files", func(round int) {
		dir := m.Path(name(round))
		must(t, os.Mkdir(dir, 0o700))
		dirs = append(dirs, dir)
		for i := range files {
			must(t, os.WriteFile(filepath.Join(dir, name(i)), data[i*4096+512+round:(i+1)*4096], 0o600))
		}
	}, func(d traffic) limits {
		return limits{
			calls: []bound{
				{"reads a file", per(d.syscr, files), 8.5, "lookup, create, write, flush, release, and what is tried in vain"},
				{"writes a file", per(d.syscw, files), 11, "their replies, block, header, entry"},
			},
			exact: []exactly{{"hashes", d.stats["hash"], files}, {"syncs", d.stats["syncs"], 0}},
		}
	})
	for _, dir := range dirs { // those of all rounds, or the reclaim would look at their files
		must(t, os.RemoveAll(dir))
	}
	guard(t, m, "reclaim", func(int) { m.Reclaim() }, func(d traffic) limits {
		return limits{
			calls: []bound{{"reads", float64(d.syscr), 30, "header and entries of a few files, requests"}},
			other: []bound{
				{"bytes read", float64(d.rchar), 60 << 10, "headers and entries"},
				{"bytes written", float64(d.wchar), 1700 << 10, "the pages of the index that changed, in runs of pages"},
			},
			exact: []exactly{{"proofs", d.stats["block_verified"], 0}, {"checkpoints", d.stats["checkpoints"], 1}},
		}
	})
}
