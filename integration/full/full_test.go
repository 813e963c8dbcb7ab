package full_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// A volume without a free block.
func TestVolume(t *testing.T) {
	for _, c := range []struct {
		block, writers, piece int
		list                  string
	}{
		{4 << 10, 1, 64 << 10, ""},
		{4 << 10, 4, 10000, "direct=never"},
		{128 << 10, 1, 1 << 20, "pool=0"},
		{128 << 10, 4, 64 << 10, ""},
		{128 << 10, 2, 300000, "direct=never"},
	} {
		t.Run(fmt.Sprintf("%dk-%d-writers-of-%d-%s", c.block>>10, c.writers, c.piece, c.list), func(t *testing.T) {
			parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 64 << 20, BlockSize: c.block}})
			list := "reclaim=0," + c.list
			m := mounttest.Volume(t, mounttest.Options{Parent: parent, List: list})
			f := &filler{t: t, m: m, seed: seed(t), size: 3<<20 + 1000, piece: c.piece}
			f.fill(c.writers)
			f.verify("full")
			if free := m.Stats()["block_free"] * int64(c.block); free > 8<<20 {
				t.Errorf("full: have %d bytes in free blocks, want the margin to be what is in flight", free)
			}
			f.consume()
			f.known()
			f.keeps()
			f.m = f.m.Remount(list)
			f.verify("full, after a remount")
			f.known()
			f.again(c.writers)
			f.m = f.m.Remount(list)
			f.verify("at the end")
		})
	}
}

// consume takes the last blocks, which larger writes have left.
func (f *filler) consume() {
	f.t.Helper()
	block := int(f.m.Stats()["block_size"])
	for i := range uint64(1 << 16) {
		err := os.WriteFile(f.m.Path("last"), unique(f.seed, 1<<32+i, block), 0o600)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if err := os.Rename(f.m.Path("last"), f.m.Path(fmt.Sprintf("last-%d", i))); err != nil {
			f.t.Fatal(err)
		}
	}
	if free := f.m.Stats()["block_free"]; free > 0 {
		f.t.Errorf("after writing single blocks until ENOSPC: have %d free blocks, want none", free)
	}
}

// known data needs no block.
func (f *filler) known() {
	f.t.Helper()
	data := f.data(f.whole[0])
	if err := os.WriteFile(f.m.Path("known"), data, 0o600); err != nil { // in one piece: of a part of a block nobody knows whether it is known
		f.t.Errorf("write known data into a full volume: %v", err)
	}
	if have, err := os.ReadFile(f.m.Path("known")); err != nil || !bytes.Equal(have, data) {
		f.t.Errorf("known data: have %d bytes, %v; want %d", len(have), err, len(data))
	}
	if err := f.write("zeros", make([]byte, 5<<20)); err != nil {
		f.t.Errorf("write zeros into a full volume: %v", err)
	}
	if err := os.Truncate(f.m.Path("zeros"), 1<<30); err != nil {
		f.t.Errorf("enlarge a file of zeros in a full volume: %v", err)
	}
}

// keeps: an overwrite that does not fit leaves the file as it was.
func (f *filler) keeps() {
	f.t.Helper()
	name := f.m.Path(f.name(f.whole[0]))
	o, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = o.WriteAt(unique(f.seed, 1<<40, 100), 500)
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	if !errors.Is(err, unix.ENOSPC) {
		f.t.Errorf("overwrite in a full volume: have %v at the write or the close, want ENOSPC", err)
	}
	if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, f.data(f.whole[0])) {
		f.t.Errorf("after an overwrite that did not fit: have %d bytes, %v; want the file as it was", len(have), err)
	}
}

// again makes room and uses it.
func (f *filler) again(writers int) {
	f.t.Helper()
	for _, name := range []string{"known", "zeros"} {
		if err := os.Remove(f.m.Path(name)); err != nil {
			f.t.Error(err)
		}
	}
	before := f.m.Stats()["block_free"]
	n := len(f.whole) / 2
	f.removeWhole(n)
	r := f.m.Reclaim()
	s := f.m.Stats()
	freed := s["block_free"] - before
	if want := int64(n*f.size) / s["block_size"]; freed < want {
		f.t.Errorf("reclaim after %d files were removed: have %d blocks freed, want at least %d; report %v", n, freed, want, r)
	}
	f.verify("after the reclaim")
	done := len(f.whole)
	f.fill(writers)
	if have := len(f.whole) - done; have < n-writers {
		f.t.Errorf("after the reclaim: have room for %d more files, want %d", have, n)
	}
	f.verify("full again")
}

