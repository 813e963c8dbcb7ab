package transfer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"tresor/index/disk"
	"tresor/index/format"
)

// TempPrefix begins the name of a file that is not complete yet, beside the file that it will replace. 16 hexadecimal digits follow.
const TempPrefix = ".ddumbfs-copy."

// tempDigits is the length of what follows TempPrefix.
const tempDigits = 16

// tempName is a temporary name for a target, another one each time: two copies to one target must not meet in it. It is short whatever the
// length of the target's name.
func tempName(target string) string {
	return filepath.Join(filepath.Dir(target), NewTemp())
}

// NewTemp is the name of a file on its way in.
func NewTemp() string {
	var b [tempDigits / 2]byte
	rand.Read(b[:]) // never fails
	return TempPrefix + hex.EncodeToString(b[:])
}

// IsTemp tells whether a name is one that NewTemp makes.
func IsTemp(name string) bool {
	digits, ok := strings.CutPrefix(name, TempPrefix)
	return ok && len(digits) == tempDigits && strings.Trim(digits, "0123456789abcdef") == ""
}

// within checks a path relative to root and returns the whole one. Everything before the last name must be a directory, not a
// symlink that might lead out of the volume. The last name need not exist.
func within(fs disk.FS, root, path string) (string, error) {
	clean := filepath.Clean(path)
	if !filepath.IsLocal(path) || clean == "." {
		return "", fmt.Errorf("%q is no path inside the tree of files: %w", path, syscall.EINVAL)
	}
	names := strings.Split(clean, "/")
	if names[0] == format.SpecialName {
		return "", fmt.Errorf("%q lies in the special directory, which holds no stored files: %w", path, syscall.EINVAL)
	}
	at := root
	for _, name := range names[:len(names)-1] {
		at = filepath.Join(at, name)
		info, err := fs.Lstat(at)
		if err != nil {
			return "", err
		}
		if !info.IsDir() {
			return "", fmt.Errorf("%s is not a directory: %w", at, syscall.ENOTDIR)
		}
	}
	return filepath.Join(root, clean), nil
}

// removeTemp removes a leftover; that there is none is fine.
func removeTemp(fs disk.FS, name string) error {
	if err := fs.Remove(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}

// clean removes what killed copies left in a directory of a volume. The volume is owned: nobody else is copying there.
func clean(fs disk.FS, dir string) error {
	list, err := fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		if IsTemp(d.Name()) && !d.IsDir() {
			if err := removeTemp(fs, filepath.Join(dir, d.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
