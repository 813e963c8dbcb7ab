package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
)

// damage writes text over the start of a file.
func damage(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

const mountTable = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:44 / /mnt/a\040b rw,nosuid shared:9 master:3 - fuse.ddumbfs /data/one\134two rw,user_id=0
41 22 0:45 / /mnt/x rw - tmpfs tmpfs rw
42 41 0:46 / /mnt/x rw - fuse.ddumbfs /data/x rw
43 22 0:47 /sub /srv/part rw - fuse.ddumbfs /data/y rw
44 22 0:47 / /srv/whole rw - fuse.ddumbfs /data/y rw
broken line
45 22 0:48 / - fuse.ddumbfs
`

func TestParseMounts(t *testing.T) {
	list := index.ParseMounts(mountTable)
	if len(list) != 6 {
		t.Fatalf("have %d mounts, want 6: %+v", len(list), list)
	}
	if e := mounted.At(list, "/mnt/a b"); e == nil || e.Source != `/data/one\two` || e.Device != "0:44" || e.Options != "rw,nosuid" || !e.Volume() {
		t.Errorf("escaped mount: have %+v", e)
	}
	if e := mounted.At(list, "/mnt/x"); e == nil || e.Source != "/data/x" {
		t.Errorf("the topmost mount counts: have %+v", e)
	}
	if e := mountOf(list, "/data/y"); e == nil || e.Point != "/srv/whole" {
		t.Errorf("the whole volume comes before a part of it: have %+v", e)
	}
	if e := mountOf(list, "tmpfs"); e != nil {
		t.Errorf("a source of another type was taken: %+v", e)
	}
	if e := mountAround(list, "/srv/whole/dir/file"); e == nil || e.Point != "/srv/whole" {
		t.Errorf("around a file: have %+v", e)
	}
	if e := mountAround(list, "/elsewhere"); e == nil || e.Point != "/" {
		t.Errorf("around everything: have %+v", e)
	}
}

func TestUmountRefusesOtherMounts(t *testing.T) {
	run(t, "ddumbfs", "umount", "/proc").want(t, cli.ExitNoVolume, "", "/proc is a mount of type proc, want fuse.ddumbfs")
	run(t, "ddumbfs", "umount", t.TempDir()).want(t, cli.ExitNoVolume, "", "is not mounted")
	run(t, "ddumbfs", "umount", "/no/such/place").want(t, cli.ExitNoVolume, "", "no such file")
	run(t, "ddumbfs", "umount").want(t, cli.ExitUsage, "", "want a mount point")
	run(t, "ddumbfs", "umount", "--timeout", "0s", "/m").want(t, cli.ExitUsage, "", "--timeout")
	c := run(t, "ddumbfs", "umount", "/proc", "/no/such/place")
	c.want(t, cli.ExitNoVolume, "", "/proc is a mount of type proc")
	if strings.Count(c.err, "ddumbfs umount: ") != 2 {
		t.Errorf("want one message for each mount point, have:\n%s", c.err)
	}
}

// What keeps a mount busy is named: open files, working directories, mappings, mounts below, loop devices.
func TestHolders(t *testing.T) {
	needRoot(t)
	point := t.TempDir()
	if err := unix.Mount("holders", point, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	list, err := index.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	m := mounted.At(list, point)
	if m == nil {
		t.Fatalf("%s is not in the mount table", point)
	}
	if have := mounted.Holders(m); len(have) != 0 {
		t.Fatalf("nobody uses it, have %q", have)
	}
	if err := os.Mkdir(filepath.Join(point, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	sleeper(t, point, ":", "")
	sleeper(t, "/", "exec 3>\"$0/file name\"", point)
	if err := unix.Mount("below", filepath.Join(point, "sub"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	have := strings.Join(mounted.Holders(m), "\n")
	for _, want := range []string{"(working directory)", "open file " + point + "/file name", "the mount " + point + "/sub"} {
		if !strings.Contains(have, want) {
			t.Errorf("want %q among the holders:\n%s", want, have)
		}
	}
	err = busyError(m)
	if cli.CodeOf(err) != cli.ExitBusy || !strings.Contains(cli.HintOf(err), "open file") {
		t.Errorf("busy error: %v, hint %q, code %d", err, cli.HintOf(err), cli.CodeOf(err))
	}
}
