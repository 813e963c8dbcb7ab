package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
)

// mountedVolume makes a volume and mounts it through the command line, with the test binary as the daemon.
func mountedVolume(t *testing.T, options ...string) (volume, mnt string) {
	t.Helper()
	needRoot(t)
	volume, mnt = newVolume(t), t.TempDir()
	mountVolume(t, volume, mnt, options...)
	return volume, mnt
}

func mountVolume(t *testing.T, volume, mnt string, options ...string) {
	t.Helper()
	c := run(t, append([]string{"ddumbfs", volume, mnt}, options...)...)
	if c.code != cli.ExitOK {
		t.Fatalf("mount %s on %s: code %d: %s", volume, mnt, c.code, c.err)
	}
	t.Cleanup(func() {
		if list, _ := index.Mounts(); mounted.At(list, mnt) != nil {
			_ = unix.Unmount(mnt, unix.MNT_DETACH)
			_ = mounted.WaitClosed(context.Background(), volume, time.Minute, func() {})
		}
	})
}

// daemonOf finds the process that serves a mount.
func daemonOf(t *testing.T, mnt string) int {
	t.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if args := strings.Split(string(line), "\x00"); len(args) > 3 && args[0] == "ddumbfs" && args[3] == mnt {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	t.Fatalf("no process serves %s", mnt)
	return 0
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A volume's life through the command line: mounted, used, in use, unmounted clean, mounted again.
func TestLifeOfAMount(t *testing.T) {
	volume, mnt := mountedVolume(t, "-o", "rw,nosuid,noatime,pool=2,x-test=1")
	list, err := index.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	if m := mounted.At(list, mnt); m == nil || m.Kind != "fuse.ddumbfs" || m.Source != volume {
		t.Fatalf("mount table: have %+v, want fuse.ddumbfs from %s", m, volume)
	}
	text := strings.Repeat("some block of text. ", 1000)
	write(t, mnt+"/file", text)

	t.Run("daemon let go of the terminal", func(t *testing.T) {
		proc := filepath.Join("/proc", strconv.Itoa(daemonOf(t, mnt)))
		for link, want := range map[string]string{"fd/0": os.DevNull, "fd/1": os.DevNull, "fd/2": os.DevNull, "cwd": "/"} {
			if have, err := os.Readlink(filepath.Join(proc, link)); have != want {
				t.Errorf("%s: have %q (%v), want %q", link, have, err, want)
			}
		}
		stat, err := os.ReadFile(filepath.Join(proc, "stat"))
		if f := strings.Fields(string(stat)); err != nil || f[0] != f[5] {
			t.Errorf("the daemon %s is not in a session of its own: %s (%v)", f[0], f[5], err)
		}
	})
	t.Run("mounted volumes are refused", func(t *testing.T) {
		run(t, "ddumbfs", "mount", volume, t.TempDir()).want(t, cli.ExitBusy, "", "mounted on "+mnt)
		run(t, "mkddumbfs", "-f", "-s", "1M", volume).want(t, cli.ExitBusy, "", "mounted on "+mnt)
		run(t, "fsckddumbfs", "-n", volume).want(t, cli.FsckErrors, "", "mounted on "+mnt)
		run(t, "fsckddumbfs", "-c", volume).want(t, cli.FsckErrors, "Filesystem status", "warning: the volume is mounted on "+mnt)
	})
	t.Run("special files", func(t *testing.T) {
		for _, name := range []string{mnt, volume, mnt + "/file"} {
			run(t, "ddumbfs", "stats", name).want(t, cli.ExitOK, "writer_pool", "")
		}
		run(t, "ddumbfs", "stats", "--json", mnt).want(t, cli.ExitOK, `"hash": "BLAKE3"`, "")
		run(t, "ddumbfs", "stats", "--prometheus", mnt).want(t, cli.ExitOK, `{volume="`+volume+`"}`, "")
		run(t, "ddumbfs", "reclaim", "--json", mnt).want(t, cli.ExitOK, `"files": 1`, "")
	})
	t.Run("busy", func(t *testing.T) {
		sleeper(t, "/", `exec 3<"$0/file"`, mnt)
		run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitBusy, "", "(open file "+mnt+"/file)")
	})
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitOK, "volume "+volume+" is clean", "")
	if dirty, err := exists(volume + "/.autofsck"); dirty || err != nil {
		t.Errorf(".autofsck is still there (%v)", err)
	}
	run(t, "fsckddumbfs", "-C", volume).want(t, cli.FsckOK, "Filesystem status        : OK", "")
	mountVolume(t, volume, mnt)
	have, err := os.ReadFile(mnt + "/file")
	if err != nil || string(have) != text {
		t.Errorf("after a remount the file has %d bytes (%v), want %d", len(have), err, len(text))
	}
	run(t, "umount.fuse.ddumbfs", volume).want(t, cli.ExitOK, "is clean", "") // by its parent directory
}

