package heal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/integration/mounttest"
)

// kinds of volumes that the scenarios run on.
func kinds() map[string]format.CreateOptions {
	return map[string]format.CreateOptions{
		"tiger-4k":    {Hash: "TIGER", BlockSize: 4 << 10},
		"blake3-128k": {Hash: "BLAKE3", BlockSize: 128 << 10},
	}
}

func TestHeal(t *testing.T) {
	for name, create := range kinds() {
		for _, s := range []struct {
			name string
			run  func(r *rig)
		}{
			{"at once", healAtOnce}, {"remount after the rewrite", remountAfterRewrite},
			{"remount before the rewrite", remountBeforeRewrite}, {"damage found by nobody", notFound},
			{"clone of a bad block", cloneOfBad}, {"overwrite", overwrite}, {"two at a time", twice},
		} {
			t.Run(name+"/"+s.name, func(t *testing.T) { s.run(newRig(t, mounttest.Options{}, create)) })
		}
	}
}

// spoil damages the shared block and shows that it is bad in all three files.
func (r *rig) spoil() format.Address {
	r.t.Helper()
	a := r.address("one", 1)
	for _, name := range names() {
		if have := r.address(name, 1); have != a {
			r.t.Fatalf("%s: have block %d, want the shared one, %d", name, have, a)
		}
	}
	r.damage(a)
	r.bad("damaged", names()...)
	r.counted("block_bad", 1, 1)
	r.counted("read_errors", 3, 1<<20)
	return a
}

// clean: after all files were read nothing is wrong any more.
func (r *rig) clean() {
	r.t.Helper()
	r.m.Unmount()
	indextest.AssertClean(r.t, r.m.Parent)
}

func healAtOnce(r *rig) {
	a := r.spoil()
	r.put("four", r.shared)
	if have := r.address("four", 0); have == a {
		r.t.Errorf("the rewrite is linked to the bad block %d", a)
	}
	r.right("after the rewrite", append(names(), "four")...)
	r.counted("block_healed", 1, 1<<20)
	r.m.ResetStats()
	r.forget()
	r.right("read again", names()...)
	r.counted("block_healed", 0, 0) // the entries were corrected
	r.remount("")
	r.right("after a remount", append(names(), "four")...)
	r.counted("block_healed", 0, 0)
	r.counted("read_errors", 0, 0)
	if n := r.m.Reclaim()["block_not_in_use"]; n < 1 {
		r.t.Errorf("reclaim: have %d blocks that are not in use, want the bad one", n)
	}
	r.right("after the reclaim", append(names(), "four")...)
	r.clean()
}

func remountAfterRewrite(r *rig) {
	r.spoil()
	r.put("four", r.shared)
	r.remount("")
	r.right("after a remount", append(names(), "four")...)
	r.counted("block_healed", 3, 1<<20)
	r.clean()
}

func remountBeforeRewrite(r *rig) {
	r.spoil()
	r.remount("")
	r.bad("after a remount", names()...)
	r.counted("read_errors", 3, 1<<20)
	r.put("four", r.shared)
	r.right("after the rewrite", append(names(), "four")...)
	r.remount("")
	r.right("after another remount", append(names(), "four")...)
	r.clean()
}

// notFound: a block that decays and is not read before the same data is written again. The new file may be linked to it, but nobody
// is served wrong data, and the next write heals all of them.
func notFound(r *rig) {
	r.damage(r.address("one", 1))
	r.remount("")
	r.put("four", append(random(99, r.bs), r.shared...))
	r.bad("damaged", names()...)
	r.put("five", r.shared)
	r.right("after the second rewrite", append(names(), "four", "five")...)
	r.clean()
}

