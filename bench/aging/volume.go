package aging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"tresor/bench/counted"
	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/mkfs"
	"tresor/index/recipe"
	"tresor/index/reclaim"
)

// volume is an open volume with the data path of the mount over it, no kernel in between.
type volume struct {
	dir   string
	disk  *counted.FS
	vol   *index.Volume
	files *openfile.Manager
}

func makeVolume(dir string, o format.CreateOptions) error {
	if err := disk.OS().Mkdir(dir, 0o700); err != nil {
		return err
	}
	_, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: o})
	return err
}

func open(dir string) (*volume, error) {
	v := &volume{dir: dir, disk: counted.New(disk.OS())}
	p, err := index.Acquire(index.Location{FS: v.disk, Parent: dir}, index.Write)
	if err != nil {
		return nil, err
	}
	if v.vol, err = index.Open(p, index.Options{}); err != nil {
		return nil, err
	}
	v.files = openfile.NewManager(openfile.Config{Volume: v.vol, Workers: runtime.GOMAXPROCS(0)})
	return v, nil
}

func (v *volume) close() error { return errors.Join(v.files.Close(), v.vol.Close()) }

// copyOf names a stored file: which generation of which image.
type copyOf struct{ image, generation int }

func (c copyOf) name() string { return fmt.Sprintf("image%d-%d", c.image, c.generation) }

// path is that of the stored file below the root.
func (v *volume) path(c copyOf) string { return filepath.Join(v.dir, format.RootName, c.name()) }

func (v *volume) handle(c copyOf) (*openfile.Handle, error) {
	f, err := v.files.Open(openfile.ID(1000*c.image+c.generation+10), func() (disk.File, error) {
		return v.disk.OpenFile(v.path(c), os.O_RDWR|os.O_CREATE, 0o600)
	})
	if err != nil {
		return nil, err
	}
	h := f.NewHandle()
	return h, f.Close()
}

const request = 1 << 20

// store writes a generation in requests of 1 MiB and syncs it.
func (v *volume) store(c copyOf, m *image) (err error) {
	h, err := v.handle(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	p := make([]byte, max(request, m.blockSize))
	for at := 0; at < len(m.content); {
		n := min(len(p)/m.blockSize, len(m.content)-at)
		m.put(p[:n*m.blockSize], at)
		if _, err := h.WriteAt(p[:n*m.blockSize], int64(at)*int64(m.blockSize)); err != nil {
			return err
		}
		at += n
	}
	return h.Sync(false)
}

// read reads a generation in requests of 1 MiB and compares the content where m is not nil.
func (v *volume) read(c copyOf, m *image) (err error) {
	h, err := v.handle(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	size := h.File().Size()
	p := make([]byte, request)
	want := make([]byte, len(p))
	for off := int64(0); off < size; off += request {
		n, err := h.ReadAt(p, off)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		m.put(want[:n], int(off)/m.blockSize)
		if string(want[:n]) != string(p[:n]) {
			return fmt.Errorf("%v at %d: not what was stored", c, off)
		}
	}
	return nil
}

func (v *volume) remove(c copyOf) error { return v.disk.Remove(v.path(c)) }

func (v *volume) reclaim() error {
	_, err := reclaim.Run(context.Background(), v.vol, reclaim.Options{})
	return err
}

// entries are those of a stored generation.
func (v *volume) entries(c copyOf) (list []format.Entry, err error) {
	f, err := v.disk.OpenFile(v.path(c), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := recipe.New(f, v.vol.Geometry())
	h, err := r.ReadHeader()
	if err != nil {
		return nil, err
	}
	list = make([]format.Entry, h.Entries)
	_, err = r.ReadEntries(0, list)
	return list, err
}
