package mkfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tresor/index/disk"
	"tresor/index/format"
)

// clear takes the old volume away. The configuration goes first and its removal
// is on the disk before anything else changes: from then on there is no volume.
// The marks of the old life-cycle go with it; a stale clean mark or snapshot
// would be believed after the next crash (format page, section 7).
func (m *maker) clear() error {
	if err := m.remove(format.ConfigName); err != nil {
		return err
	}
	if err := m.fs.SyncDir(m.r.Dir); err != nil {
		return err
	}
	for _, name := range []string{
		format.CleanName, format.SnapshotName, format.SnapshotRotation0, format.SnapshotRotation1,
		format.RebuildName, format.DirtyName, format.SocketName,
		format.ConfigName + disk.TempSuffix, format.SnapshotName + disk.TempSuffix,
	} {
		if err := m.remove(name); err != nil {
			return err
		}
	}
	if err := m.clearRoot(); err != nil {
		return err
	}
	for _, name := range []string{m.r.IndexPath, m.r.BlocksPath} {
		if err := m.removeRegular(name); err != nil {
			return err
		}
	}
	return nil // createRoot syncs the parent directory before there is a volume again
}

// remove unlinks a name in the parent directory, if it is there.
func (m *maker) remove(name string) error {
	err := m.fs.Remove(m.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeRegular unlinks an old index or block file, so that the new one starts
// with its own mode and owner. A device stays, and so does a symbolic link: it
// says where the file is wanted, and the file behind it is emptied when created.
func (m *maker) removeRegular(name string) error {
	info, err := m.exists(name)
	if info == nil || err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := m.fs.Remove(name); err != nil {
		return err
	}
	return m.fs.SyncDir(filepath.Dir(name))
}

// clearRoot removes the user tree.
func (m *maker) clearRoot() error { return m.eachBelowRoot(m.fs.Remove) }

// checkRoot refuses a user tree with another file system mounted inside, which
// is not ours to empty.
func (m *maker) checkRoot() error { return m.eachBelowRoot(func(string) error { return nil }) }

// eachBelowRoot calls fn for everything in the user tree, what is in a directory
// before the directory, the root last. It does not leave the root's file system.
func (m *maker) eachBelowRoot(fn func(name string) error) error {
	root := m.path(format.RootName)
	info, err := m.exists(root)
	if info == nil || err != nil {
		return err
	}
	return m.eachBelow(root, device(info), fn)
}

func (m *maker) eachBelow(dir string, dev uint64, fn func(name string) error) error {
	list, err := m.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		name := dir + "/" + d.Name()
		if !d.IsDir() {
			if err := fn(name); err != nil {
				return err
			}
			continue
		}
		info, err := m.fs.Lstat(name)
		if err != nil {
			return err
		}
		if device(info) != dev {
			return fmt.Errorf("%s is another file system, mounted inside the volume: %w", name, ErrForeign)
		}
		if err := m.eachBelow(name, dev, fn); err != nil {
			return err
		}
	}
	return fn(dir)
}

func device(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Dev
	}
	return 0
}

// createRoot makes the empty user tree with the special directory in it.
func (m *maker) createRoot() error {
	root := m.path(format.RootName)
	special := filepath.Join(root, format.SpecialName)
	for _, dir := range []string{root, special} {
		if err := m.fs.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for _, name := range []string{format.StatsName, format.Stats0Name, format.ReclaimName, format.TestName} {
		f, err := m.fs.OpenFile(filepath.Join(special, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		if err := errors.Join(f.SyncAll(), f.Close()); err != nil {
			return err
		}
	}
	for _, dir := range []string{special, root, m.r.Dir} {
		if err := m.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
