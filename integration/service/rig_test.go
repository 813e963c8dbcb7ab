package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// programs builds both programs, once for each test process.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tresor-programs-")
	if err != nil {
		return "", err
	}
	_, source, _, _ := runtime.Caller(0)
	for _, name := range []string{"tresor", "ddumbfs"} {
		c := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./cmd/"+name)
		c.Dir = filepath.Join(filepath.Dir(source), "..", "..")
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := programs(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// rig is a service with its disks.
type rig struct {
	t     *testing.T
	dir   string
	more  string   // of the configuration
	env   []string // of the service, beside ours
	serve *exec.Cmd
	log   *os.File
}

// sources of a rig: a folder that goes straight, an image by the buffer.
const imageSize = 24 << 20

func newRig(t *testing.T, more string) *rig {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounts and loop devices want root")
	}
	for _, p := range []string{"fusermount3", "mkfs.ext4", "losetup"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	r := &rig{t: t, dir: dir, more: more}
	r.log, err = os.Create(r.path("service.log"))
	must(t, err)
	t.Cleanup(r.clean)
	random := rand.New(rand.NewPCG(7, 7))
	must(t, os.MkdirAll(r.path("office", "Büro 1"), 0o755))
	for i := range 20 {
		r.write(r.path("office", "Büro 1", fmt.Sprintf("file %d", i)), noise(random, 10_000+i*5000))
	}
	must(t, os.MkdirAll(r.path("mail"), 0o755))
	r.write(r.path("mail", "disk.img"), noise(random, imageSize))
	for _, d := range []string{"disk-a", "disk-b"} {
		must(t, os.WriteFile(r.path(d+".img"), nil, 0o600))
		must(t, os.Truncate(r.path(d+".img"), 700<<20))
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", r.path(d+".img")).CombinedOutput(); err != nil {
			t.Fatalf("mkfs: %v %s", err, out)
		}
	}
	r.configure()
	r.start()
	for _, d := range []string{"disk-a", "disk-b"} {
		r.ok("volumes", "reinit", d, "--yes-really", d, "--size", "400M")
	}
	// A service that never saw the disks while they were empty: it begins with the first one.
	r.ok("stop")
	must(t, r.serve.Wait())
	r.serve = nil
	must(t, os.RemoveAll(r.path("state")))
	r.start()
	return r
}

func (r *rig) path(name ...string) string { return filepath.Join(append([]string{r.dir}, name...)...) }

func (r *rig) write(name string, data []byte) {
	r.t.Helper()
	must(r.t, os.WriteFile(name, data, 0o640))
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func (r *rig) configure() {
	r.t.Helper()
	text := fmt.Sprintf(`
[paths]
buffer = %[1]q
volume_mount = %[2]q
second_mount = %[3]q
disks = %[4]q
state = %[5]q
index = %[6]q
socket = %[7]q
temporary = %[8]q
signals = %[9]q
[backup]
retry_after = "1s"
attempts = 5
[buffer]
reserve = 1000000
[schedule]
start = []
switch_after_round = false
[log]
journal = false
[[source.dir]]
name = "office"
paths = [%[10]q]
[[source.dir]]
name = "mail 1"
paths = [%[11]q]
via = "buffer"
[[volume]]
name = "disk-a"
kind = "loop"
file = %[12]q
[[volume]]
name = "disk-b"
kind = "loop"
file = %[13]q
%[14]s
`, r.path("buffer"), r.path("volume"), r.path("second"), r.path("disks"), r.path("state"), r.path("index"), r.path("run", "sock"), r.path("run", "snapshots"), r.path("signals"),
		r.path("office"), r.path("mail"), r.path("disk-a.img"), r.path("disk-b.img"), r.more)
	must(r.t, os.MkdirAll(r.path("signals"), 0o755))
	r.write(r.path("tresor.toml"), []byte(text))
	must(r.t, os.Chmod(r.path("tresor.toml"), 0o640))
}

// start starts the service and returns when it answers.
func (r *rig) start() {
	r.t.Helper()
	bin, err := programs()
	must(r.t, err)
	r.serve = exec.Command(filepath.Join(bin, "tresor"), "serve", "--config", r.path("tresor.toml"))
	r.serve.Stdout, r.serve.Stderr = r.log, r.log
	r.serve.Env = append(os.Environ(), r.env...)
	must(r.t, r.serve.Start())
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if out := r.run("status"); out.code == 0 && strings.HasPrefix(out.out, "The service runs") {
			return
		}
		if time.Now().After(end) || r.gone() {
			r.t.Fatalf("the service does not answer:\n%s", r.logged())
		}
	}
}

// gone tells whether the service has ended by itself: it is a zombie then, since nobody has waited for it.
func (r *rig) gone() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.serve.Process.Pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(rest, "Z")
}

