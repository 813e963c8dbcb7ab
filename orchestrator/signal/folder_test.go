package signal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/signal"
)

// listener keeps what it is told, as "name+" and "name-".
type listener struct {
	events   chan signal.Event
	troubles chan error
}

func (l *listener) Signal(e signal.Event) { l.events <- e }
func (l *listener) Trouble(err error)     { l.troubles <- err }

func (l *listener) next(t *testing.T) string {
	t.Helper()
	select {
	case e := <-l.events:
		if e.Active {
			return string(e.Name) + "+" + e.Text
		}
		return string(e.Name) + "-"
	case err := <-l.troubles:
		return "trouble: " + err.Error()
	case <-time.After(time.Minute):
		t.Fatal("nothing was told")
		return ""
	}
}

func (l *listener) want(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if have := l.next(t); have != w {
			t.Fatalf("told %q, want %q", have, w)
		}
	}
}

func open(t *testing.T, dir string, clock orchestrator.Clock) *signal.Folder {
	t.Helper()
	f, err := signal.Open(signal.Options{Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// run opens a folder and watches it until the test ends.
func run(t *testing.T, dir string, clock orchestrator.Clock) (*signal.Folder, *listener) {
	t.Helper()
	f := open(t, dir, clock)
	l := &listener{make(chan signal.Event, 1000), make(chan error, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for range len(l.events) {
			t.Errorf("told besides: %q", l.next(t))
		}
	})
	return f, l
}

// touch makes a file that appears with its text.
func touch(t *testing.T, dir, name, text string) {
	t.Helper()
	tmp := filepath.Join(dir, ".test")
	if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o644), os.Rename(tmp, filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func there(dir string, name signal.Name) bool {
	_, err := os.Lstat(filepath.Join(dir, string(name)))
	return err == nil
}

func consume(t *testing.T, f *signal.Folder, name signal.Name, want bool) {
	t.Helper()
	have, err := f.Consume(name)
	if err != nil || have != want {
		t.Fatalf("consume %s: %v, %v, want %v", name, have, err, want)
	}
}

// TestTable is one row for each signal of the predecessor: it is told when it appears, holds, and is told when it is gone.
func TestTable(t *testing.T) {
	want := map[string]bool{"wait": false, "waita": false, "stop": false, "astop": false, "crcstopS": true, "switch": true, "softswitch": true, "reload": true,
		"skipcrc": false, "noskipcrc": false, "donotswitch": false, "donotcheck": false, "noautostart": false}
	if len(signal.Names()) != len(want) {
		t.Errorf("%d signals, want %d", len(signal.Names()), len(want))
	}
	dir := t.TempDir()
	f, l := run(t, dir, nil)
	for _, name := range signal.Names() {
		oneShot, known := want[string(name)]
		if !known || oneShot != name.OneShot() {
			t.Errorf("%s: known %v, one-shot %v", name, known, name.OneShot())
		}
		touch(t, dir, string(name), "Sun Nov 22 20:00:00 CET 2026\n")
		l.want(t, string(name)+"+Sun Nov 22 20:00:00 CET 2026")
		if !f.Active(name) {
			t.Errorf("%s is not active", name)
		}
		if _, err := f.Consume(name); oneShot != (err == nil) {
			t.Errorf("consume %s: %v", name, err)
		}
		if !oneShot {
			if !there(dir, name) {
				t.Errorf("%s is gone", name)
			}
			remove(t, dir, string(name))
			l.want(t, string(name)+"-")
		}
		if f.Active(name) || there(dir, name) {
			t.Errorf("%s: active %v, there %v", name, f.Active(name), there(dir, name))
		}
	}
	for _, name := range []string{"waitb", "Switch", "switch.done", "sswitch", ".wait"} { // exact names
		touch(t, dir, name, "")
	}
	touch(t, dir, "wait", "")
	l.want(t, "wait+")
}

// TestOneShot: a request is told once, however often its file is written; after Consume a new one is told again, also at once.
func TestOneShot(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "reload", "before the start")
	f, l := run(t, dir, nil)
	l.want(t, "reload+before the start")
	for range 20 { // as the cloner rewrites waita
		if err := os.WriteFile(filepath.Join(dir, "reload"), []byte("once more"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	consume(t, f, signal.Reload, true)
	touch(t, dir, "reload", "new")
	l.want(t, "reload+new")
	consume(t, f, signal.Reload, true)
	consume(t, f, signal.Reload, false)
	touch(t, dir, "softswitch", "soft")
	l.want(t, "softswitch+soft")
	if ok, err := f.Promote(); err != nil || !ok || there(dir, signal.SoftSwitch) || !there(dir, signal.Switch) || !f.Active(signal.Switch) {
		t.Errorf("promote: %v, %v", ok, err)
	}
	l.want(t, "switch+soft")
	touch(t, dir, "softswitch", "taken back")
	l.want(t, "softswitch+taken back")
	remove(t, dir, "softswitch")
	l.want(t, "softswitch-")
	if ok, err := f.Promote(); ok || err != nil {
		t.Errorf("promote what is gone: %v, %v", ok, err)
	}
	if _, err := f.Consume("wait"); err == nil {
		t.Error("consume wait: no error")
	}
	consume(t, f, signal.Switch, true)
	touch(t, dir, "wait", "last")
	l.want(t, "wait+last") // and nothing of what was consumed
}

// TestTakers: of several that consume one request, one gets it.
func TestTakers(t *testing.T) {
	dir := t.TempDir()
	folders := []*signal.Folder{open(t, dir, nil), open(t, dir, nil)}
	for range 100 {
		touch(t, dir, "switch", "")
		var takers sync.WaitGroup
		got := make(chan bool, 8)
		for i := range 8 {
			takers.Go(func() {
				ok, err := folders[i%2].Consume(signal.Switch)
				if err != nil {
					t.Errorf("consume: %v", err)
				}
				got <- ok
			})
		}
		takers.Wait()
		close(got)
		n := 0
		for ok := range got {
			if ok {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("%d takers got one request", n)
		}
	}
}

// TestHostile: what is no regular file is no signal, is told once, and nothing outside is touched or told.
func TestHostile(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{os.Symlink(secret, path("switch")), os.Symlink("nowhere", path("wait")), os.Mkdir(path("stop"), 0o755), unix.Mkfifo(path("reload"), 0o666),
		os.Symlink(secret, path(".tmp-skipcrc")), os.Mkdir(path(".consumed-softswitch"), 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	f, l := run(t, dir, nil)
	seen := map[string]bool{}
	for range 4 {
		seen[l.next(t)] = true
	}
	for name, kind := range map[string]string{"switch": "a symbolic link", "wait": "a symbolic link", "stop": "a directory", "reload": "a pipe"} {
		if want := fmt.Sprintf("trouble: signal %s: it is %s, want a regular file: it is not a signal; remove it", name, kind); !seen[want] {
			t.Errorf("%q was not told; have %v", want, seen)
		}
		if f.Active(signal.Name(name)) {
			t.Errorf("%s is active", name)
		}
	}
	if ok, err := f.Consume(signal.Switch); ok || err == nil {
		t.Errorf("consume a symbolic link: %v, %v", ok, err)
	}
	if err := f.Set(signal.SkipCRC, "NFSUNDERLAYING"); err != nil {
		t.Errorf("set beside a hostile temporary name: %v", err)
	}
	l.want(t, "skipcrc+NFSUNDERLAYING")
	if err := f.Remove(signal.Stop); err == nil {
		t.Error("remove a directory: no error")
	}
	touch(t, dir, "donotswitch", "a\x1b[2J\u202Eb\nc\x00 \xff"+strings.Repeat("x", 10000))
	if have := l.next(t); !strings.HasPrefix(have, "donotswitch+a[2Jb c ?xxx") || len(have) > 220 {
		t.Errorf("told %q", have)
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "the secret" {
		t.Errorf("the file outside: %q, %v", text, err)
	}
	remove(t, dir, "wait")
	touch(t, dir, "wait", "")
	l.want(t, "wait+")
}

// TestUnreadable: the presence of a file counts, not what is in it.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "wait", "text")
	if err := os.Chmod(filepath.Join(dir, "wait"), 0); err != nil {
		t.Fatal(err)
	}
	if f := open(t, dir, nil); !f.Active(signal.Wait) {
		t.Error("a file that cannot be read is no signal")
	}
}

// TestFolderGone: what was known last holds, the trouble is told once, and a new folder is watched.
func TestFolderGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "signal")
	f, l := run(t, dir, nil)
	touch(t, dir, "wait", "")
	l.want(t, "wait+")
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if have := l.next(t); !strings.HasPrefix(have, "trouble: folder of signals") {
		t.Errorf("told %q", have)
	}
	if !f.Active(signal.Wait) {
		t.Error("wait does not hold without the folder")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.want(t, "wait-")
	touch(t, dir, "stop", "")
	l.want(t, "stop+")
}

// slowClock never ends a sleep: only inotify tells.
type slowClock struct{ now func() time.Time }

func (c slowClock) Now() time.Time { return c.now() }

func (c slowClock) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestInotify(t *testing.T) {
	dir := t.TempDir()
	f, l := run(t, dir, slowClock{time.Now})
	if err := f.Set(signal.Wait, "pause after the round"); err != nil {
		t.Fatal(err)
	}
	l.want(t, "wait+pause after the round")
	remove(t, dir, "wait")
	l.want(t, "wait-")
	// A look that an older event asked for may come when the shell has made its file and not written yet: then the text is missing, but not each time.
	for tries, have := 0, ""; have != "stop+by a script"; tries++ {
		if err := os.WriteFile(filepath.Join(dir, "stop"), []byte("by a script\n"), 0o644); err != nil { // as the shell does it
			t.Fatal(err)
		}
		if have = l.next(t); have != "stop+by a script" && (have != "stop+" || tries == 20) {
			t.Fatalf("told %q", have)
		}
		remove(t, dir, "stop")
		l.want(t, "stop-")
	}
	if err := f.Set(signal.SoftSwitch, "first"); err != nil {
		t.Fatal(err)
	}
	l.want(t, "softswitch+first")
	if err := f.Set(signal.SoftSwitch, "second"); err != nil {
		t.Fatal(err)
	}
	if all := f.All(); len(all) != 1 || all[0].Text != "first" || all[0].UID != uint32(os.Getuid()) {
		t.Errorf("set over a file that is there: %+v", all)
	}
	if err := f.Remove(signal.SoftSwitch); err != nil || f.Active(signal.SoftSwitch) {
		t.Errorf("remove: %v", err)
	}
	l.want(t, "softswitch-")
	if err := f.Remove(signal.SoftSwitch); err != nil {
		t.Errorf("remove what is gone: %v", err)
	}
	if err := f.Set("../x", ""); err == nil {
		t.Error("set an unknown name: no error")
	}
}

func TestPresent(t *testing.T) {
	dir := t.TempDir()
	if ok, err := signal.Present(dir, signal.NoSkipCRC); ok || err != nil {
		t.Errorf("none: %v, %v", ok, err)
	}
	touch(t, dir, "noskipcrc", "")
	if ok, err := signal.Present(dir, signal.NoSkipCRC); !ok || err != nil {
		t.Errorf("there: %v, %v", ok, err)
	}
	if _, err := signal.Present(filepath.Join(dir, "none"), signal.NoSkipCRC); err == nil {
		t.Error("no folder: no error")
	}
}
