package blockfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// noDirect is a disk that refuses O_DIRECT when a file is opened, or when it is read.
type noDirect struct {
	disk.FS
	atRead bool
}

type noDirectFile struct{ disk.File }

func (f noDirectFile) ReadAt([]byte, int64) (int, error) {
	return 0, &disk.Error{Op: "read", Name: f.Name(), Err: unix.EINVAL}
}

func (n noDirect) OpenFile(name string, flag int, perm os.FileMode) (disk.File, error) {
	if flag&unix.O_DIRECT == 0 {
		return n.FS.OpenFile(name, flag, perm)
	}
	if !n.atRead {
		return nil, &disk.Error{Op: "open", Name: name, Err: unix.EINVAL}
	}
	f, err := n.FS.OpenFile(name, flag&^unix.O_DIRECT, perm)
	return noDirectFile{f}, err
}

// TestUncached: what was written through another descriptor and is not on the disk yet is read as well, with direct I/O and without.
func TestUncached(t *testing.T) {
	for _, c := range []struct {
		name string
		fs   disk.FS
	}{{"direct", disk.OS()}, {"refused when opened", noDirect{disk.OS(), false}}, {"refused when read", noDirect{disk.OS(), true}}} {
		t.Run(c.name, func(t *testing.T) {
			name, g := filepath.Join(t.TempDir(), "b"), geometry(t)
			b, err := blockfile.Create(disk.OS(), name, g)
			must(t, err)
			defer b.Close()
			m, err := disk.Alloc(3*blockSize, disk.AllocOptions{})
			must(t, err)
			defer m.Close()
			u, err := blockfile.OpenUncached(c.fs, name, g)
			must(t, err)
			defer u.Close()
			for round := range 3 {
				want := bytes.Join([][]byte{block(round + 2), block(round + 3), block(round + 4)}, nil)
				must(t, b.Write(2, want))
				must(t, u.Read(2, m.Bytes()))
				if !bytes.Equal(m.Bytes(), want) {
					t.Errorf("round %d: have other blocks than were written", round)
				}
			}
			if err := u.Read(5, m.Bytes()[:blockSize]); !errors.Is(err, format.ErrIO) || errors.Is(err, format.ErrCorrupt) {
				t.Errorf("a block behind the end: have %v, want ErrIO", err)
			}
			if err := u.Read(blocks, m.Bytes()[:blockSize]); !errors.Is(err, format.ErrCorrupt) {
				t.Errorf("a block of no volume: have %v, want ErrCorrupt", err)
			}
			must(t, u.Present())
			must(t, os.Truncate(name, 0))
			if err := u.Present(); err == nil {
				t.Error("an emptied block file counts as present")
			}
		})
	}
}

// TestUncachedErrors: no descriptor is left when the file cannot be opened.
func TestUncachedErrors(t *testing.T) {
	m, b := create(t)
	for n := range 2 {
		m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Open}, N: n, Err: unix.EIO})
		if u, err := blockfile.OpenUncached(m, b.Disk().Name(), geometry(t)); !errors.Is(err, unix.EIO) {
			t.Errorf("open number %d fails: have %v, %v", n, u, err)
		}
		m.Heal()
	}
}
