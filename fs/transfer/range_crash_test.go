package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/fs/transfer"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// held is a descriptor of the test itself.
type held struct{ f *os.File }

func (h held) FD() int { return int(h.f.Fd()) }
func (h held) Hold()   {}
func (h held) Drop()   {}

// memoryPlace is a name in a volume on a disk in memory.
type memoryPlace struct {
	transfer.Place
	fs disk.FS
}

func (p memoryPlace) Open() (disk.File, uint64, error) {
	f, err := p.fs.OpenFile(filepath.Join(memoryDir, format.RootName, "f"), os.O_RDWR, 0)
	return f, 1, err
}

func (p memoryPlace) Release() {}

// sealedMemory is what another process would send.
func sealedMemory(t *testing.T, data []byte) held {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memory")
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		t.Fatal(err)
	}
	return held{f}
}

// putRange stores [off, off+n) of data at the same place of the file f, zeros as a hole, and syncs.
func putRange(t *testing.T, s *transfer.Served, data []byte, off, n int64) (*transfer.Ranged, error) {
	t.Helper()
	mem := sealedMemory(t, data)
	var parts []transfer.Part
	const bs = 4096
	for at := off; at < off+n; at += bs {
		p := transfer.Part{Path: "f", Off: at, N: min(bs, off+n-at), From: at}
		if hole := bytes.Count(data[at:at+p.N], []byte{0}) == int(p.N); hole {
			p.From = -1
		}
		if k := len(parts) - 1; k >= 0 && (parts[k].From < 0) == (p.From < 0) {
			parts[k].N += p.N
			continue
		}
		parts = append(parts, p)
	}
	all := &transfer.Ranged{}
	done, err := s.IngestRange(context.Background(), mem, parts, nil)
	for _, r := range done {
		all.New += r.New
		all.Known += r.Known
	}
	if err == nil {
		err = s.Sync()
	}
	return all, err
}

// serveMemory serves a volume on a disk in memory that has an empty file f.
func serveMemory(t *testing.T, d *disktest.FS) (s *transfer.Served, end func() error) {
	t.Helper()
	v := openVolume(t, d, memoryDir)
	f, err := d.OpenFile(filepath.Join(memoryDir, format.RootName, "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	files := openfile.NewManager(openfile.Config{Volume: v, Workers: 2})
	s = &transfer.Served{Volume: v, Files: files, Device: func() uint64 { return 1 << 50 }, Changed: func(uint64, int64, int64) {},
		SyncTree: func() error { return d.SyncFS(memoryDir) },
		Place:    func(string) (transfer.ServedPlace, error) { return memoryPlace{fs: d}, nil }}
	return s, func() error { return errors.Join(files.Close(), v.Close()) }
}

// TestSyncHearsOfOthers: what the volume lost while it was synced, and somebody else was told of, is an error of this sync too.
func TestSyncHearsOfOthers(t *testing.T) {
	s, end := serveMemory(t, newMemory(t, 20))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("lost")
	s.SyncTree = func() error {
		_ = s.Volume.SyncFailed(lost)
		return nil
	}
	if err := s.Sync(); !errors.Is(err, lost) {
		t.Errorf("have %v, want %v", err, lost)
	}
	_ = end() // it is an error for the same reason
}

// The power is cut at every change of the disk while one range is stored, and another one over it: a range that was answered is there, each block of
// one that was not is the old one, the new one or an error, and nothing else is touched.
func TestPowerCutInARange(t *testing.T) {
	const bs, n = 4096, 24
	d := newMemory(t, 200)
	old, fresh := random(1, n*bs), random(2, n*bs)
	copy(fresh[2*bs:4*bs], old[10*bs:12*bs]) // known
	clear(fresh[6*bs : 9*bs])
	s, end := serveMemory(t, d)
	put := func(data []byte, off, n int64) {
		t.Helper()
		if _, err := putRange(t, s, data, off, n); err != nil {
			t.Fatal(err)
		}
	}
	d.Record()
	put(old, 0, n*bs)
	first := len(d.Ops())
	put(fresh, bs, 12*bs)
	second := len(d.Ops())
	want := bytes.Clone(old)
	copy(want[bs:13*bs], fresh[bs:13*bs])
	if err := end(); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for k := 0; k <= second; k++ {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
			img := d.Crash(k, how, uint64(k)*7+1)
			at := fmt.Sprintf("cut after %d of %d changes (%v)", k, second, how)
			data, bad := crashed(t, img, at)
			lost += len(bad)
			if k >= first && len(data) != n*bs {
				t.Fatalf("%s: have %d bytes, want %d", at, len(data), n*bs)
			}
			for b := range len(data) / bs {
				block := data[b*bs : (b+1)*bs]
				isOld, isNew := bytes.Equal(block, old[b*bs:(b+1)*bs]), bytes.Equal(block, want[b*bs:(b+1)*bs])
				inside := b >= 1 && b < 13
				switch {
				case k >= second && !isNew, k >= first && !inside && !isOld, bad[b] && how == disktest.Keep:
					t.Fatalf("%s: block %d: old %v, new %v, bad %v", at, b, isOld, isNew, bad[b])
				case k < first && !isOld && !bad[b] && !bytes.Equal(block, make([]byte, bs)):
					t.Fatalf("%s: block %d is something else", at, b)
				case k >= first && !isOld && !isNew && !bad[b]:
					t.Fatalf("%s: block %d is neither old nor new", at, b)
				}
			}
		}
	}
	t.Logf("%d changes of the disk, %d blocks lost in ranges that were not answered", second, lost)
}

// crashed mounts a disk after a crash, which repairs it, and reads the file: bad has blocks that cannot be read.
func crashed(t *testing.T, img *disktest.FS, at string) (data []byte, bad map[int]bool) {
	t.Helper()
	v := openVolume(t, img, memoryDir)
	defer func() {
		if err := v.Close(); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		indextest.AssertStatus(t, img, memoryDir, fsck.OK, fsck.Lost)
	}()
	src, err := transfer.OpenSource(v.Parent())
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	defer src.Close()
	var b bytes.Buffer
	bad = map[int]bool{}
	o := transfer.OutOptions{Force: true, Block: func(x transfer.Block) {
		for i := range x.Count {
			bad[int(x.Number+i)] = x.Status == transfer.Bad
		}
	}}
	_, err = src.CopyOut(context.Background(), "f", transfer.Stream(context.Background(), &b), o)
	if errors.Is(err, os.ErrNotExist) {
		return nil, bad
	}
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	for k, isBad := range bad {
		if !isBad {
			delete(bad, k)
		}
	}
	return b.Bytes(), bad
}
