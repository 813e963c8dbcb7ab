package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// touch writes a signal file as scripts do.
func (r *rig) touch(name, text string) {
	r.t.Helper()
	r.write(r.path("signals", name), []byte(text))
}

// there tells whether a signal file is there, and what it says.
func (r *rig) there(name string) (text string, ok bool) {
	data, err := os.ReadFile(r.path("signals", name))
	return string(data), err == nil
}

func (r *rig) remove(name string) {
	r.t.Helper()
	must(r.t, os.Remove(r.path("signals", name)))
}

// within fails unless something is so within five seconds, and returns how long it took.
func (r *rig) within(what string, ok func() bool) time.Duration {
	r.t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return time.Since(begin)
		}
		if time.Since(begin) > 5*time.Second {
			r.t.Fatalf("not within five seconds: %s\n%s\n%s", what, r.ok("status"), r.logged())
		}
	}
}

// edit changes the configuration.
func (r *rig) edit(old, text string) {
	r.t.Helper()
	data, err := os.ReadFile(r.path("tresor.toml"))
	must(r.t, err)
	if !strings.Contains(string(data), old) {
		r.t.Fatalf("the configuration has no %q", old)
	}
	r.write(r.path("new.toml"), []byte(strings.Replace(string(data), old, text, 1)))
	must(r.t, os.Rename(r.path("new.toml"), r.path("tresor.toml"))) // who reloads never sees half of it
}

func (r *rig) ended() {
	r.t.Helper()
	for begin := time.Now(); !r.gone(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			r.t.Fatalf("the service does not end\n%s", r.logged())
		}
	}
	must(r.t, r.serve.Wait())
	r.serve = nil
}

func (r *rig) paused(by string) bool {
	return strings.Contains(r.ok("status"), "paused by "+by+" since")
}

// At the end of a round wait and softswitch are there for whoever looks; the disk is changed meanwhile, and who removes wait begins the next round. The schedule
// does it too, and a file that somebody else has written stays.
func TestSignalWaitAfterRound(t *testing.T) {
	r := newRig(t, "")
	r.edit("start = []", "start = [\"*:*:0/3\"]")
	r.edit("switch_after_round = false", "switch_after_round = true")
	r.touch("donotswitch", "") // so that the softswitch can be seen
	r.touch("waita", "by hand")
	r.within("waita pauses", func() bool { return r.paused("signal waita") })
	r.ok("reload")
	r.until("a round has begun", func(s state) bool { return s.Round != nil })
	r.edit("start = [\"*:*:0/3\"]", "start = []")
	r.ok("reload")
	r.remove("waita")
	r.until("the round ends", func(s state) bool { return s.Counters.Rounds == 1 })
	r.within("wait is there", func() bool { text, ok := r.there("wait"); return ok && strings.HasPrefix(text, "tresor: ") })
	r.within("the switch was tried: softswitch and switch are gone", func() bool {
		_, soft := r.there("softswitch")
		_, hard := r.there("switch")
		return !soft && !hard && r.status().Switch == nil
	})
	if s := r.status(); s.Counters.Switches != 0 || s.Round != nil {
		t.Errorf("have %+v", s.Counters)
	}
	r.remove("donotswitch")
	r.remove("wait")
	r.until("the next round", func(s state) bool { return s.Counters.Rounds == 2 })
	r.until("the disk is changed after it", func(s state) bool { return s.Counters.Switches == 1 })
	r.within("wait is there again", func() bool { _, ok := r.there("wait"); return ok })
	// A service that is killed does not take it for a new pause of somebody, and sees that it was removed meanwhile.
	r.kill()
	r.start()
	if _, ok := r.there("wait"); !ok || r.paused("signal wait") || !r.paused("round") {
		t.Errorf("after a restart: the file is there: %v\n%s", ok, r.ok("status"))
	}
	r.kill()
	r.remove("wait")
	r.start()
	r.until("the round that its end has begun", func(s state) bool { return s.Counters.Rounds == 3 })
	r.until("all is done", func(s state) bool { return len(s.Jobs) == 0 && s.Switch == nil })
	// tresor run ends the pause, and the file with it.
	r.ok("run", "office")
	r.within("the pause is over", func() bool { _, ok := r.there("wait"); return !ok })
}

