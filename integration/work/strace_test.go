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

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// TestSystemCalls counts the daemon's system calls by their names, with strace. It is part of the long form: strace slows everything down,
// and not everybody may trace.
func TestSystemCalls(t *testing.T) {
	if os.Getenv("TRESOR_LONG") != "1" {
		t.Skip("the long form only (TRESOR_LONG=1)")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	dir := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 1 << 30}})
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: "reclaim=0,nolock_index"})
	data, p := aligned(t, fileSize), aligned(t, request)
	copy(data, random(22, fileSize))
	n := traced(t, m.PID, func() { store(t, m.Path("a"), data, true) })
	t.Run("unique write", func(t *testing.T) {
		hold(t, []bound{
			{"pwrite64 a MiB", per(n["pwrite64"], megabytes), 3.3, "blocks, header, entries"},
			{"pread64 a MiB", per(n["pread64"], megabytes), 0.3, "none of the blocks"},
			{"sync_file_range a MiB", per(n["sync_file_range"], megabytes), 0.17, "a window of 8 MiB each"},
			{"fdatasync", float64(n["fdatasync"]), 2, "block file and underlying file"},
			{"fsync", float64(n["fsync"]), 4, "the clean flag's directory, the name's directory"},
			{"mmap a MiB", per(n["mmap"]+n["munmap"]+n["madvise"], megabytes), 2, "memory is kept: buffers of the pipeline, once"},
		})
	})
	n = traced(t, m.PID, func() { load(t, m.Path("a"), p) })
	t.Run("read", func(t *testing.T) {
		hold(t, []bound{
			{"pread64 a MiB", per(n["pread64"], megabytes), 3.3, "entries, blocks, entries to look ahead"},
			{"fadvise64 a MiB", per(n["fadvise64"], megabytes), 0.8, "what comes next, where it is not a neighbour"},
			{"pwrite64", float64(n["pwrite64"]), 0, "nothing is changed"},
			{"syncs", float64(n["fdatasync"] + n["fsync"]), 0, "nothing is changed"},
		})
	})
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
