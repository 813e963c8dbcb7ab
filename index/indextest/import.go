package indextest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
)

// Import copies the directory from, with everything below it, to the directory to of a disk in memory. Hard links stay links;
// symlinks lead nowhere there; holes of 4 KiB and more stay holes.
func Import(t testing.TB, m *disktest.FS, from, to string) {
	t.Helper()
	first := map[uint64]string{} // by inode
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := to + strings.TrimPrefix(path, from)
		switch {
		case d.IsDir():
			m.MkdirAll(name)
			return nil
		case d.Type() == fs.ModeSymlink:
			return m.Symlink(name)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if old, ok := first[st.Ino]; ok {
			return m.Link(old, name)
		}
		first[st.Ino] = name
		return importFile(m, path, name)
	})
	if err != nil {
		t.Fatalf("import %s: %v", from, err)
	}
}

func importFile(m *disktest.FS, path, name string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := m.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	const page = 4096
	zero := string(make([]byte, page))
	for at := 0; at < len(data); at += page {
		p := data[at:min(at+page, len(data))]
		if string(p) == zero[:len(p)] {
			continue
		}
		if err := disk.WriteFull(f, p, int64(at)); err != nil {
			return err
		}
	}
	return nil
}

// Image is the content of every file below the volume's parent directory, by path relative to it. What only reports (corrupted.txt)
// is left out.
func (v *Volume) Image() map[string]string {
	v.t.Helper()
	all := map[string]string{}
	v.image(all, "")
	return all
}

func (v *Volume) image(all map[string]string, dir string) {
	v.t.Helper()
	list, err := v.FS.ReadDir(filepath.Join(v.Dir, dir))
	v.must("read directory", err)
	for _, d := range list {
		path := filepath.Join(dir, d.Name())
		switch {
		case strings.HasPrefix(d.Name(), "corrupted.txt"):
		case d.IsDir():
			v.image(all, path)
		case d.Type().IsRegular():
			all[path] = string(readAll(v.t, v.FS, filepath.Join(v.Dir, path)))
		}
	}
}
