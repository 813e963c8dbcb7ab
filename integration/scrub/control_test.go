package scrub_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
)

// socket is the name of the volume's control socket: others may be served beside it.
func (r *rig) socket() string {
	r.t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(r.o.Parent, &st); err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("/run/ddumbfs/%x-%x.sock", st.Dev, st.Ino)
}

// there tells whether the socket lies where it should.
func (r *rig) there() bool {
	info, err := os.Lstat(r.socket())
	return err == nil && info.Mode() == os.ModeSocket|0o600
}

// TestControl: the socket is the owner's alone, and goes with the mount, which ends what was asked for.
func TestControl(t *testing.T) {
	r := newRig(t, mounttest.Options{Daemon: true})
	if !r.there() {
		t.Fatal("there is no control socket")
	}
	if info, err := os.Lstat("/run/ddumbfs"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory of the sockets: have %v, %v", info.Mode(), err)
	}
	r.put("f", random(6, 10*bs))
	o := mounttest.MustRun(t, "reclaim", "--json", r.m.Point)
	if !strings.Contains(o.Out, `"files": 1`) {
		t.Errorf("reclaim over the socket: have %s", o.Out)
	}
	if o = mounttest.Run(t, "reclaim", "--dry-run", r.m.Point); o.Code != 0 {
		t.Errorf("dry run of a reclaim of a mounted volume: have status %d: %s", o.Code, o.Err)
	}
	// Unmounting ends a scrub and does not wait for its client.
	c := exec.Command(mounttest.Binary(t), "scrub", "--max-rate", "64k", r.m.Point)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if !mounttest.Until(10*time.Second, func() bool {
		return strings.Contains(mounttest.Run(t, "scrub", "--status", "--json", r.m.Point).Out, `"running": true`)
	}) {
		t.Error("the scrub does not run")
	}
	r.m.Unmount()
	_ = c.Wait()
	if have := c.ProcessState.ExitCode(); have != 8 {
		t.Errorf("the client of a mount that ends: have status %d, want 8", have)
	}
	if r.there() {
		t.Error("the socket is left after the unmount")
	}
	r.m = mounttest.Volume(t, r.o)
}

// TestNobodyAnswers: without its socket a mount is still asked by the special file; what needs the socket says so, and what to do.
func TestNobodyAnswers(t *testing.T) {
	r := newRig(t, mounttest.Options{Daemon: true})
	if err := os.Remove(r.socket()); err != nil {
		t.Fatal(err)
	}
	if o := mounttest.Run(t, "reclaim", r.m.Point); o.Code != 0 || !strings.Contains(o.Out, "block_in_use") {
		t.Errorf("reclaim without the socket: have status %d\n%s%s", o.Code, o.Out, o.Err)
	}
	for _, c := range []struct {
		args []string
		code int
	}{{[]string{"scrub"}, 1}, {[]string{"scrub", "--status"}, 1}, {[]string{"reclaim", "--dry-run"}, 7}} {
		if o := mounttest.Run(t, append(c.args, r.m.Point)...); o.Code != c.code || !strings.Contains(o.Err, "hint: ") {
			t.Errorf("%q without the socket: have status %d, want %d: %s", c.args, o.Code, c.code, o.Err)
		}
	}
}

// TestKilledDaemon: the socket that a killed process left is replaced by the next mount.
func TestKilledDaemon(t *testing.T) {
	r := newRig(t, mounttest.Options{Daemon: true})
	r.put("f", random(7, 10*bs))
	r.m.Syncfs()
	r.m.Kill()
	if !r.there() {
		t.Error("want the kill to leave the socket")
	}
	r.m = mounttest.Volume(t, r.o)
	if rep := r.scrub(0); rep.Blocks != 10 || !r.there() {
		t.Errorf("after the kill: have %+v", rep)
	}
}
