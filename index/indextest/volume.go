package indextest

import (
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"testing"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
)

// Volume is a volume at rest.
type Volume struct {
	*fsck.Volume
	t testing.TB
}

// Options of a new volume. The zero value is a TIGER volume of 256 blocks of 4 KiB.
type Options struct {
	FS        disk.FS // nil: the operating system's
	Dir       string  // empty: a new temporary directory, on FS nil only
	Hash      string
	BlockSize int
	Blocks    uint64
}

// New makes an empty volume, as mkfs would.
func New(t testing.TB, o Options) *Volume {
	t.Helper()
	if o.FS == nil {
		o.FS = disk.OS()
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "volume")
	}
	if o.Hash == "" {
		o.Hash = "TIGER"
	}
	if o.BlockSize == 0 {
		o.BlockSize = 4096
	}
	if o.Blocks == 0 {
		o.Blocks = 256
	}
	c, err := format.NewConfig(format.CreateOptions{Hash: o.Hash, BlockSize: o.BlockSize, Overflow: 1.3,
		Size: int64(o.Blocks) * int64(o.BlockSize), IndexFilename: "ddfsidx", BlockFilename: "ddfsblocks"})
	if err != nil {
		t.Fatalf("make volume: %v", err)
	}
	g, err := c.Geometry()
	if err != nil {
		t.Fatalf("make volume: %v", err)
	}
	for _, dir := range []string{o.Dir, filepath.Join(o.Dir, format.RootName), filepath.Join(o.Dir, format.RootName, format.SpecialName)} {
		if err := o.FS.Mkdir(dir, 0o700); err != nil && !errors.Is(err, iofs.ErrExist) {
			t.Fatalf("make volume: %v", err)
		}
	}
	x, err := indexfile.Create(o.FS, filepath.Join(o.Dir, c.IndexFilename), c)
	if err != nil {
		t.Fatalf("make volume: %v", err)
	}
	b, err := blockfile.Create(o.FS, filepath.Join(o.Dir, c.BlockFilename), g)
	if err != nil {
		t.Fatalf("make volume: %v", err)
	}
	if err := errors.Join(x.Close(), b.Close()); err != nil {
		t.Fatalf("make volume: %v", err)
	}
	if err := disk.WriteFileAtomic(o.FS, filepath.Join(o.Dir, format.ConfigName), c.Marshal(), 0o600); err != nil {
		t.Fatalf("make volume: %v", err)
	}
	return Describe(t, o.FS, o.Dir)
}

// Describe looks at the volume in dir, and at how it was left.
func Describe(t testing.TB, fs disk.FS, dir string) *Volume {
	t.Helper()
	name := filepath.Join(dir, format.ConfigName)
	c, err := format.ParseConfig(name, readAll(t, fs, name))
	if err != nil {
		t.Fatalf("describe volume: %v", err)
	}
	g, err := c.Geometry()
	if err != nil {
		t.Fatalf("describe volume: %v", err)
	}
	v := &Volume{t: t, Volume: &fsck.Volume{FS: fs, Dir: dir, Root: filepath.Join(dir, format.RootName), Config: c, Geometry: g,
		IndexPath: resolve(dir, c.IndexFilename), BlocksPath: resolve(dir, c.BlockFilename)}}
	if err := v.LoadState(); err != nil {
		t.Fatalf("describe volume %s: %v", dir, err)
	}
	return v
}

// Reload describes the volume again, after something changed it.
func (v *Volume) Reload() *Volume {
	v.t.Helper()
	return Describe(v.t, v.FS, v.Dir)
}

func resolve(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// Path is the path of one of the volume's own files.
func (v *Volume) Path(name string) string { return filepath.Join(v.Dir, name) }

// SetFlag makes or removes one of the empty marker files, such as .autofsck.
func (v *Volume) SetFlag(name string, there bool) {
	v.t.Helper()
	if !there {
		v.remove(v.Path(name))
		return
	}
	f := v.open(v.Path(name), os.O_CREATE|os.O_RDWR)
	defer v.close(f)
	v.must("set flag", f.SyncAll())
	v.must("set flag", v.FS.SyncDir(v.Dir))
}

// Sync makes everything durable, for disks that can lose power.
func (v *Volume) Sync() {
	v.t.Helper()
	v.must("sync", v.FS.SyncFS(v.Dir))
}

func (v *Volume) remove(name string) {
	v.t.Helper()
	if err := v.FS.Remove(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		v.t.Fatalf("remove %s: %v", name, err)
	}
}

func (v *Volume) must(what string, err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
}

func (v *Volume) open(name string, flag int) disk.File {
	v.t.Helper()
	f, err := v.FS.OpenFile(name, flag, 0o600)
	v.must("open", err)
	return f
}

func (v *Volume) close(f disk.File) {
	v.t.Helper()
	v.must("close", f.Close())
}

func readAll(t testing.TB, fs disk.FS, name string) []byte {
	t.Helper()
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	data := make([]byte, size)
	if err := disk.ReadFull(f, data, 0); err != nil {
		t.Fatalf("read: %v", err)
	}
	return data
}
