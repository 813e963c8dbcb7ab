package service

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A buffer that is nearly full: room is made of this machine's backups whose copy is verified, and of nothing else. A machine for which there is no room waits, and
// says why; it goes on by itself.
func TestBufferFull(t *testing.T) {
	r := newRig(t, "")
	must(t, os.MkdirAll(r.path("buffer"), 0o700))
	must(t, unix.Mount("tmpfs", r.path("buffer"), "tmpfs", 0, "size=60m"))
	t.Cleanup(func() { must(t, unix.Unmount(r.path("buffer"), unix.MNT_DETACH)) })
	done := func(n int64) {
		t.Helper()
		r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published == n })
		r.equal()
	}
	r.ok("run", "mail 1")
	done(1)
	first := r.onBuffer()
	filler := r.path("buffer", "somebody's file")
	must(t, os.WriteFile(filler, bytes.Repeat([]byte("x"), 20<<20), 0o600))
	r.ok("run", "mail 1")
	done(2)
	if _, err := os.Stat(first); !os.IsNotExist(err) || r.onBuffer() == first {
		t.Errorf("the released backup is on the buffer still: %v", err)
	}
	// Nothing that is not copied yet goes, however small the room is.
	r.write(r.path("signals", "waita"), nil)
	r.until("waita pauses", func(state) bool { return strings.Contains(r.ok("status"), "waita") })
	r.ok("run", "--no-wait", "mail 1")
	r.until("it is on the buffer", func(s state) bool { return s.Round == nil && len(s.Jobs) == 1 })
	third := r.onBuffer()
	r.ok("run", "--no-wait", "mail 1")
	r.until("the next one waits", func(state) bool { return r.says("is still to be copied") })
	if _, err := os.Stat(third); err != nil {
		t.Errorf("the backup that was not copied yet: %v", err)
	}
	must(t, os.Remove(r.path("signals", "waita")))
	done(4)
	// Room that somebody else takes is waited for, and his files stay.
	must(t, os.Remove(r.onBuffer())) // of the released one, as if it had been small
	must(t, os.WriteFile(filler, bytes.Repeat([]byte("x"), 50<<20), 0o600))
	r.ok("run", "--no-wait", "mail 1")
	r.until("it waits for room", func(state) bool { return r.says("nothing of it may be removed") })
	must(t, os.Remove(filler))
	done(5)
}

// says tells whether the status has that in it.
func (r *rig) says(text string) bool {
	r.t.Helper()
	return strings.Contains(r.ok("status", "--json"), text)
}

// allocated is how many blocks the volume has in use.
func (r *rig) allocated() int {
	r.t.Helper()
	text, err := os.ReadFile(r.path("volume", ".ddumbfs", "stats"))
	must(r.t, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "block_allocated" {
			n, err := strconv.Atoi(f[1])
			must(r.t, err)
			return n
		}
	}
	r.t.Fatalf("no block_allocated in the statistics:\n%s", text)
	return 0
}

// Retention goes by exact names, keeps the newest of each machine, and what it deletes is free afterwards, down to what is left.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	more, names := "[retention]\nvolume_versions = 2\nmin_versions = 1\n", []string{"dc", "dc-2", "dc 2"}
	for _, name := range names {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		more += "[[source.dir]]\nname = " + strconv.Quote(name) + "\npaths = [" + strconv.Quote(filepath.Join(dir, name)) + "]\n"
	}
	r := newRig(t, more)
	random := seed(t)
	r.until("the volume is mounted", func(s state) bool { return s.Volume != "" })
	empty := r.allocated()
	var last int
	for range 4 {
		for _, name := range names {
			must(t, os.WriteFile(filepath.Join(dir, name, "data"), noise(random, 4<<20), 0o600))
		}
		r.ok(append([]string{"run"}, names...)...)
		r.until("the copies end", settled)
		last++
	}
	r.ok("prune")
	_, list, _ := r.backups()
	have := map[string]int{}
	newest := map[string]string{}
	for _, b := range list {
		have[b.Machine]++
		newest[b.Machine] = max(newest[b.Machine], b.Name)
	}
	for _, name := range names {
		if have[name] != 2 {
			t.Errorf("%s: %d backups, want 2: %+v", name, have[name], list)
		}
	}
	perBackup := 4 << 20 / (128 << 10)
	if used := r.allocated() - empty; used < 6*perBackup || used > 6*perBackup+40 {
		t.Errorf("%d blocks in use, want those of 6 backups, about %d", used, 6*perBackup)
	}
	// What is verified last stays, whatever becomes of the newer one.
	for _, name := range names {
		for _, b := range list {
			if b.Machine == name && b.Name == newest[name] {
				flip(t, filepath.Join(b.Dir, dir, name, "data"), 5)
				if o := r.run("verify", b.Name); o.code != 13 {
					t.Errorf("verify of what was changed: exit status %d", o.code)
				}
			}
		}
	}
	r.ok("stop")
	must(t, r.serve.Wait())
	r.serve = nil
	text, err := os.ReadFile(r.path("tresor.toml"))
	must(t, err)
	must(t, os.WriteFile(r.path("tresor.toml"), bytes.Replace(text, []byte("volume_versions = 2"), []byte("volume_versions = 1"), 1), 0o640))
	r.start()
	r.ok("prune")
	_, list, _ = r.backups()
	good := map[string]int{}
	for _, b := range list {
		if b.Verdict == "ok" {
			good[b.Machine]++
		}
	}
	for _, name := range names {
		if good[name] != 1 {
			t.Errorf("%s: %d verified backups are left, want the last one: %+v", name, good[name], list)
		}
	}
	r.ok("prune", "--dry-run")
}
