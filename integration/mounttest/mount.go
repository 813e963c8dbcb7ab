package mounttest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/fs"
	"tresor/index/fsck"
)

// Options of a mount.
type Options struct {
	// Parent of the volume, Point where to mount it (empty: a new directory).
	Parent, Point string
	// List is what stands after -o.
	List string
	// Daemon serves the volume by the real binary, else the test process does.
	Daemon bool
	// Verdict is what the check after the unmount may say; empty means fsck.OK only.
	Verdict []fsck.Status
	// NoCheck leaves the check out, for a volume whose damage is looked at by the test itself.
	NoCheck bool
	// Unclean expects the mark of an unclean stop to stay, as a read-only mount leaves it.
	Unclean bool
	// Errors expects errors in the volume's log.
	Errors bool
}

// Mount is a mounted volume.
type Mount struct {
	// Point is where it is mounted, Parent the volume's parent directory.
	Point, Parent string
	// PID is the process that serves it.
	PID int

	t       testing.TB
	o       Options
	mounted *fs.Mounted // in process
	race    string      // where the daemon's race detector reports
	logFrom int64       // end of the volume's log before the mount
	ended   bool
}

// CloseTime is how long a volume may take to be closed.
const CloseTime = 2 * time.Minute

// Volume mounts a volume and fails the test if it cannot be done.
func Volume(t testing.TB, o Options) *Mount {
	t.Helper()
	m, err := Try(t, o)
	if err != nil {
		t.Fatalf("mount %s: %v", o.Parent, err)
	}
	return m
}

// Try mounts a volume or tells why not: the error of fs.Mount, or what the binary said (*DaemonError).
func Try(t testing.TB, o Options) (*Mount, error) {
	t.Helper()
	if o.Point == "" {
		o.Point = filepath.Join(t.TempDir(), "mnt")
		if err := os.Mkdir(o.Point, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m := &Mount{Point: o.Point, Parent: o.Parent, t: t, o: o}
	if info, err := os.Stat(m.logName()); err == nil {
		m.logFrom = info.Size()
	}
	start := m.startHere
	if o.Daemon {
		start = m.startDaemon
	}
	if err := protect(m.Point); err != nil {
		t.Fatal(err)
	}
	if err := start(); err != nil {
		return nil, err
	}
	t.Cleanup(m.Unmount)
	return m, nil
}

func (m *Mount) startHere() error {
	o := fs.DefaultOptions()
	o.Parent, o.MountPoint = m.Parent, m.Point
	if err := o.ParseMount(m.o.List); err != nil {
		return err
	}
	log := logrus.New()
	log.SetOutput(io.Discard) // the volume has its own log
	log.SetLevel(logrus.DebugLevel)
	var err error
	m.PID = os.Getpid()
	m.mounted, err = fs.Mount(context.Background(), o, log)
	return err
}

// DaemonError is a mount that the binary refused.
type DaemonError struct {
	Text string
	Code int
}

func (e *DaemonError) Error() string { return strings.TrimSpace(e.Text) }

func (m *Mount) startDaemon() error {
	program := Binary(m.t)
	args := []string{"mount", m.Parent, m.Point}
	if m.o.List != "" {
		args = append(args, "-o", m.o.List)
	}
	m.race = filepath.Join(m.t.TempDir(), "race")
	c := exec.Command(program, args...)
	c.Env = append(os.Environ(), "GORACE=log_path='"+m.race+"'") // a comma or space of the test's name would end the value
	out, err := c.CombinedOutput()
	if err != nil {
		return &DaemonError{Text: string(out), Code: c.ProcessState.ExitCode()}
	}
	if m.PID = findDaemon(program, m.Point); m.PID == 0 {
		return errors.New("no process serves the mount")
	}
	return nil
}

// Path of something in the mount.
func (m *Mount) Path(elem ...string) string {
	return filepath.Join(append([]string{m.Point}, elem...)...)
}

// Remount unmounts the volume, which checks it, and mounts it again with other options after -o.
func (m *Mount) Remount(list string) *Mount {
	m.t.Helper()
	m.Unmount()
	o := m.o
	o.List = list
	return Volume(m.t, o)
}

// Unmount unmounts the volume, waits until it is closed, and looks whether everything is as it should be. A second call does nothing.
func (m *Mount) Unmount() {
	m.t.Helper()
	if m.ended {
		return
	}
	m.ended = true
	m.lookForHandles()
	if m.end() {
		m.inspect()
	}
}

// end unmounts; false: by force.
func (m *Mount) end() bool {
	m.t.Helper()
	if err := m.close(); err != nil {
		m.t.Errorf("unmount %s: %v", m.Point, err)
		m.force()
		return false
	}
	if m.o.Daemon {
		if err := waitExit(m.PID, CloseTime); err != nil {
			m.t.Error(err)
			m.force()
			return false
		}
	}
	return true
}

func (m *Mount) close() error {
	if m.o.Daemon {
		if o := Run(m.t, "umount", m.Point); o.Code != 0 {
			return &DaemonError{Text: o.Out + o.Err, Code: o.Code}
		}
		return nil
	}
	if err := m.mounted.Unmount(); err != nil {
		return err
	}
	return m.wait()
}

// wait for the volume that this process serves.
func (m *Mount) wait() error {
	done := make(chan error, 1)
	go func() { done <- m.mounted.Wait() }()
	limit := time.NewTimer(CloseTime)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return errors.New("the volume is not closed after " + CloseTime.String())
	}
}

// force takes the mount away whatever it costs: requests in flight fail, and so do those of files that are still open.
func (m *Mount) force() {
	if err := unix.Unmount(m.Point, unix.MNT_FORCE|unix.MNT_DETACH); err != nil && err != unix.EINVAL {
		m.t.Errorf("detach %s: %v", m.Point, err)
	}
	if m.o.Daemon {
		m.kill()
	}
}

func (m *Mount) kill() {
	if err := unix.Kill(m.PID, unix.SIGKILL); err != nil && err != unix.ESRCH {
		m.t.Errorf("kill daemon %d: %v", m.PID, err)
	}
	if err := waitExit(m.PID, CloseTime); err != nil {
		m.t.Error(err)
	}
}

// Kill ends the daemon with SIGKILL and takes the dead mount away. The volume is left as it is and not checked.
func (m *Mount) Kill() {
	m.t.Helper()
	if !m.o.Daemon {
		m.t.Fatal("kill: the mount is served by the test itself")
	}
	m.ended = true
	m.kill()
	if err := unix.Unmount(m.Point, unix.MNT_DETACH); err != nil {
		m.t.Errorf("detach %s: %v", m.Point, err)
	}
}

// Ended tells the mount that the test has unmounted it by other means; it waits for the process and inspects the volume.
func (m *Mount) Ended() {
	m.t.Helper()
	if m.Gone() {
		m.inspect()
	}
}

// Gone is Ended for a volume that may be in any state. It tells whether the process has ended.
func (m *Mount) Gone() bool {
	m.t.Helper()
	m.ended = true
	var err error
	if m.o.Daemon {
		err = waitExit(m.PID, CloseTime)
	} else {
		err = m.wait()
	}
	if err != nil {
		m.t.Errorf("unmounted from outside: %v", err)
		m.force()
	}
	return err == nil
}
