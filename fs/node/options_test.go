package node_test

import (
	"slices"
	"testing"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/node"
)

// TestMountOptions: flags of mount(2) become flags, the rest is handed on.
func TestMountOptions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		extra   []string
		change  func(*node.Config)
		flags   uintptr
		options []string
	}{
		{"none", nil, nil, unix.MS_MGC_VAL, []string{"default_permissions"}},
		{"flags", []string{"noatime", "nosuid", "nodev", "suid"}, nil, unix.MS_MGC_VAL | unix.MS_NOATIME | unix.MS_NODEV, []string{"default_permissions"}},
		{"read-only", nil, func(c *node.Config) { c.ReadOnly = true }, unix.MS_MGC_VAL | unix.MS_RDONLY, []string{"default_permissions"}},
		{"others", []string{"context=x", "allow_other", "default_permissions", "", "rw", "_netdev"}, nil, unix.MS_MGC_VAL, []string{"default_permissions", "context=x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := node.Config{Root: t.TempDir(), Files: newFake(), BlockSize: 4096, EntrySize: 27}
			if tt.change != nil {
				tt.change(&c)
			}
			fs, err := node.New(c)
			check(t, err)
			defer fs.Close()
			o := fs.MountOptions("/volume", tt.extra)
			if o.DirectMountFlags != tt.flags || !slices.Equal(o.Options, tt.options) {
				t.Errorf("flags %#x options %q, want %#x %q", o.DirectMountFlags, o.Options, tt.flags, tt.options)
			}
			if o.FsName != "/volume" || o.Name != "ddumbfs" || !o.AllowOther {
				t.Errorf("source %q type %q allow_other %v", o.FsName, o.Name, o.AllowOther)
			}
			export, refuse := o.ExtraCapabilities&fusefs.CAP_EXPORT_SUPPORT != 0, o.ExtraCapabilities&fusefs.CAP_NO_EXPORT_SUPPORT != 0
			if ok, _ := fs.Exportable(); export != ok || refuse == ok {
				t.Errorf("export %v, no export %v, exportable %v", export, refuse, ok)
			}
		})
	}
	if _, err := node.New(node.Config{Root: t.TempDir() + "/none", BlockSize: 1, EntrySize: 1}); err == nil {
		t.Error("a missing root was accepted")
	}
	if _, err := node.New(node.Config{Root: t.TempDir()}); err == nil {
		t.Error("block size 0 was accepted")
	}
}

func TestStatfs(t *testing.T) {
	m := newMount(t, func(c *node.Config) {
		c.StatFS = func(o *fusefs.StatfsOut) {
			o.Blocks, o.Bfree, o.Bavail, o.Bsize, o.Frsize = 1000, 400, 300, testBlock, testBlock
		}
	})
	var have, below unix.Statfs_t
	check(t, unix.Statfs(m.mnt, &have))
	check(t, unix.Statfs(m.root, &below))
	if have.Blocks != 1000 || have.Bfree != 400 || have.Bavail != 300 || have.Bsize != testBlock {
		t.Errorf("blocks %d free %d available %d of %d", have.Blocks, have.Bfree, have.Bavail, have.Bsize)
	}
	if have.Namelen != below.Namelen || have.Files != below.Files {
		t.Errorf("name length %d files %d, want %d %d", have.Namelen, have.Files, below.Namelen, below.Files)
	}
	check(t, node.SetReadAhead(m.mnt, 1<<20))
}