// A volume that gets full reclaims by itself.
func TestAutomaticReclaim(t *testing.T) {
	parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 64 << 20, BlockSize: 16 << 10}})
	f := &filler{t: t, seed: seed(t), size: 4 << 20, piece: 1 << 20}
	f.m = mounttest.Volume(t, mounttest.Options{Parent: parent, List: "reclaim=80"})
	for i := range uint64(18) { // more than the volume has, in turn
		f.next.Store(i)
		id := f.next.Add(1)
		if err := f.write(f.name(id), f.data(id)); err != nil {
			t.Fatalf("file %d: %v; %v", id, err, f.m.Stats())
		}
		f.whole = append(f.whole, id)
		if len(f.whole) > 4 {
			f.removeWhole(1)
		}
		limit := int64(80)
		s := f.m.Stats()
		if used := s["block_allocated"] * 100 / (s["block_allocated"] + s["block_free"]); used > limit {
			freed := mounttest.Until(mounttest.CloseTime, func() bool { return f.m.Stats()["block_free"] > s["block_free"] })
			if !freed {
				t.Fatalf("usage is %d %%: have no reclaim", used)
			}
		}
	}
	f.verify("at the end")
}

// The disk below is full, while the volume has blocks.
func TestDisk(t *testing.T) {
	for _, c := range []struct {
		block, writers, piece int
		list                  string
	}{
		{4 << 10, 1, 100000, ""},
		{128 << 10, 4, 1 << 20, ""},
		{128 << 10, 1, 64 << 10, "direct=never"},
	} {
		t.Run(fmt.Sprintf("%dk-%s", c.block>>10, c.list), func(t *testing.T) {
			disk := mounttest.Loop(t, 96<<20)
			parent := mounttest.New(t, mounttest.VolumeOptions{Dir: filepath.Join(disk, "volume"),
				CreateOptions: format.CreateOptions{Size: 1 << 30, BlockSize: c.block}})
			list := "reclaim=0,checkpoint=4M," + c.list
			f := &filler{t: t, seed: seed(t), size: 3<<20 + 1000, piece: c.piece}
			f.m = mounttest.Volume(t, mounttest.Options{Parent: parent, List: list})
			f.fill(c.writers)
			f.verify("full")
			var st unix.Statfs_t
			if err := unix.Statfs(f.m.Point, &st); err != nil || st.Bavail*uint64(st.Bsize) > 16<<20 {
				t.Errorf("statfs of a volume on a full disk: have %d free blocks of %d, %v", st.Bavail, st.Bsize, err)
			}
			f.known()
			f.m.Syncfs()
			f.m = f.m.Remount(list)
			f.verify("full, after a remount")
			f.again(c.writers)
			f.m = f.m.Remount(list)
			f.verify("at the end")
		})
	}
}

// Somebody else takes the last byte of the disk, also what goes along with blocks. The volume is still closed clean and can be mounted again,
// everything can be read, and once there is room nothing is missing.
func TestDiskTakenByOthers(t *testing.T) {
	disk := mounttest.Loop(t, 48<<20)
	parent := mounttest.New(t, mounttest.VolumeOptions{Dir: filepath.Join(disk, "volume"),
		CreateOptions: format.CreateOptions{Size: 1 << 30}})
	f := &filler{t: t, seed: seed(t), size: 3 << 20, piece: 1 << 20}
	f.m = mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true, List: "reclaim=0"})
	for range 4 {
		id := f.next.Add(1)
		if err := f.write(f.name(id), f.data(id)); err != nil {
			t.Fatal(err)
		}
		f.whole = append(f.whole, id)
	}
	other := filepath.Join(disk, "other")
	takeAll(t, other)
	if err := f.write("more", unique(f.seed, 1<<41, 3<<20)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write to a full disk: have %v, want ENOSPC", err)
	}
	f.verify("on the full disk")
	o := mounttest.Run(t, "umount", f.m.Point)
	if o.Code != 0 {
		t.Errorf("umount: have exit status %d, want 0 (clean); %s", o.Code, o.Err)
	}
	f.m.Gone()
	f.m = mounttest.Volume(t, mounttest.Options{Parent: parent, List: "ro", NoCheck: true, Unclean: true})
	f.verify("read-only on the full disk")
	f.m.Unmount()
	f.m = mounttest.Volume(t, mounttest.Options{Parent: parent, List: "reclaim=0"})
	f.verify("mounted for writing on the full disk")
	f.m.Unmount()
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	f.m = mounttest.Volume(t, mounttest.Options{Parent: parent, List: "reclaim=0"})
	f.verify("after the disk got room")
	if err := f.write("more", unique(f.seed, 1<<41, 3<<20)); err != nil {
		t.Errorf("write after the disk got room: %v", err)
	}
	f.m = f.m.Remount("")
	f.verify("at the end")
}

// takeAll writes a file until not a byte is left.
func takeAll(t *testing.T, name string) {
	t.Helper()
	o, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1 << 20; n > 0; {
		if _, err := o.Write(make([]byte, n)); err != nil {
			n /= 2
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}
