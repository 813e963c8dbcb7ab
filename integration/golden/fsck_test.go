package golden_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tresor/index/fsck"
	"tresor/integration/goldenvol"
	"tresor/integration/mounttest"
)

// elsewhere moves the index of a golden volume to a disk of its own.
func elsewhere(t *testing.T, name string) (parent, disk string) {
	t.Helper()
	parent = mounttest.Golden(t, name)
	disk = mounttest.Loop(t, 32<<20)
	if out, err := exec.Command("mv", filepath.Join(parent, "ddfsidx"), disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := filepath.Join(parent, "ddfs.cfg")
	text, err := os.ReadFile(config)
	if err == nil {
		line := regexp.MustCompile(`(?m)^index_filename:.*$`)
		err = os.WriteFile(config, line.ReplaceAll(text, []byte("index_filename: "+filepath.Join(disk, "gone", "ddfsidx"))), 0o600)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(disk, "gone"), 0o700)
	}
	if err == nil {
		err = os.Rename(filepath.Join(disk, "ddfsidx"), filepath.Join(disk, "gone", "ddfsidx"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return parent, disk
}

// A volume whose index lay on a disk that is gone comes back from its own disk alone, by the commands that check and mount name: with an old
// copy of the index beside it, and without.
func TestIndexDiskGone(t *testing.T) {
	for _, copied := range []bool{false, true} {
		t.Run(map[bool]string{false: "rebuilt", true: "copy"}[copied], func(t *testing.T) {
			parent, disk := elsewhere(t, "tiger-4k")
			if copied {
				mounttest.MustRun(t, "fsck", "-C", parent)
				if out, err := exec.Command("cp", filepath.Join(disk, "gone", "ddfsidx"), filepath.Join(parent, "0b6c.idx")).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			t.Cleanup(func() { // the one that Loop has registered unmounts it again
				if out, err := exec.Command("mount", "-o", "loop", filepath.Join(filepath.Dir(disk), "disk.img"), disk).CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
			_, err := mounttest.Try(t, mounttest.Options{Parent: parent})
			check := mounttest.Run(t, "fsck", "-c", parent)
			if err == nil || check.Code != 1 {
				t.Fatalf("mount: have %v, check: have exit status %d; want refusals", err, check.Code)
			}
			said := regexp.MustCompile(`ddumbfs (fsck -n --index \S+ \S+) .*mount it then with -o (index=\S+)`)
			m := said.FindStringSubmatch(err.Error())
			if m == nil || !said.MatchString(check.Err) {
				t.Fatalf("neither of these names the commands:\n%v\n%s", err, check.Err)
			}
			mounttest.MustRun(t, strings.Fields(m[1])...)
			same(t, mounttest.Volume(t, mounttest.Options{Parent: parent, List: m[2], NoCheck: true}), "tiger-4k")
		})
	}
}

// A damaged index of a volume that was closed cleanly is refused by the mount, which names the command that helps.
func TestDamagedIndexIsNamed(t *testing.T) {
	parent := mounttest.Golden(t, "tiger-4k")
	if err := os.Truncate(filepath.Join(parent, "ddfsidx"), 100_000); err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(point, 0o700); err != nil {
		t.Fatal(err)
	}
	if out := mounttest.Run(t, "mount", parent, point); out.Code == 0 || !strings.Contains(out.Err, "ddumbfs fsck -n "+parent) {
		t.Fatalf("mount: have exit status %d, %q; want a refusal that names fsck -n", out.Code, out.Err)
	}
	mounttest.MustRun(t, "fsck", "-n", parent)
	same(t, mounttest.Volume(t, mounttest.Options{Parent: parent, Verdict: []fsck.Status{fsck.OK}}), "tiger-4k")
}

// Damaged volumes are served as they were before the damage, after every kind of repair by the command, whatever else happened to the index.
func TestRepairedByCommand(t *testing.T) {
	modes := []string{"-n", "-N", "-r", "-R"}
	for i, name := range goldenvol.Names(goldenvol.Damaged) {
		mode := modes[i%len(modes)]
		for j, damage := range []func(path string) error{
			func(string) error { return nil },
			os.Remove,
			func(path string) error { return os.Truncate(path, 100_000) },
		} {
			t.Run(fmt.Sprintf("%s%s/%d", name, mode, j), func(t *testing.T) {
				parent := mounttest.Golden(t, name)
				if err := damage(filepath.Join(parent, "ddfsidx")); err != nil {
					t.Fatal(err)
				}
				if out := mounttest.Run(t, "fsck", mode, "-k", parent); out.Code != 0 && out.Code != 2 {
					t.Fatalf("fsck %s: have exit status %d, want 0 or 2\n%s%s", mode, out.Code, out.Out, out.Err)
				}
				same(t, mounttest.Volume(t, mounttest.Options{Parent: parent, List: "verify=always", Verdict: []fsck.Status{fsck.OK, fsck.Lost}}), name)
			})
		}
	}
}
