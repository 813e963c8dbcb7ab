package mkfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// write makes a file with its directories.
func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// snapshot lists everything below dir with its content.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(path + " " + d.Type().String())
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.Write(data)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func small() format.CreateOptions {
	return format.CreateOptions{Size: 1 << 22, BlockSize: 4096}
}

func TestRefuses(t *testing.T) {
	type options = mkfs.Options
	for name, c := range map[string]struct {
		prepare func(t *testing.T, base string)
		change  func(o *options, base string)
		class   error
		text    string
	}{
		"no parent":     {change: func(o *options, base string) { o.Parent += "/none" }, class: os.ErrNotExist},
		"empty parent":  {change: func(o *options, base string) { o.Parent = "" }, text: "no directory given"},
		"parent a file": {func(t *testing.T, base string) { write(t, base+"/f", "x") }, func(o *options, base string) { o.Parent = base + "/f" }, nil, "want a directory"},
		"not empty":     {func(t *testing.T, base string) { write(t, base+"/p/mine", "x") }, nil, mkfs.ErrNotEmpty, `"mine"`},
		"a volume": {func(t *testing.T, base string) { write(t, base+"/p/ddfs.cfg", "x") }, nil, mkfs.ErrNotEmpty,
			"already holds a volume"},
		"root a file": {func(t *testing.T, base string) { write(t, base+"/p/ddfsroot", "x") },
			func(o *options, base string) { o.Force = true }, mkfs.ErrForeign, ""},
		"in a volume": {func(t *testing.T, base string) {
			write(t, base+"/ddfs.cfg", "x")
			write(t, base+"/ddfsroot/a/b/.keep", "")
		}, func(o *options, base string) { o.Parent, o.Force = base+"/ddfsroot/a/b", true }, mkfs.ErrForeign, "inside the volume"},
		"foreign index": {func(t *testing.T, base string) { write(t, base+"/f", "something of mine") },
			func(o *options, base string) { o.Force, o.IndexFilename = true, base+"/f" }, mkfs.ErrForeign, ""},
		"foreign blocks of zeros": {func(t *testing.T, base string) { write(t, base+"/f", strings.Repeat("\x00", 9000)) },
			func(o *options, base string) { o.Force, o.BlockFilename = true, base+"/f" }, mkfs.ErrForeign, ""},
		"index as blocks": {func(t *testing.T, base string) { write(t, base+"/f", "DDUMBFSI") },
			func(o *options, base string) { o.Force, o.BlockFilename = true, base+"/f" }, mkfs.ErrForeign, ""},
		"another's blocks": {func(t *testing.T, base string) { write(t, base+"/f", "DDUMBFSB") },
			func(o *options, base string) { o.BlockFilename = base + "/f" }, mkfs.ErrNotEmpty, ""},
		"same file": {nil, func(o *options, base string) { o.IndexFilename, o.BlockFilename = base+"/p/x", "x" }, nil, "the same"},
		"same inode": {func(t *testing.T, base string) {
			write(t, base+"/x", "")
			if err := os.Link(base+"/x", base+"/y"); err != nil {
				t.Fatal(err)
			}
		}, func(o *options, base string) { o.IndexFilename, o.BlockFilename = base+"/x", base+"/y" }, nil, "the same"},
		"name in use":     {nil, func(o *options, base string) { o.IndexFilename = base + "/p/ddfs.cfg" }, nil, "another use"},
		"index in root":   {nil, func(o *options, base string) { o.IndexFilename = base + "/p/ddfsroot/x" }, nil, "another use"},
		"no directory":    {nil, func(o *options, base string) { o.IndexFilename = base + "/none/x" }, os.ErrNotExist, ""},
		"relative out":    {nil, func(o *options, base string) { o.BlockFilename = "../x" }, nil, "block_filename"},
		"index a fifo":    {func(t *testing.T, base string) { fifo(t, base+"/fifo") }, func(o *options, base string) { o.IndexFilename = base + "/fifo" }, disk.ErrFileType, ""},
		"dangling link":   {func(t *testing.T, base string) { dangling(t, base+"/l") }, func(o *options, base string) { o.IndexFilename = base + "/l" }, nil, "symbolic link"},
		"size too small":  {nil, func(o *options, base string) { o.Size = 8191 }, nil, "size 8191"},
		"index too large": {nil, func(o *options, base string) { o.Size, o.BlockSize, o.Overflow = 1<<49, 512, 10 }, format.ErrNoSpace, "there is room for"},
		"block size":      {nil, func(o *options, base string) { o.BlockSize = 1000 }, nil, "block size 1000"},
		"overflow":        {nil, func(o *options, base string) { o.Overflow = 11 }, nil, "overflow 11"},
		"hash":            {nil, func(o *options, base string) { o.Hash = "MD5" }, format.ErrUnsupported, "MD5"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			if err := os.Mkdir(filepath.Join(base, "p"), 0o755); err != nil {
				t.Fatal(err)
			}
			if c.prepare != nil {
				c.prepare(t, base)
			}
			o := mkfs.Options{Parent: filepath.Join(base, "p"), CreateOptions: small()}
			if c.change != nil {
				c.change(&o, base)
			}
			before := snapshot(t, base)
			r, err := mkfs.Make(o)
			if err == nil || r != nil {
				t.Fatalf("have %+v, want an error", r)
			}
			if c.class != nil && !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("have %v, want %v, %q", err, c.class, c.text)
			}
			if after := snapshot(t, base); after != before {
				t.Errorf("after %v: have\n%s\nwant\n%s", err, after, before)
			}
		})
	}
}

func fifo(t testing.TB, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}

func dangling(t testing.TB, name string) {
	t.Helper()
	if err := os.Symlink(name+".gone", name); err != nil {
		t.Fatal(err)
	}
}

func TestRefusesLocked(t *testing.T) {
	dir := t.TempDir()
	lock, err := disk.OS().Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := mkfs.Options{Parent: dir, CreateOptions: small()}
	if _, err := mkfs.Make(o); !errors.Is(err, format.ErrBusy) {
		t.Errorf("locked: have %v, want ErrBusy", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := mkfs.Make(o); err != nil {
		t.Errorf("unlocked: %v", err)
	}
}

func TestRefusesMounted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	base := t.TempDir()
	dir, mnt := filepath.Join(base, "p"), filepath.Join(base, "m")
	for _, d := range []string{dir, mnt} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	defer dev.Close()
	data := "fd=" + itoa(dev.Fd()) + ",rootmode=40000,user_id=0,group_id=0"
	if err := syscall.Mount(dir, mnt, "fuse.ddumbfs", 0, data); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mnt, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	_, err = mkfs.Make(mkfs.Options{Parent: dir, Force: true, CreateOptions: small()})
	if !errors.Is(err, format.ErrBusy) || !strings.Contains(err.Error(), mnt) {
		t.Errorf("have %v, want ErrBusy naming %s", err, mnt)
	}
}
