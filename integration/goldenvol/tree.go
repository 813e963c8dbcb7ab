package goldenvol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Entry is one line of a .tsv file: one object of a volume's logical tree.
type Entry struct {
	Path string // relative to the root, with slashes
	Type byte   // 'f', 'd' or 'l'; '?' where the original could not read it
	Mode fs.FileMode
	Size int64  // bytes; 0 for directories and links
	Sum  string // files: SHA-256 of the content in hex
	Link string // links: the target
}

// Tree is the volume's tree as it was before any damage, without the special
// directory.
func Tree(t testing.TB, name string) []Entry {
	t.Helper()
	return parseTree(t, name, Read(t, name, "tsv"))
}

// OriginalRepairTree is the tree after the original's repair. It is no measure
// of ours, see the README.md of the golden volumes.
func OriginalRepairTree(t testing.TB, name string) []Entry {
	t.Helper()
	return parseTree(t, name, Read(t, name, "original-repair.tsv"))
}

func parseTree(t testing.TB, name, text string) []Entry {
	t.Helper()
	var tree []Entry
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i == 0 {
			continue // the header
		}
		e, err := parseEntry(line)
		if err != nil {
			t.Fatalf("tree of golden volume %s line %d: %v", name, i+1, err)
		}
		tree = append(tree, e)
	}
	return tree
}

func parseEntry(line string) (Entry, error) {
	f := strings.Split(line, "\t")
	if len(f) != 5 || len(f[1]) != 1 {
		return Entry{}, fmt.Errorf("want 5 columns, have %q", line)
	}
	e := Entry{Path: f[0], Type: f[1][0]}
	size, err := strconv.ParseInt(f[3], 10, 64)
	if err != nil {
		return Entry{}, err
	}
	e.Size = size
	if e.Type == '?' {
		return e, nil
	}
	mode, err := strconv.ParseUint(strings.TrimPrefix(f[2], "0o"), 8, 12)
	if err != nil {
		return Entry{}, err
	}
	e.Mode = fs.FileMode(mode)
	switch e.Type {
	case 'f':
		e.Sum = f[4]
	case 'l':
		e.Link = f[4]
	}
	return e, nil
}

// ReadTree reads the tree below root (a mounted volume, say) in the same form,
// without the special directory at its top, sorted by path. What cannot be read
// is an error: it names the object.
func ReadTree(root string) ([]Entry, error) {
	var tree []Entry
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || rel == "." {
			return err
		}
		if rel == ".ddumbfs" {
			return fs.SkipDir
		}
		e, err := readEntry(path, d)
		e.Path = filepath.ToSlash(rel)
		tree = append(tree, e)
		return err
	})
	sortTree(tree)
	return tree, err
}

func readEntry(path string, d fs.DirEntry) (Entry, error) {
	info, err := d.Info()
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Type: '?', Mode: info.Mode().Perm()}
	switch {
	case d.IsDir():
		e.Type = 'd'
	case d.Type() == fs.ModeSymlink:
		e.Type = 'l'
		e.Link, err = os.Readlink(path)
	case d.Type().IsRegular():
		e.Type, e.Size = 'f', info.Size()
		e.Sum, err = sum(path)
	}
	return e, err
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func sortTree(tree []Entry) {
	slices.SortFunc(tree, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
}

// Diff compares two trees and returns a line for every difference: missing,
// extra, or changed objects, sorted by path. ignore, which may be nil, excuses
// extra objects of have (the files that the damage made, for instance).
func Diff(have, want []Entry, ignore func(path string) bool) []string {
	found := make(map[string]Entry, len(have))
	for _, e := range have {
		found[e.Path] = e
	}
	var lines []string
	for _, w := range want {
		h, ok := found[w.Path]
		delete(found, w.Path)
		switch {
		case !ok:
			lines = append(lines, fmt.Sprintf("%s: missing, want %+v", w.Path, w))
		case h != w:
			lines = append(lines, fmt.Sprintf("%s: have %+v, want %+v", w.Path, h, w))
		}
	}
	for path, h := range found {
		if ignore == nil || !ignore(path) {
			lines = append(lines, fmt.Sprintf("%s: extra, have %+v", path, h))
		}
	}
	slices.Sort(lines)
	return lines
}
