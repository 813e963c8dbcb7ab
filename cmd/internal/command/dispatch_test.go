package command

import (
	"strings"
	"testing"

	"tresor/cmd/internal/cli"
)

func TestDispatch(t *testing.T) {
	t.Chdir(t.TempDir())
	volume := newVolume(t)
	for _, c := range []struct {
		name     string
		argv     []string
		code     cli.Code
		out, err string
	}{
		{"nothing", []string{"ddumbfs"}, cli.ExitUsage, "", "ddumbfs mkfs"},
		{"no argv at all", nil, cli.ExitUsage, "", "ddumbfs mkfs"},
		{"help option", []string{"ddumbfs", "--help"}, cli.ExitOK, "mount.fuse.ddumbfs", ""},
		{"short help", []string{"/usr/bin/ddumbfs", "-h"}, cli.ExitOK, "ddumbfs umount", ""},
		{"version option", []string{"ddumbfs", "-V"}, cli.ExitOK, "ddumbfs ", ""},
		{"version", []string{"ddumbfs", "version"}, cli.ExitOK, "go1.", ""},
		{"version as JSON", []string{"ddumbfs", "version", "--json"}, cli.ExitOK, `"revision"`, ""},
		{"version of something", []string{"ddumbfs", "version", "x"}, cli.ExitUsage, "", "hint: usage: ddumbfs version"},
		{"help", []string{"ddumbfs", "help"}, cli.ExitOK, "ddumbfs reclaim", ""},
		{"help on a verb", []string{"ddumbfs", "help", "fsck"}, cli.ExitOK, "255  there is no volume", ""},
		{"verb's own help", []string{"ddumbfs", "mkfs", "--help"}, cli.ExitOK, "--block-size", ""},
		{"tool's own help", []string{"mkddumbfs", "--help"}, cli.ExitOK, "--block-size", ""},
		{"help on nothing known", []string{"ddumbfs", "help", "fskc"}, cli.ExitUsage, "", "did you mean `ddumbfs fsck`?"},
		{"mistyped verb", []string{"ddumbfs", "mont", "a", "b"}, cli.ExitUsage, "", "did you mean `ddumbfs mount`?"},
		{"unknown verb", []string{"ddumbfs", "xyzzy"}, cli.ExitUsage, "", "hint: ddumbfs help lists the verbs"},
		{"original's form", []string{"ddumbfs", "-o", "parent=" + volume, "/no/mount/point"}, cli.ExitNoVolume, "", "ddumbfs mount: "},
		{"original's second form", []string{"ddumbfs", volume, "./nowhere"}, cli.ExitNoVolume, "", "nowhere does not exist"},
		{"mount(8) helper", []string{"/sbin/mount.fuse.ddumbfs", volume, "nowhere", "-o", "rw"}, cli.ExitNoVolume, "", "nowhere does not exist"},
		{"umount(8) helper", []string{"/sbin/umount.fuse.ddumbfs", volume, "-n"}, cli.ExitNoVolume, "", "is not mounted"},
		{"checker", []string{"fsckddumbfs", "-c", volume}, cli.ExitOK, "Filesystem status        : OK", ""},
		{"unknown option", []string{"ddumbfs", "stats", "--nope", volume}, cli.ExitUsage, "", "unknown flag: --nope\nhint: usage:"},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, c.argv...).want(t, c.code, c.out, c.err) })
	}
}

// A word after ddumbfs that names a directory is one half of the original's form only if it is followed by the other.
func TestOriginalForm(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		want bool
	}{
		{"-o parent=/p /m", true}, {"-f /p /m", true}, {dir + " /m", true}, {"./x /m", true}, {"relative/x m -o ro", true},
		{dir, false}, {"mnt /m", false}, {"mont", false},
	} {
		if have := originalForm(strings.Fields(c.args)); have != c.want {
			t.Errorf("originalForm(%q): have %t, want %t", c.args, have, c.want)
		}
	}
}

// No two command lines answer to one name.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, v := range all() {
		names := v.Calls
		if !v.hidden {
			names = append([]string{v.Name}, names...)
		}
		for _, name := range names {
			if other, ok := seen[name]; ok {
				t.Errorf("%s is both %s and %s", name, other, v.Name)
			}
			seen[name] = v.Name
		}
	}
}
