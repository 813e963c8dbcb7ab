package scrub_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/scrub"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

const bs = 64 << 10

func random(id uint64, n int) []byte {
	r := rand.New(rand.NewPCG(9, id))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

type rig struct {
	t *testing.T
	o mounttest.Options
	m *mounttest.Mount
}

func newRig(t *testing.T, o mounttest.Options) *rig {
	t.Helper()
	o.Parent = mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 128 << 20, BlockSize: bs}})
	o.Verdict = []fsck.Status{fsck.OK, fsck.Lost, fsck.Errors}
	return &rig{t, o, mounttest.Volume(t, o)}
}

func (r *rig) put(name string, data []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.m.Path(name), data, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// reads tells whether a file reads as this.
func (r *rig) reads(name string, want []byte) bool {
	have, err := os.ReadFile(r.m.Path(name))
	return err == nil && bytes.Equal(have, want)
}

func (r *rig) volume() *indextest.Volume { return indextest.Describe(r.t, disk.OS(), r.o.Parent) }

// damage changes a block of a file in the block file, below the mount.
func (r *rig) damage(name string, block int) format.Address {
	r.t.Helper()
	r.m.Syncfs()
	v := r.volume()
	_, e := v.Recipe(name)
	v.DamageBlock(e[block].Addr)
	return e[block].Addr
}

// scrub runs the program on the mount and returns its report.
func (r *rig) scrub(code int, args ...string) *scrub.Report {
	r.t.Helper()
	return report(r.t, code, append([]string{"scrub", "--json", r.m.Point}, args...)...)
}

func report(t *testing.T, code int, args ...string) *scrub.Report {
	t.Helper()
	o := mounttest.Run(t, args...)
	var rep scrub.Report
	if err := json.Unmarshal([]byte(o.Out), &rep); err != nil || o.Code != code {
		t.Fatalf("ddumbfs %q: have status %d, want %d, %v\n%s%s", args, o.Code, code, err, o.Out, o.Err)
	}
	return &rep
}

func (r *rig) remount() {
	r.t.Helper()
	r.m.Unmount()
	r.m = mounttest.Volume(r.t, r.o)
}

// TestHeal: damage below a mount is found by a scrub, every place is named; the same content in another file heals all of them, also after a remount.
func TestHeal(t *testing.T) {
	for _, remount := range []bool{false, true} {
		t.Run("remount "+strconv.FormatBool(remount), func(t *testing.T) {
			r := newRig(t, mounttest.Options{Daemon: true})
			data := random(1, 20*bs+100)
			two := append(random(2, bs), data[5*bs:8*bs]...)
			r.put("one", data)
			r.put("two", two)
			a := r.damage("one", 6)
			b := r.damage("one", 20)
			rep := r.scrub(4)
			want := []scrub.Damage{{Path: "one", Offset: 6 * bs, Address: uint64(a)}, {Path: "one", Offset: 20 * bs, Address: uint64(b)}, {Path: "two", Offset: 2 * bs, Address: uint64(a)}}
			if rep.Bad != 2 || rep.New != 2 || !rep.Complete || !slices.Equal(rep.Files, want) || rep.Blocks != 22 {
				t.Errorf("have %+v, want %v", rep, want)
			}
			if log := r.m.Log(); !strings.Contains(log, "one, offset "+strconv.Itoa(6*bs)) {
				t.Errorf("the log does not name the file and the offset:\n%s", log)
			}
			if o := mounttest.Run(t, "verify", r.m.Path("one")); o.Code != 4 || strings.Count(o.Out, "mismatch") != 2 {
				t.Errorf("verify of the damaged file: have status %d\n%s%s", o.Code, o.Out, o.Err)
			}
			if remount {
				r.remount()
				if rep = r.scrub(4); rep.Bad != 2 || rep.New != 0 || !slices.Equal(rep.Files, want) {
					t.Errorf("after the remount: have %+v", rep)
				}
			}
			if rep = report(t, 4, "scrub", "--status", "--json", r.m.Point); len(rep.BadBlocks) != 2 || rep.Oldest == 0 {
				t.Errorf("status: have %+v", rep)
			}
			r.put("again", data)
			r.m.Syncfs()
			drop(t)
			if !r.reads("one", data) || !r.reads("again", data) {
				t.Error("the files do not read right after the content was written again")
			}
			if rep = r.scrub(0); rep.Damaged() || len(rep.Files) != 0 {
				t.Errorf("healed: have %+v", rep)
			}
			r.remount()
			if rep = r.scrub(0); rep.Damaged() || !r.reads("one", data) || !r.reads("two", two) {
				t.Errorf("healed and remounted: have %+v", rep)
			}
			// Reading has put the entries of both right.
			mounttest.MustRun(t, "verify", r.m.Path("one"), r.m.Path("two"), r.m.Path("again"))
		})
	}
}

// drop empties the page caches.
func drop(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		t.Skip(err)
	}
}

