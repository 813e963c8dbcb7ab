package indextest

import (
	"context"
	"strings"
	"testing"

	"tresor/index/disk"
	"tresor/index/fsck"
)

// findingsShown is how many findings a failed assertion prints.
const findingsShown = 20

// AssertClean checks the volume in dir, every block included, and fails the test if anything is wrong. The volume must be closed.
func AssertClean(t testing.TB, dir string) {
	t.Helper()
	AssertStatus(t, disk.OS(), dir, fsck.OK)
}

// AssertStatus checks the volume in dir, every block included, and fails the test unless the verdict is one of want. It prints what
// was found and where the volume lies.
func AssertStatus(t testing.TB, fs disk.FS, dir string, want ...fsck.Status) *fsck.Summary {
	t.Helper()
	var lines []string
	sum, err := fsck.Check(context.Background(), Describe(t, fs, dir).Volume, fsck.CheckOptions{Hashes: true, Found: func(f fsck.Finding) {
		if len(lines) < findingsShown {
			lines = append(lines, f.String())
		}
	}})
	if err != nil {
		t.Errorf("check of volume %s: %v", dir, err)
		return &fsck.Summary{}
	}
	for _, w := range want {
		if sum.Status() == w {
			return sum
		}
	}
	t.Errorf("check of volume %s: have status %d (%s), want one of %v\n%s", dir, sum.Status(), sum.StatusText(), want, strings.Join(lines, "\n"))
	return sum
}

// Repair runs a repair of the volume, which must succeed.
func (v *Volume) Repair(o fsck.RepairOptions) *fsck.Result {
	v.t.Helper()
	res, err := fsck.Repair(context.Background(), v.Reload().Volume, o)
	if err != nil {
		v.t.Fatalf("repair: %v", err)
	}
	return res
}
