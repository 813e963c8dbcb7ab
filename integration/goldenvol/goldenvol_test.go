package goldenvol_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/integration/goldenvol"
)

func TestNamesAreTheFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(goldenvol.Dir(), "*.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, f := range files {
		have = append(have, strings.TrimSuffix(filepath.Base(f), ".tar.zst"))
	}
	slices.Sort(have)
	if want := goldenvol.All(); !slices.Equal(have, want) {
		t.Errorf("archives in %s:\nhave %q\nwant %q", goldenvol.Dir(), have, want)
	}
}

func TestKindsHaveTheirFiles(t *testing.T) {
	for kind, want := range map[goldenvol.Kind][]string{
		goldenvol.Empty:   {"mkfs", "tsv"},
		goldenvol.Sound:   {"check", "tsv"},
		goldenvol.Killed:  {"tsv", "original-repair.tsv", "corrupted", "check-after-repair", "repair-exit"},
		goldenvol.Damaged: {"check", "tsv", "original-repair.tsv", "corrupted", "check-after-repair", "repair-exit"},
	} {
		for _, name := range goldenvol.Names(kind) {
			for _, ext := range want {
				goldenvol.Read(t, name, ext)
			}
		}
	}
}

func TestUnpack(t *testing.T) {
	for _, name := range goldenvol.All() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := goldenvol.Unpack(t, name)
			for _, file := range []string{"ddfs.cfg", "ddfsidx", "ddfsblocks", "ddfsroot/.ddumbfs/stats"} {
				if _, err := os.Lstat(filepath.Join(dir, file)); err != nil {
					t.Error(err)
				}
			}
			_, err := os.Lstat(filepath.Join(dir, ".autofsck"))
			if slices.Contains(goldenvol.Names(goldenvol.Sound), name) && (err == nil) != goldenvol.Unclean(name) {
				t.Errorf("unclean mark of %s: have %v, want it %v", name, err == nil, goldenvol.Unclean(name))
			}
		})
	}
	info, err := os.Stat(filepath.Join(goldenvol.Unpack(t, "tiger-4k"), "ddfsidx"))
	if err != nil || info.Mode() != 0o600 || info.Size() != 290816 {
		t.Errorf("ddfsidx of tiger-4k: have %v, %v; want mode 0600, 290816 bytes", info, err)
	}
}

func TestTree(t *testing.T) {
	tree := goldenvol.Tree(t, "tiger-4k")
	if len(tree) != 18 {
		t.Fatalf("tree of tiger-4k: have %d entries, want 18", len(tree))
	}
	at := func(path string) goldenvol.Entry {
		i := slices.IndexFunc(tree, func(e goldenvol.Entry) bool { return e.Path == path })
		if i < 0 {
			t.Fatalf("tree of tiger-4k: no %s", path)
		}
		return tree[i]
	}
	const one = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	for _, want := range []goldenvol.Entry{
		{Path: "one-byte", Type: 'f', Mode: 0o600, Size: 1, Sum: one},
		{Path: "link", Type: 'l', Mode: 0o777, Link: "a.bin"},
		{Path: "dir/sub dir/ünïcode", Type: 'd', Mode: 0o755},
	} {
		if have := at(want.Path); have != want {
			t.Errorf("%s: have %+v, want %+v", want.Path, have, want)
		}
	}
	for _, name := range slices.Concat(goldenvol.Names(goldenvol.Killed), goldenvol.Names(goldenvol.Damaged)) {
		if len(goldenvol.OriginalRepairTree(t, name)) < len(goldenvol.Tree(t, name)) {
			t.Errorf("%s: the repaired tree is smaller than the original one", name)
		}
	}
}

func TestReadTreeAndDiff(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{".ddumbfs", "d"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "d", "x"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x", filepath.Join(root, "d", "y")); err != nil {
		t.Fatal(err)
	}
	const one = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	want := []goldenvol.Entry{
		{Path: "d", Type: 'd', Mode: 0o750},
		{Path: "d/x", Type: 'f', Mode: 0o600, Size: 1, Sum: one},
		{Path: "d/y", Type: 'l', Mode: 0o777, Link: "x"},
	}
	have, err := goldenvol.ReadTree(root)
	if err != nil || !slices.Equal(have, want) {
		t.Fatalf("tree: have %+v, %v; want %+v", have, err, want)
	}
	changed := slices.Clone(want)
	changed[1].Size = 2
	for name, c := range map[string]struct {
		have, want []goldenvol.Entry
		ignore     func(string) bool
		lines      int
	}{
		"same":    {want, want, nil, 0},
		"missing": {want[1:], want, nil, 1},
		"extra":   {want, want[:2], nil, 1},
		"ignored": {want, want[:2], func(p string) bool { return p == "d/y" }, 0},
		"changed": {changed, want, nil, 1},
	} {
		if lines := goldenvol.Diff(c.have, c.want, c.ignore); len(lines) != c.lines {
			t.Errorf("%s: have %q, want %d lines", name, lines, c.lines)
		}
	}
}
