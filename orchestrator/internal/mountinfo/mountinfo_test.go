package mountinfo

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	const out = "24 31 0:22 / /proc rw,nosuid shared:5 - proc proc rw\n" +
		`43 27 0:39 /data/x /run/tresor/my\040ma\134chine\011 ro,nosuid,nodev,noexec,relatime - btrfs /dev/loop0 rw,subvolid=257` + "\n"
	list, err := Parse(out)
	if want := []Mount{{Point: "/proc", Device: "0:22", Root: "/", Kind: "proc", Source: "proc"},
		{Point: "/run/tresor/my ma\\chine\t", ReadOnly: true, Device: "0:39", Root: "/data/x", Kind: "btrfs", Source: "/dev/loop0"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("have %v %v, want %v", list, err, want)
	}
	odd := "/run/my\u00a0machine\u0085\u3000\r\v" // blanks to Unicode, which the kernel leaves as they are
	list, err = Parse("43 27 0:39 /x " + odd + " ro,relatime shared:1 - fuse.x  rw\n")
	if want := []Mount{{Point: odd, ReadOnly: true, Device: "0:39", Root: "/x", Kind: "fuse.x"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("odd blanks: have %+v %v, want %+v", list, err, want)
	}
	if _, err := Parse("24 31\n"); err == nil {
		t.Error("a short line: no error")
	}
	if list, err := Current(); err != nil || !slices.ContainsFunc(list, func(m Mount) bool { return m.Point == "/proc" }) {
		t.Errorf("the table of this process: %v %v", list, err)
	}
}
