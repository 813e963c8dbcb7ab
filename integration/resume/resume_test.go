package resume

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// size of the file that is copied, and the share of it that the second run may read.
const (
	size  = 2 << 30
	share = 15 // percent
)

// world is a service with one disk, and a source on a disk of its own.
type world struct {
	t                    *testing.T
	dir, bin             string
	config, source, file string
	loop                 string // of the source, such as loop7
	before               int64  // bytes that were read of it by others
	serve                *exec.Cmd
	log                  *os.File
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// command runs a program and returns what it said.
func (w *world) command(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("TRESOR_LONG") == "" {
		t.Skip("2 GiB are copied twice: with TRESOR_LONG=1 only")
	}
	if os.Getuid() != 0 {
		t.Skip("mounts and loop devices want root")
	}
	for _, p := range []string{"fusermount3", "mkfs.ext4", "findmnt", "mount", "umount"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	w := &world{t: t, dir: dir, bin: filepath.Join(dir, "bin"), config: filepath.Join(dir, "tresor.toml"), source: filepath.Join(dir, "source")}
	w.file = filepath.Join(w.source, "disk image")
	_, here, _, _ := runtime.Caller(0)
	for _, name := range []string{"tresor", "ddumbfs"} {
		c := exec.Command("go", "build", "-o", filepath.Join(w.bin, name), "./cmd/"+name)
		c.Dir = filepath.Join(filepath.Dir(here), "..", "..")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	w.log, err = os.Create(filepath.Join(dir, "service.log"))
	must(t, err)
	t.Cleanup(func() { w.log.Close() })
	w.disk("source.img", size+size/8)
	must(t, os.Mkdir(w.source, 0o755))
	w.mount()
	t.Cleanup(w.unmount)
	f, err := os.Create(w.file)
	must(t, err)
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{5}), size)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	w.disk("disk.img", 2*size)
	must(t, os.WriteFile(w.config, fmt.Appendf(nil, `
[paths]
volume_mount = %[1]q
second_mount = %[2]q
disks = %[3]q
state = %[4]q
index = %[5]q
socket = %[6]q
temporary = %[7]q
buffer = ""
volume_subdir = "old disks"
[backup]
retry_after = "1s"
[verify]
source_again = false
[schedule]
start = []
switch_after_round = false
[log]
journal = false
[[source.dir]]
name = "image"
paths = [%[8]q]
[[volume]]
name = "disk"
kind = "loop"
file = %[9]q
`, w.path("volume"), w.path("second"), w.path("disks"), w.path("state"), w.path("index"), w.path("run", "sock"), w.path("run", "snapshots"), w.source, w.path("disk.img")), 0o600))
	return w
}

func (w *world) path(name ...string) string {
	return filepath.Join(append([]string{w.dir}, name...)...)
}

// disk makes a file with an empty file system.
func (w *world) disk(name string, bytes int64) {
	w.t.Helper()
	must(w.t, os.WriteFile(w.path(name), nil, 0o600))
	must(w.t, os.Truncate(w.path(name), bytes))
	w.command("mkfs.ext4", "-q", "-F", w.path(name))
}

// mount mounts the source, with nothing of it in memory.
func (w *world) mount() {
	w.t.Helper()
	w.command("mount", "-o", "loop", w.path("source.img"), w.source)
	out := w.command("findmnt", "--noheadings", "--output", "SOURCE", w.source)
	w.loop, w.before = filepath.Base(strings.TrimSpace(out)), 0
	w.before = w.read()
}

// forget takes the source out of memory.
func (w *world) forget() {
	w.t.Helper()
	w.unmount()
	w.mount()
}

// unmount unmounts the source. Whoever served the volume may still hold what it was reading when the service was killed.
func (w *world) unmount() {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command("umount", w.source).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("unmount the source: %v\n%s", err, out)
		}
	}
}

// read is how many bytes were read of the source's disk since it was mounted.
func (w *world) read() int64 {
	w.t.Helper()
	text, err := os.ReadFile("/sys/block/" + w.loop + "/stat")
	must(w.t, err)
	sectors, err := strconv.ParseInt(strings.Fields(string(text))[2], 10, 64)
	must(w.t, err)
	return sectors*512 - w.before
}

