package command

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDaemonInheritsNothing starts a daemon from a process with an open descriptor that would be inherited: a lock held through it would be
// held until the unmount. And the daemon is one that the kernel does not make wait for dirty pages of its own clients.
func TestDaemonInheritsNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "inherited")
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR, 0o600) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_, mnt := mountedVolume(t)
	proc := filepath.Join("/proc", strconv.Itoa(daemonOf(t, mnt)))
	list, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil || len(list) < 3 {
		t.Fatalf("descriptors of the daemon: have %d, %v", len(list), err)
	}
	for _, d := range list {
		if to, _ := os.Readlink(filepath.Join(proc, "fd", d.Name())); to == name {
			t.Errorf("descriptor %s of the daemon is %s, which it has inherited", d.Name(), to)
		}
	}
	// PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE of linux/sched.h, both of which PR_SET_IO_FLUSHER sets; they are in the same places since it exists.
	const flusher = 0x00080000 | 0x00100000
	if err := unix.Prctl(unix.PR_GET_IO_FLUSHER, 0, 0, 0, 0); err != nil {
		t.Logf("the mark of an IO flusher cannot be looked for: %v (it wants CAP_SYS_RESOURCE, and Linux 5.6)", err)
		return
	}
	tasks, err := filepath.Glob(filepath.Join(proc, "task", "*", "stat"))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("threads of the daemon: have %d, %v", len(tasks), err)
	}
	for _, task := range tasks {
		line, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that ended
		}
		_, rest, _ := strings.Cut(string(line), ") ") // behind the name: state, then numbers; the flags are the ninth field of all
		fields := strings.Fields(rest)
		flags, err := strconv.ParseUint(fields[6], 10, 64)
		if err != nil || flags&flusher != flusher {
			t.Errorf("%s: have flags %#x (%v), want %#x in them", task, flags, err, flusher)
		}
	}
}