func (r *rig) logged() string {
	text, err := os.ReadFile(r.path("service.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-6000):])
}

// kill kills the service, and nothing else.
func (r *rig) kill() {
	r.t.Helper()
	must(r.t, r.serve.Process.Kill())
	_ = r.serve.Wait() // it says that it was killed
	r.serve = nil
}

// output of a verb.
type output struct {
	out, err string
	code     int
}

func (r *rig) run(args ...string) output {
	r.t.Helper()
	bin, err := programs()
	must(r.t, err)
	c := exec.Command(filepath.Join(bin, "tresor"), append(args, "--config", r.path("tresor.toml"))...)
	var out, msg bytes.Buffer
	c.Stdout, c.Stderr = &out, &msg
	err = c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return output{out.String(), msg.String(), c.ProcessState.ExitCode()}
}

func (r *rig) ok(args ...string) string {
	r.t.Helper()
	o := r.run(args...)
	if o.code != 0 {
		r.t.Fatalf("tresor %q: exit status %d\n%s%s\n%s", args, o.code, o.out, o.err, r.logged())
	}
	return o.out
}

// state is what `status --json` says, as far as tests look at it.
type state struct {
	Running  bool
	Volume   string
	TakeAway []string `json:"take_away"`
	Round    *struct{ ID string }
	Switch   *struct{ Soft bool }
	Jobs     []jobState
	Failed   []jobState `json:"failed_jobs"`
	Last     *struct {
		Machines []struct{ Machine, Outcome, Text, Backup string }
	} `json:"last_round"`
	Machines []struct {
		Name string
		Good time.Time
	}
	Counters struct {
		Rounds, Backups, Failures, Published, Mismatches, Switches int64
		JobsFailed                                                 int64 `json:"jobs_failed"`
	}
}

type jobState struct {
	ID, Backup, State, Error string
	Done, Bytes              int64
	Published                bool
}

func (r *rig) status() (s state) {
	r.t.Helper()
	must(r.t, json.Unmarshal([]byte(r.ok("status", "--json")), &s))
	return s
}

// until polls the status.
func (r *rig) until(what string, ok func(state) bool) state {
	r.t.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s := r.status()
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			r.t.Fatalf("never: %s; have %+v\n%s", what, s, r.logged())
		}
	}
}

func settled(s state) bool { return len(s.Jobs) == 0 && s.Round == nil && s.Switch == nil }

// backup as `backups --json` lists it.
type backup struct {
	Name, Machine, Verdict, Reason, Dir string
}

func (r *rig) backups() (volume string, list, buffer []backup) {
	r.t.Helper()
	var o struct {
		Volume   string
		OnVolume []backup `json:"on_volume"`
		OnBuffer []backup `json:"on_buffer"`
	}
	must(r.t, json.Unmarshal([]byte(r.ok("backups", "--json")), &o))
	return o.Volume, o.OnVolume, o.OnBuffer
}

// clean ends the service and takes everything away.
func (r *rig) clean() {
	if r.serve != nil {
		_ = r.serve.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- r.serve.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				r.t.Errorf("the service ended with %v\n%s", err, r.logged())
			}
		case <-time.After(60 * time.Second):
			r.t.Errorf("the service does not end\n%s", r.logged())
			_ = r.serve.Process.Kill()
		}
	}
	if r.t.Failed() {
		r.t.Logf("log of the service:\n%s", r.logged())
	}
	mounts, err := index.Mounts()
	if err != nil {
		r.t.Error(err)
	}
	for _, m := range slices.Backward(mounts) {
		if strings.HasPrefix(m.Point, r.dir+"/") {
			r.t.Errorf("%s is still mounted", m.Point)
			if err := unix.Unmount(m.Point, unix.MNT_DETACH); err != nil {
				r.t.Error(err)
			}
		}
	}
	var left []string
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // the kernel lets go of them a moment after the unmount
		if left = r.loops(); len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, device := range left {
		r.t.Errorf("loop device %s is still there", device)
		_ = exec.Command("losetup", "--detach", device).Run()
	}
	r.log.Close()
}

// loops are the loop devices of this rig.
func (r *rig) loops() (list []string) {
	out, err := exec.Command("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").Output()
	if err != nil {
		r.t.Error(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], r.dir+"/") {
			list = append(list, f[0])
		}
	}
	return list
}

// seed is that of TRESOR_SEED, or a new one, and is printed.
func seed(t *testing.T) *rand.Rand {
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("TRESOR_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("TRESOR_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 8))
}