// What was there when the service began is obeyed before anything is done, and what went away while none ran does not hold any more.
func TestSignalsAtStart(t *testing.T) {
	r := newRig(t, "")
	r.touch("waita", "")
	r.within("waita pauses", func() bool { return r.paused("signal waita") })
	r.ok("run", "mail 1") // its job waits, and softswitch for that
	for _, name := range []string{"wait", "astop", "donotswitch"} {
		r.touch(name, "")
	}
	r.within("all hold", func() bool {
		text := r.ok("status")
		return strings.Contains(text, "signal wait") && strings.Contains(text, "signal waita") && strings.Contains(text, "signal astop") && strings.Contains(text, "disabled")
	})
	r.touch("softswitch", "")
	r.within("softswitch is noted", func() bool { return r.status().Switch != nil })
	r.kill()
	for _, name := range []string{"wait", "waita", "astop", "donotswitch", "softswitch"} {
		r.remove(name)
	}
	r.start()
	if text := r.ok("status"); strings.Contains(text, "signal ") || strings.Contains(text, "disabled") || r.status().Switch != nil {
		t.Errorf("files that are gone still hold:\n%s", text)
	}
	if s := r.until("the job goes on", func(s state) bool { return settled(s) && s.Counters.Published == 1 }); s.Counters.Switches != 0 {
		t.Errorf("have %+v", s.Counters)
	}
	r.touch("noautostart", "")
	r.ok("stop")
	r.ended()
	r.start()
	if !r.paused("signal noautostart") {
		t.Errorf("noautostart does not hold the loop:\n%s", r.ok("status"))
	}
	if o := r.run("run", "office"); o.code != 3 || !strings.Contains(o.err, "noautostart") {
		t.Errorf("run: exit status %d, %s", o.code, o.err)
	}
	r.until("the volume is mounted all the same", func(s state) bool { return s.Volume == "disk-a" })
	r.ok("resume")
	if _, ok := r.there("noautostart"); ok || r.paused("signal noautostart") {
		t.Error("resume did not end noautostart")
	}
	r.ok("run", "office")
	r.touch("stop", "")
	r.ended()
	if _, ok := r.there("stop"); !ok {
		t.Error("stop is gone")
	}
	if o := r.run("serve"); o.code != 0 || !strings.Contains(o.err, "signal stop is there") {
		t.Errorf("a start with stop: exit status %d, %s", o.code, o.err)
	}
	if o := r.run("run", "office"); o.code != 3 || !strings.Contains(o.err, r.path("signals", "stop")) {
		t.Errorf("run with stop: exit status %d, %s", o.code, o.err)
	}
	r.remove("stop")
	r.start()
}

// A switch file stays until the switch was tried; one that is removed before takes it back; a wish of the command line is there as a file, too.
func TestSignalSwitch(t *testing.T) {
	r := newRig(t, "")
	r.ok("run")
	r.until("the copies end", func(s state) bool { return settled(s) && s.Counters.Published == 2 })
	r.touch("waita", "")
	r.within("waita pauses", func() bool { return r.paused("signal waita") })
	r.ok("run", "mail 1")
	r.touch("softswitch", "")
	r.within("it is noted", func() bool { s := r.status(); return s.Switch != nil && s.Switch.Soft })
	if _, ok := r.there("softswitch"); !ok {
		t.Error("softswitch is gone although the switch was not tried")
	}
	r.remove("softswitch")
	r.within("it is taken back", func() bool { return r.status().Switch == nil })
	r.ok("switch", "--soft")
	r.within("the wish can be seen", func() bool { _, ok := r.there("softswitch"); return ok })
	r.ok("switch", "--cancel")
	r.within("and is gone", func() bool { _, ok := r.there("softswitch"); return !ok && r.status().Switch == nil })
	r.touch("softswitch", "")
	r.within("it is noted", func() bool { return r.status().Switch != nil })
	r.touch("switch", "") // who cannot wait
	seen := false
	r.until("the disk is changed", func(s state) bool {
		_, ok := r.there("switch")
		seen = seen || ok && s.Switch != nil
		return s.Counters.Switches == 1
	})
	if !seen {
		t.Error("the file switch vanished before the disk was changed")
	}
	r.within("both are gone", func() bool {
		_, soft := r.there("softswitch")
		_, hard := r.there("switch")
		return !soft && !hard
	})
	time.Sleep(1500 * time.Millisecond)
	if s := r.status(); s.Counters.Switches != 1 || s.Volume != "disk-b" || s.Switch != nil {
		t.Errorf("one wish is one switch: have %+v on %s", s.Counters, s.Volume)
	}
	r.remove("waita")
	r.until("the job goes on on the next disk", func(s state) bool { return settled(s) && s.Counters.Published == 3 })
	// A dead process does not switch twice: it is killed while the file is there.
	r.touch("switch", "")
	r.within("it has begun", func() bool { return r.status().Switch != nil || r.status().Counters.Switches == 2 })
	r.kill()
	r.start()
	r.until("the switch is done", func(s state) bool { return settled(s) && s.Counters.Switches == 2 })
	time.Sleep(1500 * time.Millisecond)
	if s := r.status(); s.Counters.Switches != 2 || s.Volume != "disk-a" {
		t.Errorf("after a kill: %d switches, on %s", s.Counters.Switches, s.Volume)
	}
	r.touch("reload", "")
	r.within("reload is consumed", func() bool { _, ok := r.there("reload"); return !ok })
	r.edit("attempts = 5", "attempst = 5")
	r.touch("reload", "")
	r.within("a wrong configuration is told", func() bool { return strings.Contains(r.logged(), "attempst") })
	r.edit("attempst = 5", "attempts = 5")
	// A file that is being written is no configuration, although nothing is a legal one.
	text, err := os.ReadFile(r.path("tresor.toml"))
	must(t, err)
	r.write(r.path("tresor.toml"), nil)
	if o := r.runAt(r.path("run", "sock"), "reload"); o.code != 14 || !strings.Contains(o.err, "paths.state") {
		t.Errorf("reload of an empty file: exit status %d, %s", o.code, o.err)
	}
	r.write(r.path("tresor.toml"), text)
	r.ok("run", "office")
}

