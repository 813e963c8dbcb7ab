package fsck

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tresor/index/disk"
	"tresor/index/format"
)

// reportRotations is how many older reports are kept, as corrupted.txt.1 to .5.
const reportRotations = 5

// damage is a set of damaged files in a form that needs no memory: their number and the sum of the hashes of their lines.
type damage struct{ n, sum uint64 }

func (d *damage) add(path string) {
	h := fnv.New64a()
	io.WriteString(h, path) //nolint:errcheck // never fails
	d.n++
	d.sum += h.Sum64()
}

// oldDamage is which files the list in place calls damaged, without those that went to the quarantine. No list is an empty one.
func (l *reportList) oldDamage() (d damage, err error) {
	f, err := l.v.FS.OpenFile(l.name(), os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return d, err
	}
	in := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 64<<10)
	for {
		line, err := in.ReadString('\n')
		if path := strings.TrimSuffix(line, "\n"); len(path) >= len("FCSL ") && path[1] != ' ' {
			if path[1] != 'H' || l.v.inTree(path[len("FCSL "):]) {
				d.add(path[len("FCSL "):])
			}
		}
		if errors.Is(err, io.EOF) {
			return d, nil
		}
		if err != nil {
			return d, err
		}
	}
}

// inTree tells whether a file is where a report says, and not in the quarantine.
func (v *Volume) inTree(path string) bool {
	_, err := v.FS.Lstat(v.Root + "/" + path)
	return err == nil
}

// specialDir makes sure that the special directory is there, and is no link that leads elsewhere.
func (v *Volume) specialDir() error {
	name := filepath.Join(v.Root, format.SpecialName)
	err := v.FS.Mkdir(name, 0o700)
	if !errors.Is(err, iofs.ErrExist) {
		return err
	}
	info, err := v.FS.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("the special directory %s is not a directory: %w", name, syscall.ENOTDIR)
	}
	return err
}

// rotate moves the older reports one on; the oldest goes.
func (v *Volume) rotate(name string) error {
	for i := reportRotations - 1; i >= 0; i-- {
		from := name
		if i > 0 {
			from = fmt.Sprintf("%s.%d", name, i)
		}
		if err := v.FS.Rename(from, fmt.Sprintf("%s.%d", name, i+1)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// remove deletes a file that may be missing.
func remove(fs disk.FS, name string) error {
	if err := fs.Remove(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}
