package fsck_test

import (
	"os"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// TestBlankFile: a file of zeros only is what a power cut leaves of one that was made or truncated and not synced. It keeps its name, without content;
// after a clean stop it is a damaged file like any other.
func TestBlankFile(t *testing.T) {
	for _, c := range []struct {
		name    string
		length  int64
		unclean bool
		letters string // empty: it goes to the quarantine
	}{
		{"a header, clean", 16, false, "F s "},
		{"a header, unclean", 16, true, "F s "},
		{"less than a header", 7, false, "F s "},
		{"entries, unclean", 3000, true, " Cs "},
		{"entries, clean", 3000, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := disktest.New()
			v := indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
			data := random(72, 5*4096)
			v.Store(map[string][]byte{"a": data})
			f, err := m.OpenFile(v.Root+"/blank", os.O_RDWR|os.O_CREATE, 0o600)
			if err == nil {
				err = disk.WriteFull(f, make([]byte, c.length), 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			v.SetFlag(format.DirtyName, c.unclean)
			res := v.Repair(fsck.RepairOptions{})
			if len(res.Reports) != 1 || c.letters != "" && res.Reports[0].Letters.String() != c.letters {
				t.Errorf("have %v, want one report with %q", res.Reports, c.letters)
			}
			if aside := res.Quarantined == 1; aside != (c.letters == "") {
				t.Errorf("%d files went to the quarantine", res.Quarantined)
			}
			if c.letters != "" {
				assertFile(t, v, "blank", nil)
			}
			assertFile(t, v, "a", data)
			indextest.AssertStatus(t, m, "/v", fsck.OK)
			before := v.Image()
			v.Repair(fsck.RepairOptions{})
			assertSame(t, "second repair", v.Image(), before)
		})
	}
}
