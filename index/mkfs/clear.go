package mkfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
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
	if err := m.clearState(); err != nil {
		return err
	}
	if err := m.clearTrees(); err != nil {
		return err
	}
	for _, name := range []string{m.r.IndexPath, m.r.BlocksPath} {
		if err := m.removeRegular(name); err != nil {
			return err
		}
	}
	return nil // createRoot syncs the parent directory before there is a volume again
}

// clearState removes the files of the old volume's life. A file of a reinit that is under way stays: it says how to go on.
func (m *maker) clearState() error {
	list, err := m.fs.ReadDir(m.r.Dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.IsDir() || !stateName(d.Name()) || d.Name() == format.ReinitName && m.re != nil {
			continue
		}
		if err := m.remove(d.Name()); err != nil {
			return err
		}
	}
	return nil
}

// stateName tells a file of a volume's life in its parent directory, which is neither configuration nor index nor blocks. What begins with
// the name of one of our state files and a point belongs to it: temporary files, journals.
func stateName(name string) bool {
	if slices.Contains([]string{format.CleanName, format.DirtyName, format.DirtyName + disk.TempSuffix, format.RebuildName,
		format.RebuildName + disk.TempSuffix, format.SnapshotName, format.SnapshotName + disk.TempSuffix, format.SnapshotRotation0,
		format.SnapshotRotation1, format.SocketName, format.ConfigName + disk.TempSuffix, roomName}, name) {
		return true
	}
	for _, state := range []string{format.PackName, format.ResizeName, format.ReinitName, format.MigrateName, format.ScrubName, indexfile.ProofName} {
		if rest, ok := strings.CutPrefix(name, state); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
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

// clearTrees removes the user tree, and the files that repairs have set aside.
func (m *maker) clearTrees() error {
	meter := progress.New(m.o.Progress, "remove files", progress.Files, 0)
	for _, name := range []string{format.RootName, format.QuarantineName} {
		err := m.eachOf(name, func(name string) error {
			if m.stopped != nil && m.stopped() != nil {
				return m.stopped()
			}
			meter.Add(1)
			return m.fs.Remove(name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkTrees refuses a tree with another file system mounted inside, which is not ours to empty.
func (m *maker) checkTrees() error {
	return errors.Join(m.eachOf(format.RootName, nothing), m.eachOf(format.QuarantineName, nothing))
}

func nothing(string) error { return nil }

// eachOf calls fn for everything in a tree of the parent directory, what is in a directory
// before the directory, the top last. It does not leave the file system of the top, and follows no symlink.
func (m *maker) eachOf(tree string, fn func(name string) error) error {
	top := m.path(tree)
	info, err := m.exists(top)
	if info == nil || err != nil {
		return err
	}
	if !info.IsDir() {
		return fn(top)
	}
	return m.eachBelow(top, device(info), fn)
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
