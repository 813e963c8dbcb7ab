package fsck_test

import (
	"context"
	"strings"
	"testing"

	"tresor/index/disk"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/integration/goldenvol"
)

// open describes the volume in dir.
func open(t testing.TB, dir string) *fsck.Volume {
	t.Helper()
	return indextest.Describe(t, disk.OS(), dir).Volume
}

// check runs a check and returns its summary and the findings as lines.
func check(t testing.TB, v *fsck.Volume, hashes bool) (*fsck.Summary, []string) {
	t.Helper()
	var lines []string
	sum, err := fsck.Check(context.Background(), v, fsck.CheckOptions{
		Hashes: hashes, Found: func(f fsck.Finding) { lines = append(lines, f.String()) },
	})
	if err != nil {
		t.Fatalf("check %s: %v", v.Dir, err)
	}
	return sum, lines
}

func printed(t testing.TB, sum *fsck.Summary) string {
	t.Helper()
	var b strings.Builder
	if err := sum.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// labels are the lines of a summary in a golden file. Some end with a second verdict, which is not part of it.
func labels(t testing.TB, name, ext string) string {
	t.Helper()
	_, text, ok := strings.Cut(goldenvol.Read(t, name, ext), "== Summary")
	if !ok {
		t.Fatalf("golden %s.%s has no summary", name, ext)
	}
	return "== Summary" + strings.TrimSuffix(text, "\nERROR\n") + strings.Repeat("\n", strings.Count(text, "\nERROR\n"))
}

func TestCheckOfSoundVolumes(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Sound) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := open(t, goldenvol.Unpack(t, name))
			for _, hashes := range []bool{true, false} {
				sum, lines := check(t, v, hashes)
				if len(lines) > 0 {
					t.Errorf("check of a sound volume, hashes %v: have findings\n%s\nwant none", hashes, strings.Join(lines, "\n"))
				}
				if have, want := printed(t, sum), labels(t, name, "check"); have != want {
					t.Errorf("summary, hashes %v:\nhave\n%s\nwant\n%s", hashes, have, want)
				}
			}
		})
	}
}

func TestCheckOfDamagedVolumes(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Damaged) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := open(t, goldenvol.Unpack(t, name))
			sum, lines := check(t, v, true)
			if len(lines) == 0 || sum.Status() != fsck.Errors {
				t.Errorf("check of a damaged volume: have status %d and %d findings, want status %d and some", sum.Status(), len(lines), fsck.Errors)
			}
			have := strings.Split(printed(t, sum), "\n")
			want := strings.Split(labels(t, name, "check"), "\n")
			if len(have) != len(want) {
				t.Errorf("have %d summary lines, want %d", len(have), len(want))
			}
			for i := range min(len(have), len(want)) {
				// We count two kinds of fault in the index more: reserved hashes, and entries of free blocks.
				more := strings.HasPrefix(have[i], "Index errors") && have[i] > want[i]
				if have[i] != want[i] && !more {
					t.Errorf("summary line:\nhave %q\nwant %q", have[i], want[i])
				}
			}
			if t.Failed() {
				t.Log(strings.Join(lines, "\n"))
			}
		})
	}
}