// TestBesideWriters scrubs a mount while files are written and removed and blocks reclaimed: nobody is accused, and nobody waits for it.
func TestBesideWriters(t *testing.T) {
	r := newRig(t, mounttest.Options{})
	data := random(3, 10*bs)
	r.put("good", data)
	stop := make(chan struct{})
	var w sync.WaitGroup
	for k := range uint64(2) {
		w.Go(func() {
			for i := uint64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := r.m.Path("w" + strconv.FormatUint(k, 10) + "-" + strconv.FormatUint(i%3, 10))
				if err := os.WriteFile(name, random(k*100+i%7, 5*bs), 0o600); err != nil {
					t.Error(err)
					return
				}
				if i%4 == 3 {
					if err := os.Remove(name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range 6 {
		if rep := r.scrub(0); rep.Damaged() || len(rep.Files) != 0 || !rep.Complete {
			t.Errorf("run %d: have %+v, want no damage", i, rep)
		}
		mounttest.MustRun(t, "verify", r.m.Path("good"))
		if o := mounttest.Run(t, "reclaim", r.m.Point); o.Code != 0 {
			t.Errorf("reclaim: have status %d: %s", o.Code, o.Err)
		}
	}
	close(stop)
	w.Wait()
	if !r.reads("good", data) {
		t.Error("a file that nobody touched has changed")
	}
}

// TestKilledScrub kills a slow scrub of an unmounted volume, and the client of a mounted one: the next run goes on where they were.
func TestKilledScrub(t *testing.T) {
	r := newRig(t, mounttest.Options{Daemon: true})
	r.put("f", random(4, 200*bs))
	slow := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(mounttest.Binary(t), append([]string{"scrub", name, "--max-rate", "4M"}, args...)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := slow(r.m.Point)
	time.Sleep(1500 * time.Millisecond)
	_ = c.Process.Kill()
	_ = c.Wait()
	var st scrub.Status
	if !mounttest.Until(10*time.Second, func() bool {
		o := mounttest.MustRun(t, "scrub", "--status", "--json", r.m.Point)
		return json.Unmarshal([]byte(o.Out), &st) == nil && strings.Contains(o.Out, `"running": false`)
	}) {
		t.Fatal("the scrub of a client that was killed goes on")
	}
	if st.Cursor < 20 || st.Cursor > 190 || st.Never != 1 {
		t.Errorf("after 1.5 s at 4 MiB/s: have %+v, want the cursor near block 90", st)
	}
	rep := r.scrub(0)
	// Blocks may lie apart, so that fewer than the cursor says are below it.
	if least := 202 - st.Cursor; rep.Blocks < least || rep.Blocks >= 200 || !rep.Complete || rep.Never != 0 {
		t.Errorf("the next run: have %d blocks, want those behind the cursor, %d or a few more: %+v", rep.Blocks, least, rep)
	}
	r.m.Unmount()
	c = slow(r.o.Parent)
	time.Sleep(time.Second)
	_ = c.Process.Kill()
	_ = c.Wait()
	if rep = report(t, 0, "scrub", "--json", r.o.Parent); rep.Blocks != 200 || !rep.Complete {
		t.Errorf("after a kill without a word: have %+v, want all blocks", rep)
	}
	if rep = report(t, 0, "scrub", "--json", "--max-time", "1s", "--max-rate", "4M", r.o.Parent); rep.Stopped != "time" || rep.Complete || rep.Blocks < 30 || rep.Blocks > 100 {
		t.Errorf("a second at 4 MiB/s: have %+v", rep)
	}
	if rep = report(t, 0, "scrub", "--json", "--older-than", "30d", r.o.Parent); rep.Blocks != 0 {
		t.Errorf("verified lately: have %d blocks read, want none", rep.Blocks)
	}
	r.m = mounttest.Volume(t, r.o)
}

// TestVerify compares files of a mounted volume with outside ones, and finds them by every kind of path.
func TestVerify(t *testing.T) {
	r := newRig(t, mounttest.Options{Daemon: true})
	data := random(5, 30*bs+17)
	clear(data[3*bs : 20*bs])
	if err := os.Mkdir(r.m.Path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.put("dir/file", data) // not synced: verify does that
	outside := filepath.Join(t.TempDir(), "outside")
	write := func(p []byte) {
		if err := os.WriteFile(outside, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(data)
	mounttest.MustRun(t, "verify", "--against", outside, "--read", r.m.Path("dir/file"))
	under := filepath.Join(r.o.Parent, format.RootName, "dir", "file")
	mounttest.MustRun(t, "verify", under, filepath.Join(r.o.Parent, "dir", "file"))
	bad := bytes.Clone(data)
	bad[25*bs] ^= 1
	write(bad[:29*bs])
	o := mounttest.Run(t, "verify", "--json", "--against", outside, r.m.Path("dir/file"))
	if o.Code != 4 || !strings.Contains(o.Out, `"differs"`) || !strings.Contains(o.Out, strconv.Itoa(25*bs)) || !strings.Contains(o.Out, `"only in the volume"`) {
		t.Errorf("a file that differs: have status %d\n%s%s", o.Code, o.Out, o.Err)
	}
	for _, c := range []struct {
		args []string
		code int
	}{{[]string{r.m.Path("none")}, 6}, {[]string{r.m.Path(".ddumbfs/stats")}, 2}, {[]string{r.m.Point}, 2}, {[]string{"/etc/passwd"}, 6}, {nil, 2},
		{[]string{"--read", under}, 2}, {[]string{"--against", outside, under, under}, 2}, {[]string{r.m.Path("dir")}, 1}} {
		if o := mounttest.Run(t, append([]string{"verify"}, c.args...)...); o.Code != c.code {
			t.Errorf("verify %q: have status %d, want %d\n%s%s", c.args, o.Code, c.code, o.Out, o.Err)
		}
	}
	// A file that is being written is not accused.
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(r.m.Path("dir/file"), os.O_RDWR, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := f.WriteAt(random(1000+i, bs+5000), int64(i%28)*bs); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for range 8 {
		if o := mounttest.Run(t, "verify", r.m.Path("dir/file")); o.Code != 0 {
			t.Errorf("a file that is being written: have status %d\n%s%s", o.Code, o.Out, o.Err)
		}
	}
	close(stop)
	<-done
	r.m.Unmount()
	mounttest.MustRun(t, "verify", filepath.Join(r.o.Parent, "dir", "file"))
	r.m = mounttest.Volume(t, r.o)
}
