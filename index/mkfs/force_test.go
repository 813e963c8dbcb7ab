package mkfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"tresor/index/format"
	"tresor/index/mkfs"
	"tresor/integration/goldenvol"
)

func itoa(fd uintptr) string { return strconv.FormatUint(uint64(fd), 10) }

func TestForceOverOldVolume(t *testing.T) {
	for _, name := range []string{"tiger-4k-power-cut", "sha1-64k", "tiger-4k-everything", "empty-tiger-4k"} {
		t.Run(name, func(t *testing.T) {
			dir := goldenvol.Unpack(t, name)
			for _, extra := range []string{".autofsck", ".autofsck.clean", ".rebuildfsck", "ddfsusedblocks", "ddfsusedblocks.0", "ddfsusedblocks.1", "socket", "ddfs.cfg.tmp", "ddfsusedblocks.tmp"} {
				write(t, filepath.Join(dir, extra), "old")
			}
			write(t, filepath.Join(dir, "mine"), "stays")
			write(t, filepath.Join(dir, "lost+found", "x"), "stays")
			if err := os.Chmod(filepath.Join(dir, "ddfsidx"), 0o644); err != nil {
				t.Fatal(err)
			}
			o := goldenOptions(t, "empty-tiger-4k")
			o.Parent = dir
			if _, err := mkfs.Make(o); !errors.Is(err, mkfs.ErrNotEmpty) {
				t.Fatalf("without force: have %v, want ErrNotEmpty", err)
			}
			o.Force = true
			if _, err := mkfs.Make(o); err != nil {
				t.Fatal(err)
			}
			want := goldenvol.Unpack(t, "empty-tiger-4k")
			for _, file := range []string{"ddfs.cfg", "ddfsidx", "ddfsblocks"} {
				compareFiles(t, filepath.Join(dir, file), filepath.Join(want, file))
			}
			for _, file := range []string{"mine", "lost+found/x"} {
				if data, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(data) != "stays" {
					t.Errorf("%s: have %q, %v", file, data, err)
				}
			}
			if err := errors.Join(os.Remove(filepath.Join(dir, "mine")), os.RemoveAll(filepath.Join(dir, "lost+found"))); err != nil {
				t.Fatal(err)
			}
			compareTrees(t, dir, want)
		})
	}
}

func TestForceNamesWhatIsLeft(t *testing.T) {
	dir := t.TempDir()
	old := small()
	old.BlockFilename, old.IndexFilename = "old-blocks", filepath.Join(t.TempDir(), "old-index")
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: old}); err != nil {
		t.Fatal(err)
	}
	r, err := mkfs.Make(mkfs.Options{Parent: dir, Force: true, CreateOptions: small()})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{old.IndexFilename, filepath.Join(dir, "old-blocks")}
	if !slices.Equal(r.Left, want) {
		t.Errorf("left: have %q, want %q", r.Left, want)
	}
	for _, file := range want {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s: have %v, %v; want it untouched", file, info, err)
		}
	}
}

// What an interrupted mkfs or rebuild leaves: an index without its magic.
func TestForceOverInterrupted(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ddfsidx"), string(make([]byte, 200000)))
	write(t, filepath.Join(dir, "ddfsblocks"), "")
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, Force: true, CreateOptions: small()}); err != nil {
		t.Fatal(err)
	}
}

func TestForceLeavesSymlinks(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(other, "idx"), "DDUMBFSI old")
	write(t, filepath.Join(other, "precious"), "stays")
	for from, to := range map[string]string{"idx": "ddfsidx", "precious": "ddfsroot/link", ".": "ddfsroot/dir"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "ddfsroot"), 0o700), os.Symlink(filepath.Join(other, from), filepath.Join(dir, to))); err != nil {
			t.Fatal(err)
		}
	}
	r, err := mkfs.Make(mkfs.Options{Parent: dir, Force: true, CreateOptions: small()})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(other, "idx")); err != nil || info.Size() != r.Config.IndexSize {
		t.Errorf("index behind the link: have %v, %v", info, err)
	}
	if data, err := os.ReadFile(filepath.Join(other, "precious")); err != nil || string(data) != "stays" {
		t.Errorf("file behind a link in the root: have %q, %v", data, err)
	}
}

func TestForceRefusesMountInside(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	o := mkfs.Options{Parent: dir, CreateOptions: small()}
	if _, err := mkfs.Make(o); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(dir, format.RootName, "sub")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", inside, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(inside, 0); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(inside, "precious"), "stays")
	o.Force = true
	before := snapshot(t, dir)
	if _, err := mkfs.Make(o); !errors.Is(err, mkfs.ErrForeign) {
		t.Errorf("have %v, want ErrForeign", err)
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("have\n%s\nwant\n%s", after, before)
	}
	if data, err := os.ReadFile(filepath.Join(inside, "precious")); err != nil || string(data) != "stays" {
		t.Errorf("have %q, %v", data, err)
	}
}