// Signals take effect within five seconds inside of a copy and inside of a verification, on a real volume; what was cut off is no failure and goes on.
func TestSignalEffect(t *testing.T) {
	r := newRig(t, "")
	r.write(r.path("mail", "big.img"), noise(seed(t), 160<<20))
	doing := func(what string) bool { s := r.status(); return len(s.Jobs) == 1 && s.Jobs[0].State == what }
	// moves tells whether the volume's daemon reads or writes more than what it does to keep its house.
	moves := func() bool {
		before := r.moved()
		time.Sleep(200 * time.Millisecond)
		return r.moved()-before > 256<<10
	}
	r.ok("run", "--no-wait", "mail 1")
	for _, c := range []struct{ signal, during string }{{"waita", "copying"}, {"astop", "copying"}, {"waita", "verifying"}, {"astop", "verifying"}} {
		r.until("the job is "+c.during, func(s state) bool { return doing(c.during) || s.Counters.Published > 0 })
		if r.status().Counters.Published > 0 {
			t.Fatalf("the job was over before %s during %s", c.signal, c.during)
		}
		r.touch(c.signal, "")
		begin := time.Now()
		r.within(c.signal+" ends what is "+c.during, func() bool { return r.paused("signal "+c.signal) && !moves() })
		t.Logf("%s during %s: still after %s", c.signal, c.during, time.Since(begin))
		if !doing(c.during) {
			t.Errorf("%s during %s: the job is %+v", c.signal, c.during, r.status().Jobs)
		}
		r.remove(c.signal)
	}
	s := r.until("it ends well", func(s state) bool { return settled(s) && s.Counters.Published == 1 })
	if s.Counters.Failures != 0 || s.Counters.Mismatches != 0 || s.Counters.JobsFailed != 0 {
		t.Errorf("counters: %+v", s.Counters)
	}
	r.equal()
	// stop waits for no copy from the buffer; it goes on at the next start.
	r.write(r.path("mail", "big.img"), noise(seed(t), 160<<20))
	r.ok("run", "mail 1")
	r.until("it copies", func(s state) bool { return doing("copying") })
	begin := time.Now()
	r.touch("stop", "")
	r.ended()
	t.Logf("stop during a copy: the service ended, the volume was unmounted after %s", time.Since(begin))
	r.remove("stop")
	r.start()
	r.until("it ends well", func(s state) bool { return settled(s) && s.Counters.Published == 2 })
}

// moved is what the processes of this rig have read and written so far, in bytes.
func (r *rig) moved() (sum uint64) {
	r.t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(r.t, err)
	for _, name := range list {
		line, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(line), r.dir) || !strings.Contains(string(line), "ddumbfs") {
			continue
		}
		io, err := os.ReadFile(filepath.Join(filepath.Dir(name), "io"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(io)) {
			var n uint64
			if _, err := fmt.Sscanf(line, "rchar: %d", &n); err == nil {
				sum += n
			}
			if _, err := fmt.Sscanf(line, "wchar: %d", &n); err == nil {
				sum += n
			}
		}
	}
	return sum
}

