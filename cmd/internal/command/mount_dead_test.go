package command

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index/format"
)

// A killed daemon leaves a dead mount behind, which is told from one that is in use.
func TestDeadMount(t *testing.T) {
	volume, mnt := mountedVolume(t)
	busy := format.Mark(format.ErrBusy, errors.New("in use"))
	if err := explainBusy(busy, volume); deadMount(mnt) || cli.HintOf(err) != "" {
		t.Errorf("a living mount counts as dead: hint %q", cli.HintOf(err))
	}
	if err := syscall.Kill(daemonOf(t, mnt), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := mounted.WaitClosed(context.Background(), volume, time.Minute, func() {}); err != nil {
		t.Fatal(err)
	}
	hint := "hint: the mount is dead (its daemon is gone): umount " + mnt + ", then mount again"
	run(t, "ddumbfs", "mount", volume, t.TempDir()).want(t, cli.ExitBusy, "", hint)
	run(t, "ddumbfs", "mount", "-f", volume+"/ddfsroot", t.TempDir()).want(t, cli.ExitBusy, "", hint)
	run(t, "fsckddumbfs", "-n", volume).want(t, cli.FsckErrors, "", hint)
	if err := explainBusy(errors.New("other"), volume); cli.HintOf(err) != "" {
		t.Errorf("an error of another class got the hint %q", cli.HintOf(err))
	}
	if err := explainBusy(busy, t.TempDir()); cli.HintOf(err) != "" {
		t.Errorf("another volume got the hint %q", cli.HintOf(err))
	}
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitNotClean, "", "is not clean")
	mountVolume(t, volume, mnt)
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitOK, "is clean", "")
}

// A read-only mount leaves an unclean volume as it was, which is no failure. A mount that was only made read-only later is judged.
func TestUmountReadOnly(t *testing.T) {
	needRoot(t)
	volume, mnt := newVolume(t), t.TempDir()
	write(t, volume+"/"+format.DirtyName, "")
	mountVolume(t, volume, mnt, "-o", "ro")
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitOK, "was mounted read-only", "")
	if dirty, err := exists(volume + "/" + format.DirtyName); !dirty || err != nil {
		t.Errorf("the mark of the unclean stop is gone (%v)", err)
	}
	mountVolume(t, volume, mnt)
	if err := unix.Mount("", mnt, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	run(t, "ddumbfs", "umount", mnt).want(t, cli.ExitOK, "volume "+volume+" is clean", "")
}
