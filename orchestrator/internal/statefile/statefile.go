// Package statefile replaces small files as a whole and reads them back with care: whoever looks, also after a power cut, finds the old content or the
// new one, never a part. Names are relative to an os.Root, so that no symlink leads out of the folder.
//
//	Replace  temporary name, write, sync, rename, sync of the directory
//	Read     regular files only, no more than a limit
//	Remove   with the sync of the directory; what is not there is no error
package statefile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Temporary is the name under which new content of name grows, beside it. A file of that name is the leftover of a crash: the next Replace takes it away.
func Temporary(name string) string {
	dir, base := path.Split(name)
	return dir + "." + base + ".tmp"
}

// Replace gives name below root the content that write writes, and the permissions perm. When it has returned nil, that is on the disk; after an
// error name is as it was, or, where only the sync of the directory failed, new now and after a power cut perhaps old again. Only one caller at a time
// may replace the same name.
func Replace(root *os.Root, name string, perm fs.FileMode, write func(w io.Writer) error) error {
	tmp := Temporary(name)
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace %s: leftover of an earlier try: %w", name, err)
	}
	err := fill(root, tmp, perm, write)
	if err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		if e := root.Remove(tmp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return Sync(root, path.Dir(name))
}

func fill(root *os.Root, tmp string, perm fs.FileMode, write func(w io.Writer) error) error {
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 256<<10)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Chmod(perm) // whatever the mask is
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReplaceBytes is Replace with the content at hand.
func ReplaceBytes(root *os.Root, name string, perm fs.FileMode, data []byte) error {
	return Replace(root, name, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Open opens a regular file of at most limit bytes for reading. Anything else under that name is an error, and is not waited for; a symlink is not
// followed.
func Open(root *os.Root, name string, limit int64) (*os.File, error) {
	f, err := OpenRegular(root, name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > limit {
		err = fmt.Errorf("open %s: it has %d bytes, want at most %d", name, info.Size(), limit)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenRegular is Open for files of any size.
func OpenRegular(root *os.Root, name string) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: it is %v, want a regular file", name, before.Mode().Type())
	}
	// The root follows symlinks that stay inside, whatever the flags say: the file is compared with the one that was looked at.
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("open %s: it was replaced meanwhile", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read is the content of a regular file of at most limit bytes.
func Read(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := Open(root, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was read only
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if n > limit {
		return nil, fmt.Errorf("read %s: it grew beyond %d bytes", name, limit)
	}
	return b.Bytes(), nil
}

// Remove removes a name and makes that durable. What is not there is no error.
func Remove(root *os.Root, name string) error {
	err := root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return Sync(root, path.Dir(name))
}

// Sync makes the names in a directory below root durable.
func Sync(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