// cloneOf copies a file by its entries.
func (r *rig) cloneOf(from, to string) {
	r.t.Helper()
	src, err := os.Open(r.m.Path(from))
	if err != nil {
		r.t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(r.m.Path(to))
	if err != nil {
		r.t.Fatal(err)
	}
	n, err := unix.CopyFileRange(int(src.Fd()), nil, int(dst.Fd()), nil, len(r.files[from]), 0)
	if err := errors.Join(err, dst.Close()); err != nil || n != len(r.files[from]) {
		r.t.Fatalf("clone: have %d bytes, %v", n, err)
	}
	r.files[to] = r.files[from]
}

func cloneOfBad(r *rig) {
	r.spoil()
	r.cloneOf("two", "clone")
	r.bad("the clone", "clone")
	r.put("four", r.shared)
	r.right("after the rewrite", append(names(), "clone", "four")...)
	r.clean()
}

// overwrite: a part of a bad block cannot be written, since the rest of it is not known; all of it can. Only the file that is
// written changes.
func overwrite(r *rig) {
	r.spoil()
	f, err := os.OpenFile(r.m.Path("one"), os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("part"), int64(r.bs)+10)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if !errors.Is(err, unix.EIO) {
		r.t.Errorf("write a part of a bad block: have %v at the write or the close, want EIO", err)
	}
	r.bad("after a part of it could not be written", "one")
	whole := random(77, r.bs)
	if f, err = os.OpenFile(r.m.Path("one"), os.O_RDWR, 0); err != nil {
		r.t.Fatal(err)
	}
	_, err = f.WriteAt(whole, int64(r.bs))
	if err := errors.Join(err, f.Close()); err != nil {
		r.t.Errorf("write the whole of a bad block: %v", err)
	}
	copy(r.files["one"][r.bs:], whole)
	r.right("overwritten", "one")
	r.bad("not overwritten", "two", "three")
	for _, name := range []string{"two", "three"} {
		if err := os.Truncate(r.m.Path(name), int64(r.bs)); err != nil {
			r.t.Errorf("cut the bad block off: %v", err)
		}
		r.files[name] = r.files[name][:r.bs]
	}
	r.right("after the cut", names()...)
	r.clean()
}

// twice: the block that healed the first one decays as well.
func twice(r *rig) {
	r.spoil()
	r.put("four", r.shared)
	a := r.address("four", 0)
	r.right("after the rewrite", names()...)
	r.remount("")
	r.damage(a)
	r.bad("damaged again", names()...)
	r.put("five", r.shared)
	r.right("after the second rewrite", append(names(), "four", "five")...)
	r.clean()
}

// When a block is proved against its hash.
func TestVerify(t *testing.T) {
	for _, c := range []struct {
		list              string
		after, afterMount string // what a read of a block shows that decayed after it was read: right, wrong or EIO
	}{
		{"verify=first", "wrong", "EIO"},
		{"verify=always", "EIO", "EIO"},
		{"verify=off", "wrong", "wrong"},
	} {
		t.Run(c.list, func(t *testing.T) {
			r := newRig(t, mounttest.Options{List: c.list}, format.CreateOptions{BlockSize: 16 << 10})
			r.right("before the damage", names()...)
			r.damage(r.address("one", 1))
			if have := r.state("one"); have != c.after {
				t.Errorf("read again after the damage: have %s, want %s", have, c.after)
			}
			r.remount(c.list)
			if have := r.state("two"); have != c.afterMount {
				t.Errorf("read after a remount: have %s, want %s", have, c.afterMount)
			}
			verified := r.m.Stats()["block_verified"]
			if (verified > 0) == (c.list == "verify=off") {
				t.Errorf("blocks verified: have %d", verified)
			}
			r.m.Unmount()
			indextest.AssertStatus(t, disk.OS(), r.m.Parent, fsck.Errors)
		})
	}
}

// state of block 1 of a file.
func (r *rig) state(name string) string {
	r.t.Helper()
	have, err := r.read(name, true, r.bs, r.bs)
	switch {
	case errors.Is(err, unix.EIO):
		return "EIO"
	case err != nil:
		return err.Error()
	case bytes.Equal(have, r.shared):
		return "right"
	}
	return "wrong"
}

// Blocks that are known to be lost (address 1) are errors, or zeros where that is asked for.
func TestLost(t *testing.T) {
	lost := 0
	for _, name := range []string{"tiger-4k-funny-files", "tiger-4k-everything", "sha1-4k-killed-pool"} {
		t.Run(name, func(t *testing.T) {
			parent := mounttest.Golden(t, name)
			verdict := []fsck.Status{fsck.OK, fsck.Lost}
			m := mounttest.Volume(t, mounttest.Options{Parent: parent, List: "check", Verdict: verdict})
			for _, list := range []string{"lost=eio", "lost=zeros", "lost=zeros,ro"} {
				m.Unmount()
				v := indextest.Describe(t, disk.OS(), parent)
				m = mounttest.Volume(t, mounttest.Options{Parent: parent, List: list, Verdict: verdict})
				for _, path := range v.Files() {
					n, err := lostIn(v, m, path, list == "lost=eio")
					if err != nil {
						t.Errorf("%s: %s: %v", list, path, err)
					}
					lost += n
				}
			}
		})
	}
	if lost == 0 {
		t.Error("have no lost block in these volumes, want some")
	}
}

// lostIn reads every block of a file with lost blocks and compares what comes with what its entry says.
func lostIn(v *indextest.Volume, m *mounttest.Mount, path string, eio bool) (lost int, err error) {
	size, list, ok := recipeOf(v, path)
	if !ok {
		return 0, nil
	}
	f, err := os.Open(m.Path(path))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	bs := v.Geometry.BlockSize
	for i, a := range list {
		p := make([]byte, min(bs, int(size)-i*bs))
		_, err := f.ReadAt(p, int64(i)*int64(bs))
		switch {
		case a != format.AddressLost:
			if err != nil {
				return lost, fmt.Errorf("block %d of the file, which is not lost: %w", i, err)
			}
			continue
		case eio && !errors.Is(err, unix.EIO):
			return lost, fmt.Errorf("lost block %d of the file: have %v, want EIO", i, err)
		case !eio && (err != nil || !bytes.Equal(p, make([]byte, len(p)))):
			return lost, fmt.Errorf("lost block %d of the file: have %v, want zeros", i, err)
		}
		lost++
	}
	return lost, nil
}

// recipeOf is the size of a file and the addresses of its blocks; not ok for an underlying file that is not one of ours (a bad header).
func recipeOf(v *indextest.Volume, path string) (size uint64, list []format.Address, ok bool) {
	raw, err := os.ReadFile(v.Root + "/" + path)
	if err != nil {
		return 0, nil, false
	}
	if size, err = format.GetFileHeader(raw[:min(len(raw), format.FileHeaderSize)]); err != nil {
		return 0, nil, false
	}
	for at := format.FileHeaderSize; at+v.Geometry.EntrySize <= len(raw); at += v.Geometry.EntrySize {
		list = append(list, v.Geometry.Addr(raw[at:]))
	}
	return size, list, uint64(len(list)) == v.Geometry.Entries(size)
}
