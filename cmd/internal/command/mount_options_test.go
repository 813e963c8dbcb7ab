package command

import (
	"slices"
	"testing"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
)

func TestSortMountOptions(t *testing.T) {
	for _, c := range []struct {
		name        string
		lists       []string
		kernel, own []string
	}{
		{"nothing", nil, nil, nil},
		{"empty words", []string{"", ",,"}, nil, nil},
		{"ours", []string{"pool=2,check", "verify=always"}, nil, []string{"pool=2", "check", "verify=always"}},
		{"a comma in a path", []string{`parent=/a\,b\\c,pool=2`}, nil, []string{`parent=/a\,b\\c`, "pool=2"}},
		{"a backslash at the end", []string{`index=/a\`}, nil, []string{`index=/a\`}},
		{"order is kept", []string{"rw,ro", "rw"}, nil, []string{"rw", "ro", "rw"}},
		{"of fstab", []string{"defaults,noauto,user,users,user=joe,owner,group,_netdev,nofail,x-systemd.automount,X-mount.mkdir,comment=a=b"}, nil, nil},
		{"of the kernel", []string{"lazytime,pool=1,nosymfollow"}, []string{"lazytime", "nosymfollow"}, []string{"pool=1"}},
		{"what only looks like one", []string{"users2,execute,ros"}, nil, []string{"users2", "execute", "ros"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kernel, own := sortMountOptions(c.lists)
			if !slices.Equal(kernel, c.kernel) || !slices.Equal(own, c.own) {
				t.Errorf("sortMountOptions(%q):\nhave %q and %q\nwant %q and %q", c.lists, kernel, own, c.kernel, c.own)
			}
		})
	}
}

func TestWithoutParent(t *testing.T) {
	have := withoutParent(`parent=/a\,b,pool=2,,index=/x\,y`)
	if want := []string{"pool=2", `index=/x\,y`}; !slices.Equal(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
}

func TestMountCommandLine(t *testing.T) {
	volume, mnt := newVolume(t), t.TempDir()
	for _, c := range []struct {
		name string
		argv []string
		code cli.Code
		err  string
	}{
		{"nothing", []string{"ddumbfs", "mount"}, cli.ExitUsage, "want PARENT and MNT, have 0"},
		{"one half", []string{"ddumbfs", "mount", volume}, cli.ExitUsage, "have 1"},
		{"parent twice", []string{"ddumbfs", "mount", "-o", "parent=" + volume, volume, mnt}, cli.ExitUsage, "once"},
		{"no mount point", []string{"ddumbfs", "mount", volume, mnt + "/x"}, cli.ExitNoVolume, "hint: mkdir " + mnt + "/x"},
		{"mount point is a file", []string{"ddumbfs", "mount", volume, volume + "/ddfs.cfg"}, cli.ExitFailure, "no directory"},
		{"unknown option", []string{"ddumbfs", "mount", volume, mnt, "-o", "noatime,lost=never"}, cli.ExitUsage, "have \"never\""},
		{"mistyped option", []string{"ddumbfs", "mount", volume, mnt, "-o", "poool=3"}, cli.ExitUsage, "did you mean pool?"},
		{"helper: unknown option", []string{"mount.fuse.ddumbfs", volume, mnt, "-f", "-o", "xyzzy"}, cli.ExitUsage, "xyzzy"},
		{"helper: sloppy", []string{"mount.fuse.ddumbfs", volume, mnt, "-sf", "-o", "rw,xyzzy,nofail"}, cli.ExitOK, "ignored: "},
		{"helper: fake", []string{"mount.fuse.ddumbfs", volume, mnt, "-fnv", "-N", "x", "-t", "fuse.ddumbfs", "-o", "rw,dev,suid,user=joe"}, cli.ExitOK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, c.argv...).want(t, c.code, "", c.err)
			if list, err := index.Mounts(); err != nil || mounted.At(list, mnt) != nil {
				t.Errorf("something is mounted on %s (%v)", mnt, err)
			}
		})
	}
}