func (w *world) logged() string {
	text, _ := os.ReadFile(w.log.Name())
	return string(text[max(0, len(text)-5000):])
}

func (w *world) verb(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(w.bin, "tresor"), append(args, "--config", w.config)...).CombinedOutput()
	return string(out), err
}

func (w *world) ok(args ...string) string {
	w.t.Helper()
	out, err := w.verb(args...)
	if err != nil {
		w.t.Fatalf("tresor %q: %v\n%s\n%s", args, err, out, w.logged())
	}
	return out
}

// start starts the service and waits until it answers.
func (w *world) start() {
	w.t.Helper()
	w.serve = exec.Command(filepath.Join(w.bin, "tresor"), "serve", "--config", w.config)
	w.serve.Stdout, w.serve.Stderr = w.log, w.log
	must(w.t, w.serve.Start())
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if out, err := w.verb("status"); err == nil && strings.HasPrefix(out, "The service runs") {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("the service does not answer:\n%s", w.logged())
		}
	}
}

func (w *world) stop() {
	w.t.Helper()
	if w.serve == nil {
		return
	}
	if out, err := w.verb("stop", "--now"); err != nil {
		w.t.Errorf("stop: %v\n%s\n%s", err, out, w.logged())
		_ = w.serve.Process.Kill()
	}
	_ = w.serve.Wait()
	w.serve = nil
}

// kill kills the service, and with daemon the process that serves the volume too: all that was not synced by then is what a power cut leaves at best.
func (w *world) kill(daemon bool) {
	w.t.Helper()
	must(w.t, w.serve.Process.Kill())
	_ = w.serve.Wait() // it says that it was killed
	w.serve = nil
	if !daemon {
		return
	}
	list, err := filepath.Glob("/proc/[0-9]*/exe")
	must(w.t, err)
	killed := 0
	for _, name := range list {
		if exe, err := os.Readlink(name); err != nil || exe != filepath.Join(w.bin, "ddumbfs") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		must(w.t, err)
		must(w.t, unix.Kill(pid, unix.SIGKILL))
		killed++
	}
	if killed == 0 {
		w.t.Error("no process served the volume")
	}
}

// jobs is what `jobs --all --json` says, as far as it is of interest.
type jobs []struct {
	State, Error string
	Published    bool
}

// published waits for the end of the one job.
func (w *world) published() {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var list jobs
		text := w.ok("jobs", "--all", "--json")
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			w.t.Fatalf("jobs: %v\n%s", err, text)
		}
		if len(list) != 1 {
			w.t.Fatalf("jobs: %+v, want one", list)
		}
		if list[0].Published {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("it does not end: %+v\n%s", list, w.logged())
		}
	}
}

// TestKilledAtNinetyPercent: a copy of 2 GiB is killed when it has read 90 % of its source. The second run reads at most 15 %, and what is published is whole.
// That is the copy: a verification that is to read the source a second time (verify.source_again) does so in any case.
func TestKilledAtNinetyPercent(t *testing.T) {
	for name, daemon := range map[string]bool{"the service": false, "the service and the volume": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			t.Cleanup(w.stop)
			w.start()
			w.ok("volumes", "reinit", "disk", "--yes-really", "disk", "--size", "3G")
			w.forget()
			w.ok("run", "--no-wait")
			for end := time.Now().Add(time.Minute); w.read() < size/10*9; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it does not come to 90 %%: %d bytes are read\n%s", w.read(), w.logged())
				}
			}
			first := w.read()
			w.kill(daemon)
			w.forget()
			w.start()
			w.published()
			second := w.read()
			t.Logf("the first run read %.1f %%, the second %.1f %% of %d bytes", percent(first), percent(second), int64(size))
			if second > size*share/100 || second < size/20 {
				t.Errorf("the second run read %d bytes of %d, want at most %d %%", second, int64(size), share)
			}
			w.compare()
		})
	}
}

func percent(n int64) float64 { return 100 * float64(n) / size }

// compare holds the one published backup against the source.
func (w *world) compare() {
	w.t.Helper()
	list, err := filepath.Glob(w.path("volume", "old disks", "image-*"))
	must(w.t, err)
	if len(list) != 1 {
		w.t.Fatalf("published: %q, want one backup", list)
	}
	w.command("cmp", w.file, filepath.Join(list[0], w.file))
}
