package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
)

// What goes in comes out, also shifted, short and replaced, and the volume is clean.
func TestCopyInAndOut(t *testing.T) {
	for _, o := range []format.CreateOptions{
		{Hash: "TIGER", BlockSize: 4096, Size: 8 << 20, Overflow: 1.3}, {Hash: "BLAKE3", BlockSize: 128 << 10, Size: 32 << 20, Overflow: 1.3},
		{Hash: "SHA1", BlockSize: 2 << 20, Size: 64 << 20, Overflow: 1.3},
	} {
		t.Run(o.Hash, func(t *testing.T) {
			dir := t.TempDir()
			makeVolume(t, nil, dir, o)
			data := append(random(7, 3<<20), make([]byte, 1<<20+5)...)
			v := openVolume(t, disk.OS(), dir)
			target := transfer.NewTarget(v, 0)
			put := func(name string, data []byte) *transfer.Written {
				t.Helper()
				w, err := target.CopyIn(context.Background(), name, transfer.FromReader(bytes.NewReader(data)), transfer.InOptions{})
				if err != nil {
					t.Fatalf("copy in %s: %v", name, err)
				}
				return w
			}
			put("a", []byte("what is replaced"))
			files := map[string][]byte{"a": data, "b": data[1000:], "empty": nil, "one": {1}, "zeros": make([]byte, 5<<20)}
			for name, want := range files {
				put(name, want)
			}
			if w := put("copy", data); w.New != 0 || w.Known == 0 || w.Bytes != int64(len(data)) {
				t.Errorf("the same content again: %+v, want no new block", w)
			}
			if err := errors.Join(target.Close(), v.Close()); err != nil {
				t.Fatal(err)
			}
			files["copy"] = data
			for name, want := range files {
				assertContent(t, disk.OS(), dir, name, want)
			}
			assertNoTemp(t, disk.OS(), dir)
			indextest.AssertClean(t, dir)
		})
	}
}

// A sparse file stays one, and its holes cost nothing.
func TestCopyInKeepsHoles(t *testing.T) {
	dir := t.TempDir()
	makeVolume(t, nil, dir, format.CreateOptions{Hash: "TIGER", BlockSize: 4096, Size: 32 << 20, Overflow: 1.3})
	name := filepath.Join(t.TempDir(), "in")
	const size = 40<<30 + 17
	sparseFile(t, name, size, map[int64][]byte{5 << 20: random(1, 10000), 30<<30 + 4096*3 + 7: random(2, 5000)})
	f, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	start := time.Now()
	w, err := copyIn(disk.OS(), dir, "sparse", transfer.FromFile(f))
	if err != nil || w.Bytes != size || w.New > 10 {
		t.Fatalf("have %+v, %v", w, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	p := acquire(t, disk.OS(), dir, index.Read)
	s, err := transfer.OpenSource(p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Replace(context.Background(), "sparse", nil, out, transfer.FileOptions{Mode: 0o600}, transfer.OutOptions{}); err != nil {
		t.Fatal(err)
	}
	a, errA := os.Open(name)
	b, errB := os.Open(out)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	for _, off := range []int64{0, 5<<20 - 100, 30 << 30, size - 1000} {
		want, have := make([]byte, 30000), make([]byte, 30000)
		n, _ := a.ReadAt(want, off)
		k, _ := b.ReadAt(have, off)
		if n != k || !bytes.Equal(have[:k], want[:n]) {
			t.Errorf("at %d: have %d bytes, want %d", off, k, n)
		}
	}
	if spent := time.Since(start); spent > 20*time.Second {
		t.Errorf("a file of holes took %v", spent)
	}
	indextest.AssertClean(t, dir)
}

func TestCopyInKeepsAttributesOfTheOldFile(t *testing.T) {
	dir := t.TempDir()
	makeVolume(t, nil, dir, format.CreateOptions{Hash: "TIGER", BlockSize: 4096, Size: 1 << 20, Overflow: 1.3})
	mustCopyIn(t, disk.OS(), dir, "a", []byte("one"))
	name := filepath.Join(dir, format.RootName, "a")
	if err := errors.Join(unix.Chmod(name, 0o6751), unix.Setxattr(name, "user.note", []byte("keep"), 0)); err != nil {
		t.Fatal(err)
	}
	mustCopyIn(t, disk.OS(), dir, "a", []byte("two"))
	value := make([]byte, 10)
	n, err := unix.Getxattr(name, "user.note", value)
	info, serr := os.Stat(name)
	if err := errors.Join(err, serr); err != nil || string(value[:max(n, 0)]) != "keep" || info.Mode() != 0o751|os.ModeSetuid|os.ModeSetgid {
		t.Errorf("have %q, %v, %v", value[:max(n, 0)], info.Mode(), err)
	}
}

// A full volume leaves the old file, no leftover, and a clean volume.
func TestNoRoomLeavesTheOldFile(t *testing.T) {
	d := newMemory(t, 60)
	old := random(1, 20*4096+10)
	mustCopyIn(t, d, memoryDir, "a", old)
	_, err := copyIn(d, memoryDir, "a", transfer.FromReader(bytes.NewReader(random(2, 100*4096))))
	if !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("have %v, want an error of class no space", err)
	}
	assertContent(t, d, memoryDir, "a", old)
	assertNoTemp(t, d, memoryDir)
	assertClean(t, d, memoryDir)
}

// badReader fails in the middle.
type badReader struct{ left int }

func (b *badReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("the line was cut")
	}
	n := min(b.left, len(p))
	b.left -= n
	return n, nil
}

func TestBrokenInputLeavesTheOldFile(t *testing.T) {
	d := newMemory(t, 2000)
	mustCopyIn(t, d, memoryDir, "a", []byte("old"))
	if _, err := copyIn(d, memoryDir, "a", transfer.FromReader(&badReader{3 << 20})); err == nil {
		t.Error("no error")
	}
	assertContent(t, d, memoryDir, "a", []byte("old"))
	assertNoTemp(t, d, memoryDir)
	assertClean(t, d, memoryDir)
}

// A replacement that is killed, or loses power, before any of its disk writes leaves the old file or the new one; the volume comes back with a
// repair, and the next copy removes what is left over.
func TestCrashBeforeEachWrite(t *testing.T) {
	d := newMemory(t, 200)
	old, fresh := random(1, 10*4096+100), random(2, 12*4096+7)
	copy(fresh[4096:], old[4096:3*4096])
	mustCopyIn(t, d, memoryDir, "a", old)
	d.Record()
	mustCopyIn(t, d, memoryDir, "a", fresh)
	ops := d.Ops()
	seen := map[bool]int{}
	for k := 0; k <= len(ops); k++ {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			img := d.Crash(k, how, uint64(k))
			v := openVolume(t, img, memoryDir)
			if err := v.Close(); err != nil {
				t.Fatalf("op %d, %v: close: %v", k, how, err)
			}
			have, _, err := read(t, img, memoryDir, "a")
			isOld, isNew := bytes.Equal(have, old), bytes.Equal(have, fresh)
			if err != nil || !isOld && !isNew {
				t.Fatalf("before op %d (%v), %v: have %d bytes, neither old nor new, %v", k, ops[min(k, len(ops)-1)], how, len(have), err)
			}
			if k == len(ops) && !isNew {
				t.Errorf("after the end, %v: the old file", how)
			}
			seen[isNew]++
			mustCopyIn(t, img, memoryDir, "a", fresh)
			assertContent(t, img, memoryDir, "a", fresh)
			assertNoTemp(t, img, memoryDir)
			assertClean(t, img, memoryDir)
		}
	}
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("old and new must both occur, have %v", seen)
	}
	t.Logf("%d cases: %d old, %d new", seen[true]+seen[false], seen[false], seen[true])
}

