package work

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
)

// TestSystemCalls counts the daemon's system calls by their names, with strace, where it is installed and may look: those that move no bytes are seen
// by nobody else. There are several rounds, as in guardTraffic: what the kernel forgets when another test of this machine drops its caches it asks for again, in short requests
// that need advice, and the Go runtime gives memory back with madvise when it thinks fit.
func TestSystemCalls(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: the calls that move no bytes are not counted")
	}
	dir := newStoredVolume(t, 26)
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options})
	traced(t, m.PID, func() { _ = os.Remove(m.Path("none")) }) // skips all of the test where strace may not look
	data, p := aligned(t, fileSize), aligned(t, request)
	guardLimits(t, "unique write", coldRounds, func(t *testing.T, round int) limits { // each a file of its own: there is no room for more
		copy(data, random(byte(50+round), fileSize))
		n := traced(t, m.PID, func() { store(t, m.Path(name(round)), data, true) })
		return limits{calls: []bound{
			{"pwrite64 a MiB", per(n["pwrite64"], megabytes), 3.3, "blocks, header, entries"},
			{"pread64 a MiB", per(n["pread64"], megabytes), 0.3, "none of the blocks"},
			{"sync_file_range a MiB", per(n["sync_file_range"], megabytes), 0.17, "a window of 8 MiB each"},
			{"mmap, munmap, madvise a MiB", per(n["mmap"]+n["munmap"]+n["madvise"], megabytes), 2, "memory is kept: buffers of the pipeline, once"},
		}, other: []bound{
			{"fdatasync", float64(n["fdatasync"]), 2, "block file and underlying file"},
			{"fsync", float64(n["fsync"]), 4, "the clean flag's directory, the name's directory"},
		}}
	})
	cold := func(t *testing.T, maps float64) limits {
		forget(t, m.Path("a"))
		cool(t, dir)
		n := traced(t, m.PID, func() { loadCached(t, m.Path("a"), p) })
		return limits{calls: []bound{
			{"pread64 a MiB", per(n["pread64"], megabytes), 3.3, "entries, blocks, entries to look ahead"},
			{"mincore a MiB", per(n["mincore"], megabytes), 1.5, "one for each request, one more where a window ends"},
			{"mmap, munmap a MiB", per(n["mmap"]+n["munmap"], megabytes), maps, "a window of 4 MiB each, at first; stacks of new threads"},
			{"madvise a MiB", per(n["madvise"], megabytes), 1.5, "what was looked at is given back"},
			{"fadvise64 a MiB", per(n["fadvise64"], megabytes), 0, "long runs need none"},
		}, exact: nothingChanged(n)}
	}
	guardLimits(t, "cold read", coldRounds, func(t *testing.T, _ int) limits {
		m = m.Remount(options) // what was read once is proved, and its windows are there
		return cold(t, 1)
	})
	guardLimits(t, "cold read of what is proved", coldRounds, func(t *testing.T, _ int) limits { return cold(t, 0.3) })
	inMemory(t, dir)
	guardLimits(t, "direct read", rounds, func(t *testing.T, _ int) limits {
		n := traced(t, m.PID, func() { load(t, m.Path("a"), p) })
		return limits{calls: []bound{
			{"pread64 a MiB", per(n["pread64"], megabytes), 1.6, "entries; no blocks"},
			{"mincore a MiB", per(n["mincore"], megabytes), 1.5, "one for each request, one more where a window ends"},
			{"madvise a MiB", per(n["madvise"], megabytes), 3, "populated, and given back"},
			{"mmap, munmap a MiB", per(n["mmap"]+n["munmap"], megabytes), 0.3, "the windows are there"},
			{"fadvise64 a MiB", per(n["fadvise64"], megabytes), 0, "everything is there"},
		}, exact: nothingChanged(n)}
	})
}

// nothingChanged is what a read does not do.
func nothingChanged(n map[string]int64) []exactly {
	return []exactly{{"pwrite64", n["pwrite64"], 0}, {"syncs", n["fdatasync"] + n["fsync"] + n["sync_file_range"], 0}}
}

// traced counts the system calls of a process while do runs.
func traced(t *testing.T, pid int, do func()) map[string]int64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command("strace", "-c", "-f", "-o", out, "-p", strconv.Itoa(pid))
	says, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(says)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		_ = cmd.Wait()
		t.Skipf("strace may not look at the daemon, the calls that move no bytes are not counted: %s", lines.Text())
	}
	do()
	must(t, cmd.Process.Signal(unix.SIGINT))
	for lines.Scan() {
	}
	_ = cmd.Wait() // its exit code says that it was interrupted
	text, err := os.ReadFile(out)
	must(t, err)
	n := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		// % time, seconds, usecs/call, calls, perhaps errors, name
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if calls, err := strconv.ParseInt(f[3], 10, 64); err == nil {
			n[f[len(f)-1]] += calls
		}
	}
	if len(n) == 0 {
		t.Fatalf("strace: no counts in\n%s", text)
	}
	t.Log(fmt.Sprint(n))
	return n
}
