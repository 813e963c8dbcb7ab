package service

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flip changes all bits of a byte of a file.
func flip(t *testing.T, name string, off int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	must(t, err)
	b[0] = ^b[0]
	_, err = f.WriteAt(b[:], off)
	must(t, err)
	must(t, f.Sync())
}

// onDisk finds where a disk holds some content, in the file below the loop device: a change there passes by every page cache above.
func onDisk(t *testing.T, disk string, content []byte) int64 {
	t.Helper()
	f, err := os.Open(disk)
	must(t, err)
	defer f.Close()
	const piece = 8 << 20
	buf := make([]byte, piece+len(content))
	for off := int64(0); ; {
		data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			t.Fatalf("%s does not hold the content", disk)
		}
		must(t, err)
		n, err := f.ReadAt(buf, data)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if i := bytes.Index(buf[:n], content); i >= 0 {
			return data + int64(i)
		}
		off = data + piece
	}
}

// stopWhenCopied stops the service's process when the copy of a machine is complete and not yet verified, and returns its directory in bazaar.tmp.
func (r *rig) stopWhenCopied(machine string) string {
	r.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		list, err := filepath.Glob(filepath.Join(r.path("volume", "bazaar.tmp"), machine+"-*"))
		must(r.t, err)
		for _, name := range list {
			if !strings.HasSuffix(name, ".partial") {
				must(r.t, r.serve.Process.Signal(syscall.SIGSTOP))
				return name
			}
		}
	}
	r.t.Fatalf("no copy of %s was seen before its verification\n%s", machine, r.logged())
	return ""
}

func (r *rig) goOn() {
	r.t.Helper()
	must(r.t, r.serve.Process.Signal(syscall.SIGCONT))
}

// newest is the newest backup of a machine on the volume in use.
func (r *rig) newest(machine string) (b backup) {
	r.t.Helper()
	_, list, _ := r.backups()
	for _, x := range list {
		if x.Machine == machine && x.Name > b.Name {
			b = x
		}
	}
	if b.Name == "" {
		r.t.Fatalf("there is no backup of %s: %+v", machine, list)
	}
	return b
}

// equal compares the image of the newest backup with its source.
func (r *rig) equal() {
	r.t.Helper()
	have, err := os.ReadFile(filepath.Join(r.newest("mail 1").Dir, r.path("mail", "disk.img")))
	must(r.t, err)
	want, err := os.ReadFile(r.path("mail", "disk.img"))
	must(r.t, err)
	if !bytes.Equal(have, want) {
		r.t.Errorf("the newest backup differs from its source")
	}
}

// image are n bytes of the source's image.
func (r *rig) image(off int64, n int) []byte {
	r.t.Helper()
	f, err := os.Open(r.path("mail", "disk.img"))
	must(r.t, err)
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, off)
	must(r.t, err)
	return b
}

// A byte of the disk that changes right after the copy, below every cache, is found before the backup is published; it is copied again, and told.
func TestFlipOnDiskAfterCopy(t *testing.T) {
	r := newRig(t, "")
	r.ok("run", "--no-wait", "mail 1")
	r.stopWhenCopied("mail 1")
	const last = imageSize - 4096
	at := onDisk(t, r.path("disk-a.img"), r.image(last, 4096))
	flip(t, r.path("disk-a.img"), at+100)
	r.goOn()
	s := r.until("the copy ends", func(s state) bool { return settled(s) && s.Counters.Published == 1 })
	if s.Counters.Mismatches != 1 {
		t.Errorf("mismatches: have %d, want 1\n%s", s.Counters.Mismatches, r.logged())
	}
	if b := r.newest("mail 1"); b.Verdict != "ok" {
		t.Errorf("after the second copy: have %+v", b)
	}
	r.equal()
	r.ok("verify", "--all")
}

// A published backup that changes, through the mount or on the disk, is found by verify and marked.
func TestFlipPublished(t *testing.T) {
	r := newRig(t, "")
	r.ok("run")
	r.until("the copies end", func(s state) bool { return settled(s) && s.Counters.Published == 2 })
	r.ok("verify", "--all")
	office := r.newest("office")
	flip(t, filepath.Join(office.Dir, r.path("office", "Büro 1", "file 3")), 77)
	mail := r.newest("mail 1")
	flip(t, r.path("disk-a.img"), onDisk(t, r.path("disk-a.img"), r.image(imageSize/2, 4096))+5)
	for _, b := range []backup{office, mail} {
		if o := r.run("verify", b.Name); o.code != 13 || !strings.Contains(o.out, b.Name+": ") {
			t.Errorf("verify %s: exit status %d, %s%s", b.Name, o.code, o.out, o.err)
		}
		if now := r.newest(b.Machine); now.Verdict != "mismatch" && now.Verdict != "error" {
			t.Errorf("%s: verdict %q", b.Name, now.Verdict)
		}
		if _, err := os.Stat(filepath.Join(b.Dir, "CRC-FAILURE")); err != nil {
			t.Errorf("%s has no mark: %v", b.Name, err)
		}
	}
	// The next backup stores again what was lost.
	r.ok("run")
	r.until("the copies end", func(s state) bool { return settled(s) && s.Counters.Published == 4 })
	r.equal()
}

// Pause takes effect within five seconds in the middle of a copy, and what was cut off goes on; stop --now ends the service as fast.
func TestPauseAndStopNow(t *testing.T) {
	r := newRig(t, "")
	random := seed(t)
	r.write(r.path("mail", "big.img"), noise(random, 200<<20))
	copying := func(s state) bool {
		return len(s.Jobs) == 1 && s.Jobs[0].State == "copying"
	}
	r.ok("run", "--no-wait", "mail 1")
	r.until("it copies", copying)
	r.ok("pause", "for", "a", "test")
	r.stands()
	r.ok("resume")
	r.until("it copies again", copying)
	begin := time.Now()
	r.ok("stop", "--now")
	must(t, r.serve.Wait())
	r.serve = nil
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("stop --now, the unmount included, took %s", d)
	}
	r.start()
	s := r.until("it is done after the restart", func(s state) bool { return settled(s) && s.Counters.Published == 1 })
	if s.Counters.Failures != 0 || s.Counters.Mismatches != 0 || s.Counters.Backups != 1 {
		t.Errorf("counters: %+v", s.Counters)
	}
	r.equal()
}
