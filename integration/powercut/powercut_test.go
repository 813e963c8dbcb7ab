package powercut

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// lab is a built guest and what is run in it.
type lab struct {
	t     *testing.T
	run   string // the program that boots it
	share string // directory that the guest sees
	dir   string // of the disk
	disk  diskKind
	cuts  int
	rnd   *rand.Rand
}

// diskKind is the kind of disk the guest has.
type diskKind int

const (
	through  diskKind = iota // what the disk has completed is there after the cut
	volatile                 // only what was flushed is there
)

// newLab finds the guest; without one the test is skipped.
func newLab(t *testing.T, kind diskKind, patch map[string]string) *lab {
	t.Helper()
	home := os.Getenv("VMLAB")
	if home == "" {
		t.Skip("VMLAB is not set: it names the directory of a guest that was built before; see docs/testing.md")
	}
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TRESOR_SEED=%d", n)
	l := &lab{t: t, share: t.TempDir(), dir: t.TempDir(), disk: kind, cuts: 3, rnd: rand.New(rand.NewPCG(n, 0))}
	if s := os.Getenv("TRESOR_CUTS"); s != "" {
		var err error
		if l.cuts, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{os.Getenv("VMLAB_GUEST"), filepath.Join(home, "lab", "run-guest.sh"), filepath.Join(home, "run-guest.sh")} {
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() && l.run == "" {
			l.run = name
		}
	}
	if l.run == "" {
		t.Skipf("no run-guest.sh in %s: VMLAB_GUEST names it", home)
	}
	l.build("./integration/powercut", "guest", nil, "test", "-c")
	if given := os.Getenv("TRESOR_BINARY"); given != "" && patch == nil {
		l.copy(given, "ddumbfs")
	} else {
		l.build("./cmd/ddumbfs", "ddumbfs", patch, "build")
	}
	return l
}

func source() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// build makes a static program of a package, with files of the source replaced by patch (path to content).
func (l *lab) build(pkg, name string, patch map[string]string, verb ...string) {
	l.t.Helper()
	replace := map[string]string{}
	for path, text := range patch {
		as := filepath.Join(l.dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(as, []byte(text), 0o600); err != nil {
			l.t.Fatal(err)
		}
		replace[filepath.Join(source(), path)] = as
	}
	overlay := filepath.Join(l.dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err := errors.Join(err, os.WriteFile(overlay, text, 0o600)); err != nil {
		l.t.Fatal(err)
	}
	c := exec.Command("go", append(verb, "-overlay", overlay, "-o", filepath.Join(l.share, name), pkg)...)
	c.Dir = source()
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		l.t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

func (l *lab) copy(from, name string) {
	l.t.Helper()
	data, err := os.ReadFile(from)
	if err := errors.Join(err, os.WriteFile(filepath.Join(l.share, name), data, 0o755)); err != nil {
		l.t.Fatal(err)
	}
}

// result of a series of cuts.
type result struct {
	cuts, promises int
	broken         string // what was wrong, empty if nothing was
}

// series cuts the power again and again, each time on what the last cut left, and lets the guest judge.
func (l *lab) series() (r result) {
	l.t.Helper()
	if err := os.Truncate(l.file("disk"), 3<<30); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.share, "promises"), nil, 0o644); err != nil {
		l.t.Fatal(err)
	}
	if code, out := l.boot("mkfs.ext4 -q -F /dev/disk1 && sync"); code != 0 {
		l.t.Fatalf("the guest does not work: exit code %d\n%s", code, out)
	}
	for round := 1; ; round++ {
		name, cut := strconv.Itoa(round), []string{"--kill-on", "^START", "--kill-after", fmt.Sprintf("%.2f", l.wait().Seconds())}
		if round > l.cuts {
			name, cut = "last", nil
		}
		code, out := l.boot(fmt.Sprintf("mount /dev/disk1 %s && export %s=%s && exec %s/guest", diskDir, guestVariable, name, shareDir), cut...)
		said, kept := sift(out)
		l.t.Logf("round %s: exit code %d, %d promises of fsync\n%s", name, code, strings.Count(kept, "S "), said)
		r.promises += strings.Count(kept, "S ")
		switch {
		case strings.Contains(said, "WRONG") || strings.Contains(said, "FAILED"):
			r.broken = said
			return r
		case name == "last" && code == 0:
			return r
		case code != 137:
			l.t.Fatalf("round %s: have exit code %d of the guest, want 137\n%s", name, code, said)
		}
		r.cuts++
		l.promise(kept)
	}
}

// wait is how long the guest writes before the cut. Emulated machines are slow.
func (l *lab) wait() time.Duration {
	d := time.Duration(500+l.rnd.IntN(4500)) * time.Millisecond
	if l.disk == volatile {
		d *= 3
	}
	return d
}

// file is the path of a file in the lab's directory; it exists.
func (l *lab) file(name string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err := errors.Join(err, f.Close()); err != nil {
		l.t.Fatal(err)
	}
	return path
}

func (l *lab) promise(text string) {
	l.t.Helper()
	f, err := os.OpenFile(filepath.Join(l.share, "promises"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = io.WriteString(f, text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// sift parts the promises from what is for people. A last line without an end is no promise.
func sift(out string) (said, kept string) {
	reclaims := ""
	for line := range strings.Lines(out) {
		switch {
		case strings.HasPrefix(line, "S ") || strings.HasPrefix(line, "R "):
			if strings.HasSuffix(line, "\n") {
				kept += line
			}
		case strings.HasPrefix(line, "reclaims "):
			reclaims = line
		case strings.HasPrefix(line, "shim"):
		default:
			said += line
		}
	}
	return said + reclaims, kept
}

// boot runs a shell text in the guest. When it is killed, a volatile disk loses its cache with it.
func (l *lab) boot(text string, more ...string) (code int, out string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	args := []string{"--share", l.share, "--mods", "fuse", "--timeout", "400"}
	if l.disk == volatile {
		socket, stop := l.cache(ctx)
		defer stop()
		args = append(args, "--tcg", "--disk", "nbd+unix:///?socket="+socket+",cache=writeback")
	} else {
		args = append(args, "--disk", filepath.Join(l.dir, "disk"))
	}
	args = append(append(args, more...), "--", text)
	c := exec.CommandContext(ctx, l.run, args...)
	c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGTERM}
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), both.String()
}

// cache serves the disk with a cache that is lost when stop is called, but for what was flushed.
func (l *lab) cache(ctx context.Context) (socket string, stop func()) {
	l.t.Helper()
	if _, err := exec.LookPath("nbdkit"); err != nil {
		l.t.Skip("no nbdkit: apt-get install nbdkit qemu-system-x86 qemu-utils")
	}
	socket = filepath.Join(l.dir, "nbd")
	c := exec.CommandContext(ctx, "nbdkit", "-f", "-U", socket, "--filter=cache", "file", filepath.Join(l.dir, "disk"), "cache=writeback",
		"cache-min-block-size=4k")
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	stop = func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()         // says that it was killed
		_ = os.Remove(socket)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket, stop
		}
	}
	stop()
	l.t.Fatal("nbdkit does not listen")
	return "", nil
}

// passes fails the test unless every promise was kept over all cuts.
func (l *lab) passes() {
	l.t.Helper()
	r := l.series()
	if r.broken != "" {
		l.t.Errorf("after %d cuts and %d promises:\n%s", r.cuts, r.promises, r.broken)
	}
	if r.cuts > 0 && r.promises == 0 {
		l.t.Error("the guest never synced: nothing was tested")
	}
	l.t.Logf("%d power cuts, %d promises of fsync, broken: %t", r.cuts, r.promises, r.broken != "")
}

// TestDisk cuts the power of a machine whose disk keeps what it has completed.
func TestDisk(t *testing.T) { newLab(t, through, nil).passes() }

// TestVolatileDisk cuts the power of a machine whose disk forgets what was not flushed.
func TestVolatileDisk(t *testing.T) { newLab(t, volatile, nil).passes() }

// TestWithoutSync takes the syncs out of the product: the same series on the same disk must notice.
func TestWithoutSync(t *testing.T) {
	const file = "index/disk/os_file.go"
	text, err := os.ReadFile(filepath.Join(source(), file))
	if err != nil {
		t.Fatal(err)
	}
	for what, call := range map[string]string{"the block file": "unix.Fdatasync", "underlying files": "unix.Fsync"} {
		t.Run(what, func(t *testing.T) {
			if strings.Count(string(text), call+")") != 1 {
				t.Fatalf("%s: want %s once", file, call)
			}
			none := "func(int) error { return nil }"
			l := newLab(t, volatile, map[string]string{file: strings.Replace(string(text), call+")", none+")", 1)})
			r := l.series()
			if r.broken == "" {
				t.Errorf("%d power cuts and %d promises without %s, and nothing was noticed", r.cuts, r.promises, call)
			}
			t.Logf("noticed after %d power cuts and %d promises", r.cuts, r.promises)
		})
	}
}
