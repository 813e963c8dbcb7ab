package resize_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/pack"
	"tresor/index/resize"
	"tresor/integration/goldenvol"
)

// runIn resizes a volume in a directory of the operating system, packing where that is needed.
func runIn(dir string, o resize.Options) (res *resize.Result, err error) {
	o.Pack = func(ctx context.Context, p *index.Parent) error {
		_, err := pack.Run(ctx, p, pack.Options{})
		return err
	}
	p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return resize.Run(context.Background(), p, o)
}

// assertTree holds all files against what the golden volume had before.
func assertTree(t *testing.T, when string, v *indextest.Volume, name string) {
	t.Helper()
	for _, e := range goldenvol.Tree(t, name) {
		if e.Type != 'f' {
			continue
		}
		data, err := v.ReadFile(e.Path)
		sum := sha256.Sum256(data)
		if err != nil || hex.EncodeToString(sum[:]) != e.Sum {
			t.Errorf("%s: %s: have %d bytes, want %d with sum %s: %v", when, e.Path, len(data), e.Size, e.Sum, err)
		}
	}
	indextest.AssertStatus(t, disk.OS(), v.Dir, fsck.OK)
}

// TestGolden resizes volumes of the original there and back: content stays, and in the end configuration and index are those of the original.
func TestGolden(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Sound) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := goldenvol.Unpack(t, name)
			v := indextest.Describe(t, disk.OS(), dir)
			if v.Unclean {
				if _, err := runIn(dir, resize.Options{Size: 1 << 30}); !errors.Is(err, index.ErrUnclean) {
					t.Fatalf("an unclean volume: have %v, want %v", err, index.ErrUnclean)
				}
				v.Repair(fsck.RepairOptions{})
				v = v.Reload()
			}
			was := v.Image()
			old := *v.Config
			larger := int64(70_000) * int64(old.BlockSize)
			for _, o := range []resize.Options{{Size: larger}, {Overflow: 3}, {Index: "moved"}, {Size: old.PartitionSize, Overflow: old.Overflow, Index: old.IndexFilename}} {
				o.Batch = 5000
				if _, err := runIn(dir, o); err != nil {
					t.Fatalf("%+v: %v", o, err)
				}
				v = v.Reload()
				if o.Size == larger && v.Geometry.AddrSize != 3 {
					t.Fatalf("have addresses of %d bytes, want 3", v.Geometry.AddrSize)
				}
				assertTree(t, "after a resize", v, name)
			}
			is := v.Image()
			for _, file := range []string{"ddfs.cfg", "ddfsidx", "ddfsblocks"} {
				if is[file] != was[file] {
					t.Errorf("%s: have %d bytes, want the %d of the beginning", file, len(is[file]), len(was[file]))
				}
			}
			for path := range was {
				if len(path) > 9 && path[:9] == "ddfsroot/" && is[path] != was[path] {
					t.Errorf("%s: %d bytes are not the %d of the beginning", path, len(is[path]), len(was[path]))
				}
			}
		})
	}
}

// TestShrinkToTheLast packs first, and refuses a size that is too small.
func TestShrinkToTheLast(t *testing.T) {
	name := "sha1-4k-unreclaimed"
	dir := goldenvol.Unpack(t, name)
	v := indextest.Describe(t, disk.OS(), dir)
	v.Repair(fsck.RepairOptions{}) // frees blocks of deleted files: now there are gaps
	res, err := runIn(dir, resize.Options{Size: 2 * 4096})
	if !errors.Is(err, format.ErrNoSpace) {
		t.Fatalf("have %+v, %v, want %v", res, err, format.ErrNoSpace)
	}
	plan, err := runIn(dir, resize.Options{Overflow: 1.5, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Used > plan.LastUsed {
		t.Fatalf("want gaps, have %d blocks in use, the last is %d", plan.Used, plan.LastUsed)
	}
	before := v.Image()
	size := int64(plan.Used) * 4096
	if plan, err = runIn(dir, resize.Options{Size: size, DryRun: true}); err != nil || !plan.Packed {
		t.Fatalf("dry run: have %+v, %v, want a pack", plan, err)
	}
	assertSame(t, "dry run", v.Image(), before)
	if res, err = runIn(dir, resize.Options{Size: size}); err != nil || !res.Packed {
		t.Fatalf("have %+v, %v, want a pack", res, err)
	}
	v = v.Reload()
	if info, err := os.Stat(v.BlocksPath); err != nil || info.Size() > size || v.Geometry.BlockCount != res.Used {
		t.Errorf("have %d blocks in a file of %d bytes, want %d: %v", v.Geometry.BlockCount, info.Size(), res.Used, err)
	}
	assertTree(t, "packed and shrunk", v, name)
}

// TestAttributesStay holds that files are the same objects as before.
func TestAttributesStay(t *testing.T) {
	v := indextest.New(t, indextest.Options{Blocks: 200})
	v.Store(map[string][]byte{"f": random(1, 9*block), "caps": random(2, block)})
	name := v.Root + "/f"
	old := time.Unix(1_000_000_000, 123_456_789)
	caps := append([]byte{1, 0, 0, 2}, make([]byte, 16)...)
	for _, err := range []error{unix.Chmod(name, 0o4755), unix.Setxattr(name, "user.note", []byte("kept"), 0), os.Chtimes(name, old, old)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(unix.Setxattr(v.Root+"/caps", "security.capability", caps, 0), os.Chown(v.Root+"/caps", 5, 6)); err != nil {
			t.Fatal(err)
		}
	}
	objects := disk.OS().(disk.Objects)
	describe := func(name string) (disk.Attributes, uint64) {
		a, err := objects.Attributes(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		a.Access = time.Time{}
		return *a, info.Sys().(*syscall.Stat_t).Ino
	}
	type object struct {
		a   disk.Attributes
		ino uint64
	}
	was := map[string]object{}
	for _, n := range []string{name, v.Root + "/caps"} {
		a, ino := describe(n)
		was[n] = object{a, ino}
	}
	if _, err := runIn(v.Dir, resize.Options{Size: 300 * block, Batch: 60}); err != nil {
		t.Fatal(err)
	}
	for n, w := range was {
		a, ino := describe(n)
		if ino != w.ino || a.Mode != w.a.Mode || a.UID != w.a.UID || !a.Modified.Equal(w.a.Modified) || len(a.Extended) != len(w.a.Extended) ||
			a.Extended["user.note"] != w.a.Extended["user.note"] || a.Extended["security.capability"] != w.a.Extended["security.capability"] {
			t.Errorf("%s: have inode %d, %+v, want %d, %+v", n, ino, a, w.ino, w.a)
		}
	}
	indextest.AssertStatus(t, disk.OS(), v.Dir, fsck.OK)
}