// What stands in the place of a signal and is none is told and not obeyed, and nothing outside is touched.
func TestSignalHostile(t *testing.T) {
	r := newRig(t, "")
	secret := r.path("secret")
	r.write(secret, []byte("the secret"))
	must(t, os.Symlink(secret, r.path("signals", "stop")))
	must(t, os.Mkdir(r.path("signals", "switch"), 0o755))
	must(t, syscall.Mkfifo(r.path("signals", "wait"), 0o666))
	r.touch("skipcrc", strings.Repeat("a\x1b[2J", 1<<20))
	r.within("they are told", func() bool {
		text := r.logged()
		return strings.Contains(text, "a symbolic link") && strings.Contains(text, "a directory") && strings.Contains(text, "a pipe")
	})
	r.ok("run", "office")
	if s := r.status(); !s.Running || s.Switch != nil || r.paused("signal wait") || len(r.logged()) > 100_000 {
		t.Errorf("have %+v", s)
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "the secret" {
		t.Errorf("the file outside: %q, %v", data, err)
	}
}

// A request whose file cannot be removed is served once, and told; a new file is a new request.
func TestSignalStuck(t *testing.T) {
	r := newRig(t, "")
	must(t, os.MkdirAll(r.path("signals", ".consumed-switch"), 0o755))
	for n := int64(1); n <= 2; n++ {
		r.touch("switch", fmt.Sprint(n))
		r.until("it is served", func(s state) bool { return settled(s) && s.Counters.Switches == n })
		time.Sleep(1500 * time.Millisecond)
		if _, ok := r.there("switch"); !ok {
			t.Fatal("the file is gone: the test shows nothing")
		}
		if s := r.status(); s.Counters.Switches != n || s.Switch != nil {
			t.Errorf("it was served again: %d switches, want %d", s.Counters.Switches, n)
		}
		if n == 2 { // the file that stays takes nobody else's wish back
			r.ok("switch", "--wait")
			break
		}
		r.remove("switch")
		time.Sleep(1100 * time.Millisecond) // of two files in one second nobody could tell which one was served
	}
	if !strings.Contains(r.logged(), "consume signal switch") {
		t.Errorf("it was not told:\n%s", r.logged())
	}
}

// crcstopS ends the second reading of a source: the copy is proved by the sums of the first one, and its record says so.
func TestSignalCRCStop(t *testing.T) {
	r := newRig(t, "[verify]\nsource_again = true\nsource_parallel = true\n")
	r.write(r.path("mail", "big.img"), noise(seed(t), 160<<20))
	r.ok("run", "--no-wait", "mail 1")
	r.stopWhenCopied("mail 1")
	r.goOn()
	r.until("the copy ends", func(s state) bool {
		if _, ok := r.there("crcstopS"); !ok && s.Counters.Published == 0 {
			r.touch("crcstopS", "")
		}
		return settled(s) && s.Counters.Published+s.Counters.JobsFailed == 1
	})
	b := r.newest("mail 1")
	text, err := os.ReadFile(filepath.Join(b.Dir, "backup.json"))
	must(t, err)
	if b.Verdict != "ok" || !strings.Contains(string(text), "the source was not read a second time: the signal crcstopS") {
		t.Errorf("have verdict %q, record %s", b.Verdict, text)
	}
	r.within("the signal is consumed", func() bool { _, ok := r.there("crcstopS"); return !ok })
	r.equal()
}

// An orderly reboot ends the service, closes the volume, and only then runs the command of the configuration.
func TestReboot(t *testing.T) {
	dir := t.TempDir()
	script, out := filepath.Join(dir, "reboot now"), filepath.Join(dir, "out")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n(echo \"$1\"; cat /proc/self/mounts) > "+out+"\n"), 0o755))
	r := newRig(t, fmt.Sprintf("[control]\nreboot_command = [%q, \"a b; c\"]\n", script))
	r.ok("run", "office")
	r.ok("reboot")
	r.ended()
	text, err := os.ReadFile(out)
	must(t, err)
	if !strings.HasPrefix(string(text), "a b; c\n") {
		t.Errorf("arguments: have %.40q", text)
	}
	if strings.Contains(string(text), r.dir) {
		t.Errorf("it was still mounted: %s", text)
	}
	r.start()
	r.edit(script, "/nonexistent")
	r.ok("reload")
	r.ok("reboot")
	err = r.serve.Wait()
	r.serve = nil
	if err == nil || !strings.Contains(r.logged(), "/nonexistent") {
		t.Errorf("a command that does not exist: have %v\n%s", err, r.logged())
	}
}
