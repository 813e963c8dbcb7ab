package service

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
)

// daemons are the processes of ddumbfs that serve a volume of this rig.
func (r *rig) daemons() (pids []int) {
	r.t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(r.t, err)
	for _, name := range list {
		text, err := os.ReadFile(name)
		args := strings.Split(string(text), "\x00")
		if err != nil || filepath.Base(args[0]) != "ddumbfs" || !slices.ContainsFunc(args[1:], func(a string) bool { return strings.HasPrefix(a, r.dir+"/") }) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(name, "/")[2])
		must(r.t, err)
		pids = append(pids, pid)
	}
	return pids
}

// The process that serves the volume is killed in the middle of a copy. The next disk is taken, the job goes on there, and nothing of the half copy is
// published. When the first disk comes back it is repaired before it is used, its older backup is whole, and what the job left there goes.
func TestKilledVolume(t *testing.T) {
	sink := mailbox(t)
	r := newRig(t, mailTo(sink))
	r.ok("run", "office")
	r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published == 1 })
	r.write(r.path("mail", "big.img"), noise(seed(t), 150<<20))
	r.ok("run", "--no-wait", "mail 1")
	r.until("it copies", func(s state) bool { return len(s.Jobs) == 1 && s.Jobs[0].State == "copying" })
	pids := r.daemons()
	if len(pids) == 0 {
		t.Fatal("no process serves the volume")
	}
	for _, pid := range pids {
		must(t, unix.Kill(pid, unix.SIGKILL))
	}
	s := r.until("the job ends on the other disk", func(s state) bool { return settled(s) && s.Counters.Published == 2 })
	if s.Volume != "disk-b" || s.Counters.JobsFailed != 0 {
		t.Errorf("in use: %s, %+v", s.Volume, s.Counters)
	}
	r.equal()
	r.ok("verify", "--all")
	awaitMail(t, sink, "disk-a cannot be used")
	r.ok("switch", "disk-a", "--wait")
	if s := r.status(); s.Volume != "disk-a" {
		t.Fatalf("in use: %s\n%s", s.Volume, r.logged())
	}
	if text := r.whole(); !strings.Contains(text, "volume disk-a: disk-mounted to fsck: with a check") {
		t.Errorf("nobody tells of a repair of disk-a:\n%s", r.logged())
	}
	_, list, _ := r.backups()
	if len(list) != 1 || list[0].Machine != "office" {
		t.Errorf("on disk-a: %+v", list)
	}
	r.ok("verify", "--all")
	left, err := os.ReadDir(r.path("volume", "bazaar.tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in bazaar.tmp: %v, %v", left, err)
	}
}

// whole is all that the service has logged.
func (r *rig) whole() string {
	text, err := os.ReadFile(r.path("service.log"))
	must(r.t, err)
	return string(text)
}

// Whoever looks changes nothing: not a file of the state, not a mount, not a loop device, with the service and without it, many at a time.
func TestLooking(t *testing.T) {
	r := newRig(t, "")
	r.ok("run", "office")
	r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published == 1 })
	look := func() {
		t.Helper()
		before := r.picture()
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				for _, args := range [][]string{{"status"}, {"status", "--json"}, {"log"}} {
					if o := r.run(args...); o.code != 0 {
						t.Errorf("tresor %q: exit status %d, %s", args, o.code, o.err)
					}
				}
			})
		}
		all.Wait()
		if after := r.picture(); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	}
	time.Sleep(300 * time.Millisecond) // for the round to be over in every file
	look()
	if s := r.status(); len(s.TakeAway) != 1 || s.TakeAway[0] != "disk-b" {
		t.Errorf("can be taken away: %q, want disk-b", s.TakeAway)
	}
	r.ok("stop")
	must(t, r.serve.Wait())
	r.serve = nil
	look()
}

// picture is everything that looking may not change.
func (r *rig) picture() string {
	r.t.Helper()
	var b strings.Builder
	for _, top := range []string{r.path("state"), r.path("signals"), r.path("buffer"), r.path("index")} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil || info.Size() > 1<<20 {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(&b, "%s %s %x\n", path, info.ModTime(), sha256.Sum256(text))
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			r.t.Error(err)
		}
	}
	mounts, err := index.Mounts()
	must(r.t, err)
	for _, m := range mounts {
		if strings.HasPrefix(m.Point, r.dir+"/") {
			fmt.Fprintln(&b, m)
		}
	}
	fmt.Fprintln(&b, r.loops())
	return b.String()
}
