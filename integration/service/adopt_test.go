package service

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/index"
)

// daemon is the process that serves a disk's volume, 0 if there is none.
func (r *rig) daemon(disk string) int {
	r.t.Helper()
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	must(r.t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == r.path("disks", disk, "l0/ddumbfs/ddfsblocks") {
			pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
			must(r.t, err)
			return pid
		}
	}
	return 0
}

// killDaemon kills the process that serves a volume.
func (r *rig) killDaemon(disk string) {
	r.t.Helper()
	pid := r.daemon(disk)
	if pid == 0 {
		r.t.Fatalf("nobody serves the volume of %s\n%s", disk, r.logged())
	}
	must(r.t, syscall.Kill(pid, syscall.SIGKILL))
	for end := time.Now().Add(10 * time.Second); r.daemon(disk) != 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatal("the daemon does not end")
		}
	}
}

// restart starts the service and returns what it logs until it has a volume.
func (r *rig) restart() (log string) {
	r.t.Helper()
	before, err := os.ReadFile(r.path("service.log"))
	must(r.t, err)
	r.start()
	r.until("a volume is in use", func(state) bool {
		after, err := os.ReadFile(r.path("service.log"))
		must(r.t, err)
		log = string(bytes.TrimPrefix(after, before))
		return strings.Contains(log, " to mounted: ") || strings.Contains(log, "is mounted: was mounted at")
	})
	return log
}

// A service that is killed leaves its volume mounted; the next one goes on with the same daemon, does not take the volume for one that was not closed, and
// closes it as if nothing had happened.
func TestKilledServiceFindsItsVolume(t *testing.T) {
	r := newRig(t, "")
	r.stop()
	r.restart()
	daemon := r.daemon("disk-a")
	for range 3 {
		r.kill()
		log := r.restart()
		if have := r.daemon("disk-a"); have != daemon || daemon == 0 {
			t.Errorf("served by process %d, want %d", have, daemon)
		}
		if !strings.Contains(log, "was mounted at") || strings.Contains(log, "to fsck") || strings.Contains(log, "repair") {
			t.Errorf("the service said:\n%s", log)
		}
		r.ok("run", "office")
	}
	r.stop()
	if log := r.restart(); !strings.Contains(log, "index: keep: generation ") || strings.Contains(log, "check") || strings.Contains(log, "not closed") {
		t.Errorf("after a stop in good order:\n%s", log)
	}
	// Both are killed: then it was not closed, and is repaired with the index that was in use.
	r.kill()
	r.killDaemon("disk-a")
	if log := r.restart(); !strings.Contains(log, "did not answer") || !strings.Contains(log, "was not closed here") {
		t.Errorf("after both were killed:\n%s", log)
	}
	r.ok("verify", "--all")
}

// The service is killed at any moment of its start, and every other time its daemon before, so that there is something to repair. Whoever comes next finds one volume at
// one place, whatever the daemon that was being started has become.
func TestKilledWhileMounting(t *testing.T) {
	r := newRig(t, "")
	r.ok("run", "office")
	r.until("all copied", settled)
	random, rounds := seed(t), 6
	if os.Getenv("TRESOR_LONG") != "" {
		rounds = 100
	}
	for round := range rounds {
		if round%2 == 0 {
			r.kill()
			r.killDaemon("disk-a")
		} else {
			r.stop()
		}
		bin, err := programs()
		must(t, err)
		r.serve = exec.Command(filepath.Join(bin, "tresor"), "serve", "--config", r.path("tresor.toml"))
		r.serve.Stdout, r.serve.Stderr = r.log, r.log
		must(t, r.serve.Start())
		time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
		r.kill()
		r.restart()
		list, err := index.Mounts()
		must(t, err)
		n := 0
		for _, m := range list {
			if m.Point == r.path("volume") {
				n++
			}
		}
		if n != 1 || r.daemon("disk-a") == 0 {
			t.Fatalf("round %d: %d mounts at the volume's place, served by %d\n%s", round, n, r.daemon("disk-a"), r.logged())
		}
		r.ok("run", "office")
		r.until("all copied", settled)
	}
	r.ok("verify", "--all")
	r.stop()
	if log := r.restart(); strings.Contains(log, "check") {
		t.Errorf("after a stop in good order:\n%s", log)
	}
}

// slowly starts the service with a ddumbfs whose mounts take half a minute longer, and returns when such a mount has begun.
func (r *rig) slowly() {
	r.t.Helper()
	bin, err := programs()
	must(r.t, err)
	dir, begun := r.path("bin"), r.path("begun")
	must(r.t, os.MkdirAll(dir, 0o755))
	must(r.t, os.Link(filepath.Join(bin, "tresor"), filepath.Join(dir, "tresor")))
	script := "#!/bin/sh\ntrap 'kill $!; exit 8' TERM\n: >'" + begun + "'\nsleep 30 &\nwait $!\nexec '" + filepath.Join(bin, "ddumbfs") + "' \"$@\"\n"
	must(r.t, os.WriteFile(filepath.Join(dir, "ddumbfs"), []byte(script), 0o755))
	r.serve = exec.Command(filepath.Join(dir, "tresor"), "serve", "--config", r.path("tresor.toml"))
	r.serve.Stdout, r.serve.Stderr = r.log, r.log
	must(r.t, r.serve.Start())
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(begun); err == nil {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("no mount has begun\n%s", r.logged())
		}
	}
}

