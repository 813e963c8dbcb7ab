package fsck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// TestManyReports holds that corrupted.txt has the lines that do not fit into memory as well, that a second repair finds the same damage in
// it, and that nothing is left behind.
func TestManyReports(t *testing.T) {
	const files, limit = 40, 7
	v := indextest.New(t, indextest.Options{})
	var want []string
	for i := range files {
		path := fmt.Sprintf("d%d/lost\n%d", i%3, i)
		v.WriteRecipe(path, 4096, []format.Entry{{Addr: 9, Hash: v.Geometry.Kind.Sum([]byte(path))}})
		want = append(want, " C l "+strings.ReplaceAll(path, "\n", `\n`))
	}
	slices.Sort(want)
	repair := func() *fsck.Result {
		v := v.Reload()
		v.LimitReports(limit)
		res, err := fsck.Repair(t.Context(), v.Volume, fsck.RepairOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := repair()
	if len(res.Reports) != limit || res.More != files-limit || res.Damaged() != files || res.Status() != fsck.Lost {
		t.Errorf("have %d reports, %d more, %d damaged, status %d", len(res.Reports), res.More, res.Damaged(), res.Status())
	}
	name := filepath.Join(v.Root, format.SpecialName, format.CorruptedName)
	text, err := os.ReadFile(name)
	have := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if slices.Sort(have); err != nil || !slices.Equal(have, want) {
		t.Errorf("corrupted.txt: have %d lines (%v), want %d", len(have), err, len(want))
	}
	before := image(t, v.Dir)
	repair()
	assertSame(t, "second repair", image(t, v.Dir), before)
	if list, err := os.ReadDir(filepath.Dir(name)); err != nil || len(list) != 1 {
		t.Errorf("special directory: have %v (%v), want the list alone", list, err)
	}
}