// Each disk call of a replacement fails once: an error, or the new file; else the old one.
func TestFaults(t *testing.T) {
	base := newMemory(t, 200)
	old, fresh := random(1, 10*4096+100), random(2, 12*4096+7)
	mustCopyIn(t, base, memoryDir, "a", old)
	whole := base.Clone()
	mustCopyIn(t, whole, memoryDir, "a", fresh)
	calls, cases := whole.Calls(), 0
	for _, call := range whole.SortedCalls() {
		for n := range min(calls[call], 6) {
			for _, cause := range []error{unix.EIO, unix.ENOSPC} {
				if cause == unix.ENOSPC && call.Kind != disktest.Write {
					continue
				}
				d := base.Clone()
				d.Inject(disktest.Fault{Call: call, N: n, Err: cause})
				_, err := copyIn(d, memoryDir, "a", transfer.FromReader(bytes.NewReader(fresh)))
				d.Heal()
				d.CheckLeaks(t)
				cases++
				if verr := openVolume(t, d, memoryDir).Close(); verr != nil {
					t.Fatalf("%v call %d: close: %v", call, n, verr)
				}
				have, _, rerr := read(t, d, memoryDir, "a")
				if rerr != nil || !bytes.Equal(have, fresh) && (err == nil || !bytes.Equal(have, old)) {
					t.Fatalf("%v call %d, %v: told %v; have %d bytes, %v", call, n, cause, err, len(have), rerr)
				}
				mustCopyIn(t, d, memoryDir, "a", fresh)
				assertNoTemp(t, d, memoryDir)
				assertClean(t, d, memoryDir)
			}
		}
	}
	t.Logf("%d faults", cases)
}

// A new file that links to a block which has decayed is found out by verifying, and mended where the input can be read again.
func TestVerifyMendsBadLinks(t *testing.T) {
	v, data := badVolume(t)
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		path string
		in   transfer.Input
		good bool
	}{{"pipe", transfer.FromReader(bytes.NewReader(data)), false}, {"pipe", transfer.FromReader(bytes.NewReader(data)), true}} {
		vol := openVolume(t, disk.OS(), v.Dir)
		target := transfer.NewTarget(vol, 0)
		_, err := target.CopyIn(context.Background(), c.path, c.in, transfer.InOptions{Verify: true})
		if err := errors.Join(target.Close(), vol.Close()); err != nil {
			t.Fatal(err)
		}
		if (err == nil) != c.good || !c.good && !errors.Is(err, format.ErrIO) {
			t.Errorf("%s: have %v, want it to succeed: %v", c.path, err, c.good)
		}
	}
	assertContent(t, disk.OS(), v.Dir, "pipe", data)
	_, entries := v.Recipe("pipe")
	v.DamageBlock(entries[2].Addr)
	vol := openVolume(t, disk.OS(), v.Dir)
	target := transfer.NewTarget(vol, 0)
	_, err = target.CopyIn(context.Background(), "file", transfer.FromFile(f), transfer.InOptions{Verify: true})
	if err := errors.Join(err, target.Close(), vol.Close()); err != nil {
		t.Fatal(err)
	}
	assertContent(t, disk.OS(), v.Dir, "file", data)
	assertNoTemp(t, disk.OS(), v.Dir)
}
