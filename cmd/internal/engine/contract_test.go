package engine_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/integration/mounttest"
	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// The promises of a store hold for a volume on a disk of its own and in a plain directory, whatever the block size.
func TestStorePassesTheContract(t *testing.T) {
	for _, c := range []struct {
		name string
		loop bool
		o    orchestrator.MakeOptions
	}{
		{"ext4 on a loop device", true, orchestrator.MakeOptions{BlockSize: 4096}},
		{"a directory", false, orchestrator.MakeOptions{BlockSize: 128 << 10, Size: 200 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			storetest.Contract(t, func(t *testing.T) orchestrator.Store {
				dir := mounttest.Dir(t)
				if c.loop {
					dir = mounttest.Loop(t, 256<<20)
				}
				r := newRig(t, dir, c.o)
				return &damaged{Store: r.mount(orchestrator.MountOptions{}), t: t, r: r, loop: c.loop}
			})
		})
	}
}

// damaged is a store whose disk can be damaged.
type damaged struct {
	orchestrator.Store
	t    *testing.T
	r    *rig
	loop bool
}

// Flip changes the byte on the disk: of a loop device below the page cache of the file system on it.
func (d *damaged) Flip(path string, off int64) error {
	block, err := d.r.blockAt(path, off)
	if err != nil {
		return err
	}
	if err := d.Sync(d.t.Context()); err != nil {
		return err
	}
	if !d.loop {
		return flip(filepath.Join(d.r.parent, "ddfsblocks"), block+off%4096)
	}
	return d.r.flipBelow(block, off)
}

// blockAt finds where in the block file the block lies that holds a byte of a file.
func (r *rig) blockAt(path string, off int64) (int64, error) {
	p, err := index.Acquire(index.Location{Parent: r.parent}, index.Read)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	bs := int64(p.Geometry.BlockSize)
	want := make([]byte, bs)
	f, err := os.Open(filepath.Join(r.point, path))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if n, err := f.ReadAt(want, off/bs*bs); n == 0 {
		return 0, err
	}
	all, err := os.ReadFile(p.BlocksPath)
	if err != nil {
		return 0, err
	}
	for at := int64(0); at < int64(len(all)); at += bs {
		if bytes.Equal(all[at:min(at+bs, int64(len(all)))], want) {
			return at, nil
		}
	}
	return 0, fmt.Errorf("the block of %s at %d is not in the block file", path, off)
}

func flip(name string, at int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] = ^b[0]
	if _, err := f.WriteAt(b[:], at); err != nil {
		return err
	}
	return f.Sync()
}

// flipBelow changes a byte of the block file in the image of the loop device: what the page cache has of the file stays as it was.
func (r *rig) flipBelow(block, off int64) error {
	blocks := filepath.Join(r.parent, "ddfsblocks")
	before, err := os.ReadFile(blocks)
	if err != nil {
		return err
	}
	dir := filepath.Dir(r.parent)
	unix.Sync()
	image := filepath.Join(filepath.Dir(dir), "disk.img")
	data, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	at := bytes.Index(data, before[block:block+4096])
	if at < 0 {
		return fmt.Errorf("the block at %d is not in %s", block, image)
	}
	return flip(image, int64(at)+off%4096)
}
