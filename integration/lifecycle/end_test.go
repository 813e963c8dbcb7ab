package lifecycle_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
)

// A signal unmounts, cleanly.
func TestSignals(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			parent := volume(t)
			m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
			if err := os.WriteFile(m.Path("a"), random(1, 3_000_000), 0o600); err != nil { // and no sync
				t.Fatal(err)
			}
			if err := unix.Kill(m.PID, sig); err != nil {
				t.Fatal(err)
			}
			m.Ended()
			m = mounttest.Volume(t, mounttest.Options{Parent: parent})
			is(t, m, "after the signal", "a", random(1, 3_000_000))
		})
	}
}

// While somebody has a file open the volume stays, and it ends when the last one is closed. A second signal meanwhile changes nothing.
func TestSignalWhileBusy(t *testing.T) {
	parent := volume(t)
	m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
	f, err := os.Create(m.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	data := random(1, 2_000_000)
	if _, err := f.Write(data[:1_000_000]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := unix.Kill(m.PID, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		quiet(t, "after the signal", parent) // it comes to rest, so that even a kill would cost nothing
	}
	if _, err := f.Write(data[1_000_000:]); err != nil {
		t.Errorf("write after the signal: %v", err)
	}
	is(t, m, "after the signal", "a", data)
	if err := f.Close(); err != nil {
		t.Errorf("close after the signal: %v", err)
	}
	m.Ended()
	m = mounttest.Volume(t, mounttest.Options{Parent: parent})
	is(t, m, "at the end", "a", data)
}

// umount(8) ends the daemon as well.
func TestUmountCommand(t *testing.T) {
	parent := volume(t)
	m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true})
	if err := os.WriteFile(m.Path("a"), random(1, 3_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("umount", "-i", m.Point).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v\n%s", err, out)
	}
	m.Ended()
	m = mounttest.Volume(t, mounttest.Options{Parent: parent})
	is(t, m, "after umount(8)", "a", random(1, 3_000_000))
}

// ddumbfs umount says that a volume is in use, leaves it mounted, and returns when it is closed.
func TestUmountBusy(t *testing.T) {
	m := mounttest.Volume(t, mounttest.Options{Parent: volume(t), Daemon: true})
	f, err := os.Create(m.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	if o := mounttest.Run(t, "umount", m.Point); o.Code != exitBusy {
		t.Errorf("umount of a volume in use: have exit status %d, want %d: %s", o.Code, exitBusy, o.Err)
	}
	if _, err := f.Write([]byte("still there")); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	is(t, m, "after the refused umount", "a", []byte("still there"))
	start := time.Now()
	m.Unmount()
	if took := time.Since(start); took > patience {
		t.Errorf("umount took %v", took)
	}
}
