package fsck_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/index/disk"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/integration/goldenvol"
)

// assertServed proves every file of a golden tree.
func assertServed(t testing.TB, v *indextest.Volume, name string) {
	t.Helper()
	for _, want := range goldenvol.Tree(t, name) {
		if want.Type != 'f' {
			continue
		}
		data, err := v.ReadFile(want.Path)
		if err != nil {
			t.Errorf("file %s: %v", want.Path, err)
			continue
		}
		sum := sha256.Sum256(data)
		if have := hex.EncodeToString(sum[:]); have != want.Sum || int64(len(data)) != want.Size {
			t.Errorf("file %s: have %d bytes with SHA-256 %s, want %d with %s", want.Path, len(data), have, want.Size, want.Sum)
		}
	}
}

// image is every name below dir with its content and, in the user tree, the time of modification.
func image(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !d.Type().IsRegular() {
			all[path] = d.Type().String()
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		if strings.Contains(path, "/ddfsroot/") {
			all[path] = info.ModTime().String() + " " + string(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// assertSame fails for each name in which two images differ.
func assertSame(t testing.TB, what string, have, want map[string]string) {
	t.Helper()
	for path, w := range want {
		if h, ok := have[path]; !ok {
			t.Errorf("%s: %s is gone", what, path)
		} else if h != w {
			t.Errorf("%s: %s changed, %d bytes to %d", what, path, len(w), len(h))
		}
	}
	for path := range have {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: %s is new", what, path)
		}
	}
}

// repairTwice repairs a volume and asserts what holds after every repair.
func repairTwice(t *testing.T, v *indextest.Volume, o fsck.RepairOptions) *fsck.Result {
	t.Helper()
	res := v.Repair(o)
	indextest.AssertStatus(t, v.FS, v.Dir, fsck.OK, fsck.Lost)
	picture := func() map[string]string { return v.Image() }
	if v.FS == disk.OS() {
		picture = func() map[string]string { return image(t, v.Dir) }
	}
	before := picture()
	v.Repair(o)
	assertSame(t, "second repair", picture(), before)
	return res
}

func TestRepairOfGoldenVolumes(t *testing.T) {
	names := slices.Concat(goldenvol.Names(goldenvol.Sound), goldenvol.Names(goldenvol.Killed), goldenvol.Names(goldenvol.Damaged))
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := indextest.Describe(t, disk.OS(), goldenvol.Unpack(t, name))
			repairTwice(t, v, fsck.RepairOptions{})
			assertServed(t, v, name)
			if _, err := os.Lstat(v.Path(".autofsck")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after the repair .autofsck: have %v, want it gone", err)
			}
		})
	}
}

// indexDamage is what can happen to an index file as a whole.
var indexDamage = map[string]func(t *testing.T, name string){
	"deleted": func(t *testing.T, name string) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	},
	"magic blanked": func(t *testing.T, name string) {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(make([]byte, 8), 0); err != nil {
			t.Fatal(err)
		}
	},
	"cut in half": func(t *testing.T, name string) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, info.Size()/2); err != nil {
			t.Fatal(err)
		}
	},
	"emptied": func(t *testing.T, name string) {
		if err := os.Truncate(name, 0); err != nil {
			t.Fatal(err)
		}
	},
	"longer than needed": func(t *testing.T, name string) {
		info, err := os.Stat(name)
		if err == nil {
			err = os.Truncate(name, info.Size()+12345)
		}
		if err == nil {
			put(t, disk.OS(), name, info.Size()+100, []byte("left over"))
		}
		if err != nil {
			t.Fatal(err)
		}
	},
	"header page and bitmap of junk": func(t *testing.T, name string) {
		put(t, disk.OS(), name, 0, bytes.Repeat([]byte("junk"), 1024))
		put(t, disk.OS(), name, 65536, bytes.Repeat([]byte{0x5A}, 100))
	},
	"random bytes in the table": func(t *testing.T, name string) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		seed := uint64(1)
		for i := 65536; i < len(data); i++ {
			seed = seed*6364136223846793005 + 1442695040888963407
			data[i] = byte(seed >> 56)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	},
}

func TestRepairOfDamagedIndexFile(t *testing.T) {
	for what, damage := range indexDamage {
		names := []string{"tiger-4k", "sha1-64k", "tiger-4k-everything", "tiger-4k-killed"}
		if what == "deleted" {
			names = append(names, "sha1-4k-full") // one is enough: every block of it is hashed
		}
		for _, name := range names {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				v := indextest.Describe(t, disk.OS(), goldenvol.Unpack(t, name))
				damage(t, v.IndexPath)
				repairTwice(t, v, fsck.RepairOptions{})
				assertServed(t, v, name)
			})
		}
	}
}

// TestReports holds corrupted.txt against the original's, where the original's repair is right.
func TestReports(t *testing.T) {
	for _, name := range []string{"tiger-4k-funny-files", "tiger-4k-killed", "sha1-4k-killed-pool", "tiger-4k-swapped", "tiger-4k-reset"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := indextest.Describe(t, disk.OS(), goldenvol.Unpack(t, name))
			res := v.Repair(fsck.RepairOptions{})
			var have []string
			for i := range res.Reports {
				have = append(have, res.Reports[i].String())
			}
			want := strings.Split(strings.TrimSuffix(goldenvol.Read(t, name, "corrupted"), "\n"), "\n")
			if len(want) == 1 && want[0] == "" {
				want = nil
			}
			slices.Sort(have)
			slices.Sort(want)
			if !slices.Equal(have, want) {
				t.Errorf("reports:\nhave %q\nwant %q", have, want)
			}
			stored, err := os.ReadFile(filepath.Join(v.Root, ".ddumbfs", "corrupted.txt"))
			if err != nil && len(want) > 0 {
				t.Fatal(err)
			}
			if lines := bytes.Count(stored, []byte("\n")); lines != len(want) {
				t.Errorf("corrupted.txt: have %d lines, want %d", lines, len(want))
			}
		})
	}
}
