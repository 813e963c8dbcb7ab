package crash

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/integration/mounttest"
)

// tool is an offline command that is killed.
type tool struct {
	name string
	args []string // PARENT follows
	code int
	// sound needs a volume that was closed cleanly; others get one whose daemon was killed.
	sound bool
	empty bool // the files are to be gone
}

// TestKilledTools kills the real programs that change a volume after a random while, again and again until one of them comes to its end, and
// compares what is on the disk then with what an undisturbed run leaves, byte for byte.
func TestKilledTools(t *testing.T) {
	rounds := 5
	if long() {
		rounds = 100
	}
	n := seed(t)
	unclean, sound := killedVolume(t, source(n, 1))
	for i, c := range []tool{
		{name: "repair", args: []string{"fsck", "-n"}},
		{name: "rebuild", args: []string{"fsck", "-r"}},
		{name: "rebuild of all", args: []string{"fsck", "-R"}},
		{name: "pack", args: []string{"fsck", "-n", "-k"}},
		{name: "grow", args: []string{"resize", "-s", "3G", "-o", "1.5"}, sound: true},
		{name: "shrink", args: []string{"resize", "-s", "96M"}, sound: true},
		{name: "reinit", args: []string{"reinit", "-y"}, sound: true, empty: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := unclean
			if c.sound {
				from = sound
			}
			k := &toolKiller{t: t, tool: c, rnd: source(n, 100+i), from: from}
			k.run(rounds)
		})
	}
}

// killedVolume makes a volume that its daemon left unclean, and one of the same files that it left clean. Both have holes.
func killedVolume(t *testing.T, rnd *rand.Rand) (unclean, sound string) {
	t.Helper()
	parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Hash: "TIGER", BlockSize: 4096, Size: 512 << 20}})
	o := mounttest.Options{Parent: parent, Daemon: true, List: "checkpoint=2M", NoCheck: true}
	m := mounttest.Volume(t, o)
	for i := range 60 {
		data := make([]byte, rnd.IntN(600<<10))
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		f, err := os.Create(m.Path(fmt.Sprint(i)))
		if err == nil {
			_, err = f.Write(data)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 60; i += 3 {
		if err := os.Remove(m.Path(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	m.Reclaim()
	m.Kill()
	unclean, sound = filepath.Join(t.TempDir(), "unclean"), filepath.Join(t.TempDir(), "sound")
	duplicate(t, parent, unclean)
	duplicate(t, parent, sound)
	if out := mounttest.Run(t, "fsck", "-n", sound); out.Code != 0 {
		t.Fatalf("repair: have exit code %d, want 0\n%s%s", out.Code, out.Out, out.Err)
	}
	return unclean, sound
}

func duplicate(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy volume: %v\n%s", err, out)
	}
}

// toolKiller kills one tool.
type toolKiller struct {
	t    *testing.T
	tool tool
	rnd  *rand.Rand
	from string
}

func (k *toolKiller) run(rounds int) {
	t := k.t
	dir := filepath.Join(t.TempDir(), "v")
	duplicate(t, k.from, dir)
	files := digest(t, filepath.Join(dir, format.RootName), nil)
	begin := time.Now()
	if killed := k.start(dir, 0); killed {
		t.Fatal("not started")
	}
	whole := time.Since(begin)
	want := k.state(dir)
	k.judge(dir, len(files))
	kills := 0
	for range rounds {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		duplicate(t, k.from, dir)
		for range 1 + k.rnd.IntN(3) {
			if k.start(dir, 1+time.Duration(k.rnd.Int64N(int64(whole)))) {
				kills++
			}
		}
		k.start(dir, 0)
		have := k.state(dir)
		if !maps.Equal(have, want) {
			t.Errorf("after kills the volume is not the same: %q differ", differences(have, want))
			return
		}
	}
	k.judge(dir, len(files))
	t.Logf("%d rounds, %d kills within %v", rounds, kills, whole.Round(time.Millisecond))
	if kills == 0 {
		t.Error("no run was ever killed: nothing was tested")
	}
}

// start runs the tool and kills it after a while; 0: never, and then it must succeed.
func (k *toolKiller) start(dir string, after time.Duration) (killed bool) {
	t := k.t
	t.Helper()
	c := exec.Command(mounttest.Binary(t), append(slices.Clone(k.tool.args), dir)...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = c.Process.Kill() }) // it may have ended
		defer timer.Stop()
	}
	err := c.Wait()
	if after > 0 && c.ProcessState.ExitCode() < 0 {
		return true
	}
	if c.ProcessState.ExitCode() != k.tool.code {
		t.Fatalf("%s: have %v, want exit code %d\n%s", strings.Join(k.tool.args, " "), err, k.tool.code, out.String())
	}
	return false
}

// judge checks the volume, and that no file was lost.
func (k *toolKiller) judge(dir string, files int) {
	t := k.t
	t.Helper()
	indextest.AssertClean(t, dir)
	if k.tool.empty {
		files = 0
	}
	v := indextest.Describe(t, disk.OS(), dir)
	names := v.Files()
	if len(names) != files {
		t.Errorf("have %d files, want %d", len(names), files)
	}
	for _, name := range names {
		if _, err := v.ReadFile(name); err != nil {
			t.Error(err)
		}
	}
	if !k.tool.sound {
		return
	}
	if sum := indextest.AssertStatus(t, disk.OS(), dir, fsck.OK); sum.FilesNotIndex > 0 {
		t.Errorf("%d blocks of files are not in the index", sum.FilesNotIndex)
	}
}

// state is the volume to the byte, but for what depends on the time and reports.
func (k *toolKiller) state(dir string) map[string][sha256.Size]byte {
	return digest(k.t, dir, func(name string) bool {
		return name == ".ddfssnapshot" || strings.HasPrefix(name, "corrupted.txt") || strings.HasSuffix(name, ".log")
	})
}

// digest hashes all files below a directory.
func digest(t testing.TB, dir string, skip func(name string) bool) map[string][sha256.Size]byte {
	t.Helper()
	all := map[string][sha256.Size]byte{}
	err := filepath.WalkDir(dir, func(path string, d iofs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, dir+"/")
		if err != nil || !d.Type().IsRegular() || strings.Contains(name, format.SpecialName+"/") || skip != nil && skip(name) {
			return err
		}
		p, err := os.ReadFile(path)
		all[name] = sha256.Sum256(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// differences are the names of what is not the same.
func differences(a, b map[string][sha256.Size]byte) (list []string) {
	for name := range a {
		if have, ok := b[name]; !ok || have != a[name] {
			list = append(list, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