// A detached mount is closed when its last file is; waiting for that is asked for with --timeout.
func TestUmountLazily(t *testing.T) {
	volume, mnt := mountedVolume(t)
	f, err := os.Create(mnt + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run(t, "ddumbfs", "umount", "-l", mnt).want(t, cli.ExitOK, "is detached", "")
	if open, err := mounted.Owned(volume); !open || err != nil {
		t.Fatalf("the volume is closed although a file is open (%v)", err)
	}
	if _, err := f.WriteString("still there"); err != nil {
		t.Errorf("write to a detached mount: %v", err)
	}
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitNoVolume, "", "is not mounted")
	if err := f.Close(); err != nil {
		t.Errorf("close in a detached mount: %v", err)
	}
	if err := mounted.WaitClosed(context.Background(), volume, time.Minute, func() {}); err != nil {
		t.Fatal(err)
	}
	run(t, "fsckddumbfs", "-C", volume).want(t, cli.FsckOK, "Files                    :          1", "")
}

func TestUmountTimeout(t *testing.T) {
	volume, mnt := mountedVolume(t)
	f, err := os.Create(mnt + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := run(t, "ddumbfs", "umount", "-l", "--timeout", "100ms", mnt)
	c.want(t, cli.ExitTimeout, "", "volume "+volume+" was not closed within 100ms")
	f.Close()
	if err := mounted.WaitClosed(context.Background(), volume, time.Minute, func() {}); err != nil {
		t.Fatal(err)
	}
}

// After the daemon was killed, umount takes the dead mount away and says that the volume is not clean; the next mount
// repairs it and tells so in the terminal.
func TestKilledDaemon(t *testing.T) {
	volume, mnt := mountedVolume(t)
	write(t, mnt+"/file", "content")
	if err := syscall.Kill(daemonOf(t, mnt), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := mounted.WaitClosed(context.Background(), volume, time.Minute, func() {}); err != nil {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "mount", volume, mnt).want(t, cli.ExitFailure, "", "hint: ddumbfs umount -l "+mnt)
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitNotClean, "", "is not clean\nhint: the next mount repairs it")
	c := run(t, "ddumbfs", "mount", volume, mnt)
	c.want(t, cli.ExitOK, "", "not closed cleanly")
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitOK, "is clean", "")
	run(t, "fsckddumbfs", "-C", volume).want(t, cli.FsckOK, "status        : OK", "")
}

// In the foreground the process serves until it is told to end, and closes the volume even though a file was open when
// the signal came.
func TestForeground(t *testing.T) {
	needRoot(t)
	volume, mnt := newVolume(t), t.TempDir()
	old := unix.Umask(0o22)
	unix.Umask(old)
	defer unix.Umask(old) // the server sets it for its process
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	log := newLog()
	code := make(chan cli.Code, 1)
	go func() {
		var out bytes.Buffer
		code <- Main(ctx, []string{"ddumbfs", "mount", "-f", volume, mnt}, Streams{Out: &out, Err: log})
	}()
	log.waitFor(t, "is mounted on")
	f, err := os.Create(mnt + "/file")
	if err != nil {
		t.Fatal(err)
	}
	cancel(errors.New("told to end"))
	log.waitFor(t, "is unmounted when nobody uses it any more")
	if _, err := f.WriteString("late"); err != nil {
		t.Errorf("write after the signal: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("close after the signal: %v", err)
	}
	select {
	case c := <-code:
		if c != cli.ExitOK {
			t.Errorf("have code %d, want 0; log:\n%s", c, log)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the server did not end; log:\n%s", log)
	}
	run(t, "fsckddumbfs", "-C", volume).want(t, cli.FsckOK, "Files                    :          1", "")
}

// SIGTERM ends a daemon in good order.
func TestDaemonObeysSignals(t *testing.T) {
	volume, mnt := mountedVolume(t)
	write(t, mnt+"/file", "content")
	if err := syscall.Kill(daemonOf(t, mnt), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := mounted.WaitClosed(context.Background(), volume, time.Minute, func() {}); err != nil {
		t.Fatal(err)
	}
	if dirty, err := exists(volume + "/.autofsck"); dirty || err != nil {
		t.Errorf("the volume is not clean (%v)", err)
	}
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitNoVolume, "", "is not mounted")
}

// A mount right after umount(8), which does not wait, finds the volume still open and waits for it.
func TestMountWaitsForClosing(t *testing.T) {
	needRoot(t)
	volume, mnt := newVolume(t), t.TempDir()
	dir, err := os.Open(volume)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	log := newLog()
	code := make(chan cli.Code, 1)
	go func() {
		code <- Main(context.Background(), []string{"ddumbfs", "mount", volume, mnt}, Streams{Out: log, Err: log})
	}()
	log.waitFor(t, "is still open: waiting up to")
	dir.Close()
	if c := <-code; c != cli.ExitOK {
		t.Fatalf("have code %d, want 0: %s", c, log)
	}
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitOK, "is clean", "")
}
