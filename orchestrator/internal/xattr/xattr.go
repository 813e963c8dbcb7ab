// Package xattr reads the extended attributes of what a path names itself, ACLs included. A symlink is not followed.
package xattr

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Attribute is one of them.
type Attribute struct {
	Name  string
	Value []byte
}

// Read reads all attributes of path, in the order of the file system. One without any has none. Beside an error stands what was read before.
func Read(path string) ([]Attribute, error) {
	names, err := sized(func(p []byte) (int, error) { return unix.Llistxattr(path, p) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list extended attributes: %w", err)
	}
	var list []Attribute
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value, err := sized(func(p []byte) (int, error) { return unix.Lgetxattr(path, name, p) })
		if errors.Is(err, unix.ENODATA) {
			continue // it went
		}
		if err != nil {
			return list, fmt.Errorf("extended attribute %s: %w", name, err)
		}
		list = append(list, Attribute{name, value})
	}
	return list, nil
}

// sized asks for a length, then for the bytes, and again if there are more by then.
func sized(get func(p []byte) (int, error)) ([]byte, error) {
	for {
		n, err := get(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		p := make([]byte, n)
		n, err = get(p)
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return p[:n], nil
	}
}
