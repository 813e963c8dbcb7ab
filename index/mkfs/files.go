package mkfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// blankCheck is how many bytes of a device must be zero before it is used
// without Force: file systems, volume managers and RAIDs have their marks there.
const blankCheck = 128 << 10

// resolveFiles finds where index and block file go and what lies there.
func (m *maker) resolveFiles() error {
	m.setNames()
	m.r.IndexPath, m.r.BlocksPath = m.resolve(m.o.IndexFilename), m.resolve(m.o.BlockFilename)
	if err := m.checkSame(); err != nil {
		return err
	}
	if err := m.checkFile(m.r.IndexPath, format.MagicIndex); err != nil {
		return err
	}
	if err := m.checkFile(m.r.BlocksPath, format.MagicBlocks); err != nil {
		return err
	}
	return m.leftovers()
}

func (m *maker) setNames() {
	if m.o.IndexFilename == "" {
		m.o.IndexFilename = format.DefaultIndexName
	}
	if m.o.BlockFilename == "" {
		m.o.BlockFilename = format.DefaultBlocksName
	}
}

// checkFile makes sure that name may be written: there is nothing, or an empty
// file, or (with Force) a file that begins with magic; of a device it wants
// that nobody uses it and (without Force) that it is blank.
func (m *maker) checkFile(name, magic string) error {
	// An absolute name may lead into the parent too, past the check of relative ones.
	if rel, err := filepath.Rel(m.r.Dir, name); err != nil || filepath.IsLocal(rel) && (!format.ValidFilename(rel) || reserved(rel)) {
		return fmt.Errorf("%s: this name has another use in a volume", name)
	}
	f, err := m.fs.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return m.checkPlace(name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if f.IsDevice() {
		return m.checkDevice(f, magic)
	}
	return m.checkRegular(f, magic)
}

// reserved tells names in the parent directory that have a use of ours. The original knows nothing of it, so that its volumes may have them.
func reserved(rel string) bool {
	head, _, _ := strings.Cut(rel, "/")
	return head == format.QuarantineName || stateName(head)
}

// checkPlace makes sure that a file can be made at name, where there is none:
// that must not be found out when the old volume is gone.
func (m *maker) checkPlace(name string) error {
	if link, err := m.exists(name); link != nil || err != nil {
		return errors.Join(fmt.Errorf("%s is a symbolic link to nothing: want what it points at, or no link", name), err)
	}
	dir := filepath.Dir(name)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	info, err := m.fs.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is %s: want a directory", dir, info.Mode().Type())
	}
	return nil
}

func (m *maker) checkRegular(f disk.File, magic string) error {
	size, err := f.Size()
	if size == 0 && m.re != nil && m.re.resumed && !m.below(f.Name()) {
		return m.admit(f, nil, magic)
	}
	if size == 0 || err != nil {
		return err
	}
	head, err := readHead(f, format.IndexPage)
	if err != nil {
		return err
	}
	if m.re != nil {
		return m.admit(f, head, magic)
	}
	// Zeros in the parent directory are a file whose mkfs or repair was
	// interrupted. Elsewhere they may be the start of anything.
	blank := m.below(f.Name()) && len(bytes.Trim(head, "\x00")) == 0
	switch {
	case !bytes.HasPrefix(head, []byte(magic)) && !blank:
		return fmt.Errorf("%s exists and does not begin with %q: %w", f.Name(), magic, ErrForeign)
	case !m.o.Force:
		return fmt.Errorf("%s exists, it may belong to another volume: %w", f.Name(), ErrNotEmpty)
	}
	return nil
}

// checkDevice opens the device once more, exclusively: the kernel refuses that
// while the device is mounted or part of another one.
func (m *maker) checkDevice(f disk.File, magic string) error {
	only, err := m.fs.OpenFile(f.Name(), os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return format.Mark(format.ErrBusy, fmt.Errorf("device is in use: %w", err))
	}
	if err != nil {
		return err
	}
	defer only.Close()
	head, err := readHead(f, blankCheck)
	if err != nil {
		return err
	}
	switch {
	case len(bytes.Trim(head, "\x00")) == 0:
	case m.re != nil:
		return m.admit(f, head[:min(len(head), format.IndexPage)], magic)
	case !m.o.Force:
		return fmt.Errorf("device %s is not blank: %w", f.Name(), ErrNotEmpty)
	}
	return nil
}

// readHead reads up to n bytes from the start.
func readHead(f disk.File, n int) ([]byte, error) {
	head := make([]byte, n)
	got, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:got], nil
}

// checkSame refuses one file, or one device, for both.
func (m *maker) checkSame() error {
	a, b := m.identity(m.r.IndexPath), m.identity(m.r.BlocksPath)
	if a == b {
		return fmt.Errorf("index and block file are the same: %s, %s", m.r.IndexPath, m.r.BlocksPath)
	}
	return nil
}

// identity names the object behind a path so that two paths to it compare
// equal: its device number, its inode, or, while it does not exist, the path.
func (m *maker) identity(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	} else if real, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
		name = filepath.Join(real, filepath.Base(name))
	}
	info, err := m.fs.Lstat(name)
	if err != nil {
		return "path " + name
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return "path " + name
	case info.Mode()&os.ModeDevice != 0 && st.Rdev != 0:
		return fmt.Sprint("device ", st.Rdev)
	}
	return fmt.Sprint("inode ", st.Dev, " ", st.Ino)
}

// below reports whether a path lies in the parent directory.
func (m *maker) below(name string) bool { return strings.HasPrefix(name, m.r.Dir+"/") }
