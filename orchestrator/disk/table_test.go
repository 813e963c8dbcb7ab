package disk_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/disk"
)

// TestTable: names that only begin alike are others, whatever stands in them, and the topmost mount counts.
func TestTable(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	for _, name := range []string{"sdc1", "sdc10", "with blank\tand \\"} {
		point := filepath.Join(dir, name)
		if err := os.Mkdir(point, 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "sdc1" {
			continue
		}
		if err := unix.Mount("disk of "+point, point, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	}
	for name, want := range map[string]string{"sdc1": "", "sdc10": "tmpfs", "sdc100": "", "with blank\tand \\": "tmpfs"} {
		point := filepath.Join(dir, name)
		kind, source, err := disk.Table{}.At(point)
		if err != nil || kind != want || want != "" && source != "disk of "+point {
			t.Errorf("%q: %q from %q, %v; want %q", name, kind, source, err, want)
		}
		points, err := disk.Table{}.Points("tmpfs", "disk of "+point)
		if err != nil || len(points) != map[bool]int{true: 1}[want != ""] {
			t.Errorf("%q is mounted at %q, %v", name, points, err)
		}
	}
	over := filepath.Join(dir, "sdc10")
	if err := unix.Mount("something else", over, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if _, source, err := (disk.Table{}).At(over); err != nil || source != "something else" {
		t.Errorf("below another mount: %q, %v", source, err)
	}
	if points, err := (disk.Table{}).Points("tmpfs", "disk of "+over); err != nil || points != nil {
		t.Errorf("what cannot be seen is at %q, %v", points, err)
	}
	if err := unix.Unmount(over, 0); err != nil {
		t.Error(err)
	}
}

func TestHolders(t *testing.T) {
	needRoot(t, "sleep")
	dir := t.TempDir()
	point, other := filepath.Join(dir, "disk"), filepath.Join(dir, "disk2")
	for _, d := range []string{point, other} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("x", point, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	start := func(dir string, stdin *os.File) int {
		c := exec.Command("sleep", "100")
		c.Dir, c.Stdin = dir, stdin
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return c.Process.Pid
	}
	f, err := os.Create(filepath.Join(point, "a file"))
	if err != nil {
		t.Fatal(err)
	}
	start(other, nil)
	want := map[string]bool{fmt.Sprintf("%d sleep: %s", start(point, nil), point): true, fmt.Sprintf("%d sleep: %s/a file", start(other, f), point): true}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := disk.Holders(context.Background(), point)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v; want %v", disk.Names(list), err, want)
	}
	for _, n := range disk.Names(list) {
		if !want[n] {
			t.Errorf("%s; want %v", n, want)
		}
	}
}

func TestSpec(t *testing.T) {
	for _, c := range []struct {
		s    disk.Spec
		want string // in the error
	}{
		{disk.Spec{Name: "a", UUID: "x", Dir: "/m"}, ""},
		{disk.Spec{Name: "ä b", Path: "/m"}, ""},
		{disk.Spec{UUID: "x", Dir: "/m"}, "name"},
		{disk.Spec{Name: "../a", UUID: "x", Dir: "/m"}, "name"},
		{disk.Spec{Name: "a", Dir: "/m"}, "want one"},
		{disk.Spec{Name: "a", UUID: "x", File: "/f", Dir: "/m"}, "want one"},
		{disk.Spec{Name: "a", File: "f", Dir: "/m"}, "not absolute"},
		{disk.Spec{Name: "a", File: "/f"}, "no mount point"},
		{disk.Spec{Name: "a", UUID: "../x", Dir: "/m"}, "no UUID"},
		{disk.Spec{Name: "a", Export: "nas:/x", Dir: "/m"}, "not supported yet"},
		{disk.Spec{Name: "a", UUID: "x", LUKS: "y", Dir: "/m"}, "not supported yet"},
	} {
		_, err := disk.New(c.s, disk.Host{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
	}
}
