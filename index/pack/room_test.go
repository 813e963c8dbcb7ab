package pack_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/pack"
)

// export writes the volume of a rig into a directory of the operating system, with holes where the memory has zeros.
func export(t *testing.T, r *rig, dir string) {
	t.Helper()
	for name, content := range r.v.Image() {
		name = filepath.Join(dir, name)
		r.must(os.MkdirAll(filepath.Dir(name), 0o700))
		f, err := os.Create(name)
		r.must(err)
		r.must(f.Truncate(int64(len(content))))
		for at := 0; at < len(content); at += 4096 {
			p := []byte(content[at:min(at+4096, len(content))])
			if len(bytes.Trim(p, "\x00")) > 0 {
				_, err := f.WriteAt(p, int64(at))
				r.must(err)
			}
		}
		r.must(f.Close())
	}
	r.must(os.MkdirAll(filepath.Join(dir, format.RootName, format.SpecialName), 0o700))
}

// smallDisk mounts a file system in memory of 16 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill leaves just so much room on the disk.
func fill(t *testing.T, dir string, room int64) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bfree)*st.Bsize-room); err != nil {
		t.Fatal(err)
	}
}

// TestNoRoom packs on a disk that is full but for some pages, where the free blocks are holes. It goes in rounds, or changes nothing.
func TestNoRoom(t *testing.T) {
	r := newRig(t, 6000, 6000, 3)
	used := indexBitmap(r.v)
	f, err := r.m.OpenFile(r.v.BlocksPath, os.O_RDWR, 0)
	r.must(err)
	for i, ok := used.NextClear(0); ok; i, ok = used.NextClear(i + 1) {
		r.must(f.Punch(int64(i)*blockSize, blockSize))
	}
	r.must(f.Close())
	_, total, _ := pack.Moves(used)
	dirs := smallDisk(t)
	reference := filepath.Join(t.TempDir(), "v")
	export(t, r, reference)
	if _, err := run(t, disk.OS(), reference, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	want := indextest.Describe(t, disk.OS(), reference).Image()
	delete(want, ".ddfssnapshot")
	for _, tt := range []struct {
		room   int64 // KiB, after the repair has taken what it needs
		rounds int   // at least; 0: there is not enough
	}{{0, 0}, {60, 0}, {160, 2}, {240, 2}, {2000, 1}} {
		dir := filepath.Join(dirs, "v")
		export(t, r, dir)
		if _, err := fsck.Repair(t.Context(), indextest.Describe(t, disk.OS(), dir).Volume, fsck.RepairOptions{}); err != nil {
			t.Fatal(err)
		}
		fill(t, dirs, tt.room<<10)
		p := acquire(t, disk.OS(), dir)
		res, err := pack.Run(t.Context(), p, pack.Options{})
		r.must(p.Close())
		t.Logf("room for %d KiB, %d blocks to move: %+v, %v", tt.room, total, res, err)
		indextest.AssertClean(t, dir)
		switch {
		case tt.rounds == 0 && !errors.Is(err, format.ErrNoSpace):
			t.Errorf("room for %d KiB: have %v, want %v", tt.room, err, format.ErrNoSpace)
		case tt.rounds == 0:
		case err != nil:
			t.Errorf("room for %d KiB: have %v", tt.room, err)
		case res.Moved != total || tt.rounds == 1 && res.Rounds != 1 || res.Rounds < tt.rounds:
			t.Errorf("room for %d KiB: have %+v, want %d moved in %d rounds", tt.room, res, total, tt.rounds)
		default:
			have := indextest.Describe(t, disk.OS(), dir).Image()
			delete(have, ".ddfssnapshot")
			assertSame(t, "packed in rounds", have, want)
		}
		r.must(os.RemoveAll(dir))
		r.must(os.Remove(filepath.Join(dirs, "filler")))
	}
}
