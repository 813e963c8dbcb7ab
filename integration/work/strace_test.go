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
// by nobody else.
func TestSystemCalls(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	dir := newStoredVolume(t, 26)
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options})
	data, p := aligned(t, fileSize), aligned(t, request)
	copy(data, random(22, fileSize))
	n := traced(t, m.PID, func() { store(t, m.Path("b"), data, true) })
	t.Run("unique write", func(t *testing.T) {
		hold(t, []bound{
			{"pwrite64 a MiB", per(n["pwrite64"], megabytes), 3.3, "blocks, header, entries"},
			{"pread64 a MiB", per(n["pread64"], megabytes), 0.3, "none of the blocks"},
			{"sync_file_range a MiB", per(n["sync_file_range"], megabytes), 0.17, "a window of 8 MiB each"},
			{"fdatasync", float64(n["fdatasync"]), 2, "block file and underlying file"},
			{"fsync", float64(n["fsync"]), 4, "the clean flag's directory, the name's directory"},
			{"mmap, munmap, madvise a MiB", per(n["mmap"]+n["munmap"]+n["madvise"], megabytes), 2, "memory is kept: buffers of the pipeline, once"},
		})
	})
	cold := func(name string, maps float64) {
		forget(t, m.Path("a"))
		cool(t, dir)
		n := traced(t, m.PID, func() { loadCached(t, m.Path("a"), p) })
		t.Run(name, func(t *testing.T) {
			hold(t, []bound{
				{"pread64 a MiB", per(n["pread64"], megabytes), 3.3, "entries, blocks, entries to look ahead"},
				{"mincore a MiB", per(n["mincore"], megabytes), 1.5, "one for each request, one more where a window ends"},
				{"mmap, munmap a MiB", per(n["mmap"]+n["munmap"], megabytes), maps, "a window of 4 MiB each, at first; stacks of new threads"},
				{"madvise a MiB", per(n["madvise"], megabytes), 1.5, "what was looked at is given back"},
				{"fadvise64 a MiB", per(n["fadvise64"], megabytes), 0, "long runs need none"},
			}, nothingChanged(n)...)
		})
	}
	cold("cold read", 1)
	cold("cold read of what is proved", 0.3)
	inMemory(t, dir)
	n = traced(t, m.PID, func() { load(t, m.Path("a"), p) })
	t.Run("direct read", func(t *testing.T) {
		hold(t, []bound{
			{"pread64 a MiB", per(n["pread64"], megabytes), 1.6, "entries; no blocks"},
			{"mincore a MiB", per(n["mincore"], megabytes), 1.5, "one for each request, one more where a window ends"},
			{"madvise a MiB", per(n["madvise"], megabytes), 3, "populated, and given back"},
			{"mmap, munmap a MiB", per(n["mmap"]+n["munmap"], megabytes), 0.3, "the windows are there"},
			{"fadvise64 a MiB", per(n["fadvise64"], megabytes), 0, "everything is there"},
		}, nothingChanged(n)...)
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
		t.Skipf("strace may not look at the daemon: %s", lines.Text())
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