// A repair that takes its time holds nobody up: a pause and a look take effect at once, the status says what goes on, and a stop ends it and gives the disk back.
func TestLongRepair(t *testing.T) {
	r := newRig(t, "")
	r.ok("run", "office")
	r.until("all copied", settled)
	r.kill()
	r.killDaemon("disk-a")
	r.slowly()
	r.until("a check goes on", func(state) bool { return strings.Contains(r.ok("volumes"), "fsck") })
	soon := func(args ...string) {
		t.Helper()
		begun := time.Now()
		if r.ok(args...); time.Since(begun) > 5*time.Second {
			t.Errorf("tresor %q took %v", args, time.Since(begun))
		}
	}
	soon("run", "--no-wait", "office")
	soon("pause")
	soon("status")
	soon("resume")
	c := exec.Command(r.path("bin", "tresor"), "backups", "--config", r.path("tresor.toml")) // waits for the volume
	must(t, c.Start())
	time.Sleep(300 * time.Millisecond)
	must(t, c.Process.Kill())
	_ = c.Wait() // it says that it was killed
	begun := time.Now()
	r.ok("stop", "--now", "--no-wait")
	must(t, r.serve.Wait())
	r.serve = nil
	if took := time.Since(begun); took > 12*time.Second { // three seconds are left to a mount that is nearly done
		t.Errorf("the service ended after %v\n%s", took, r.logged())
	}
	if strings.Contains(r.logged(), "no volume can be used") {
		t.Errorf("whoever did not wait has told of a lost volume:\n%s", r.logged())
	}
	if left := r.loops(); len(left) != 0 {
		t.Errorf("after the stop: loop devices %q\n%s", left, r.logged())
	}
	r.restart()
	r.until("the round is over", settled)
	r.ok("verify", "--all")
}

// The disk of this machine that has the indexes dies while a volume is mounted: all there is is what lies on the volume's own disk. Once with a copy of an
// older index there, once without.
func TestIndexDiskDies(t *testing.T) {
	r := newRig(t, "")
	r.ok("run", "office")
	r.until("all copied", settled)
	for _, withCopy := range []bool{true, false} {
		r.stop() // lays a copy of the index on the disk
		log := r.restart()
		r.write(r.path("office", "since then"), noise(seed(t), 3_000_000))
		r.ok("run", "office")
		r.until("all copied", settled)
		r.kill()
		r.killDaemon("disk-a")
		must(t, os.RemoveAll(r.path("index")))
		want := "begins with the copy of generation"
		if !withCopy {
			want = "index: rebuild: "
			copies, err := filepath.Glob(r.path("disks", "disk-a", "l0/ddumbfs/*.idx"))
			must(t, err)
			if len(copies) != 1 {
				t.Fatalf("copies of the index: %q\n%s", copies, log)
			}
			must(t, os.Remove(copies[0]))
		}
		if log := r.restart(); !strings.Contains(log, want) {
			t.Errorf("with a copy %v: the service does not say %q:\n%s", withCopy, want, log)
		}
		r.ok("verify", "--all")
		if out, err := exec.Command("diff", "-r", r.path("office"), r.newestFiles("office")).CombinedOutput(); err != nil {
			t.Errorf("the newest backup differs from its source: %v\n%s", err, out)
		}
	}
	r.stop()
	if log := r.restart(); strings.Contains(log, "check") {
		t.Errorf("after a stop in good order:\n%s", log)
	}
}

// newestFiles is where the files of a machine's newest backup lie.
func (r *rig) newestFiles(machine string) (dir string) {
	r.t.Helper()
	_, list, _ := r.backups()
	name := ""
	for _, b := range list {
		if b.Machine == machine && b.Name > name {
			name, dir = b.Name, b.Dir
		}
	}
	inside, err := filepath.Glob(filepath.Join(dir, "*", "Büro 1"))
	must(r.t, err)
	if len(inside) != 1 {
		deeper, err := exec.Command("find", dir, "-name", "Büro 1").Output()
		must(r.t, err)
		inside = strings.Split(strings.TrimSpace(string(deeper)), "\n")
	}
	return filepath.Dir(inside[0])
}

// The first volume of a new disk is made without a service, with its index on this machine, and not a second time.
func TestFirstVolumeOfADisk(t *testing.T) {
	r := newRig(t, "")
	r.stop()
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", r.path("disk-b.img")).CombinedOutput(); err != nil {
		t.Fatalf("mkfs: %v %s", err, out)
	}
	must(t, os.RemoveAll(r.path("index")))
	r.ok("volumes", "init", "disk-b", "--block-size", "64k")
	if list, err := filepath.Glob(r.path("index", "*.idx")); err != nil || len(list) != 1 {
		t.Errorf("indexes: %q, %v", list, err)
	}
	if o := r.run("volumes", "init", "disk-b"); o.code != 1 || !strings.Contains(o.err, "there is a volume") {
		t.Errorf("a second time: exit status %d, %s", o.code, o.err)
	}
	if o := r.run("volumes", "init", "disk-c"); o.code != 6 {
		t.Errorf("a disk that is not in the configuration: exit status %d, %s", o.code, o.err)
	}
	r.ok("volumes", "reinit", "disk-b", "--yes-really", "disk-b", "--size", "300M")
	if left := r.loops(); len(left) != 0 {
		t.Errorf("loop devices: %q", left)
	}
	r.start()
	r.ok("switch", "--wait", "disk-b")
	r.ok("run", "office")
	// The same with a service; the disk in use is refused.
	if o := r.run("volumes", "init", "disk-b"); o.code != 1 || !strings.Contains(o.err, "unmount it first") {
		t.Errorf("the disk in use: exit status %d, %s", o.code, o.err)
	}
	r.ok("volumes", "reinit", "disk-a", "--yes-really", "disk-a")
}
