// Package goldenvol gives tests the golden volumes of integration/testdata: it
// knows their names and kinds, unpacks one into a directory that the test owns,
// and reads what is known about it (its tree, the options it was made with, the
// original's verdicts). It finds the files beside its own source, so that tests
// of every package may call it. The volumes are described in the README.md that
// lies with them; they are added to and never remade.
package goldenvol

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Kind sorts the golden volumes by what a test may expect of them.
type Kind int

const (
	// Empty volumes are fresh from mkfs and were never mounted.
	Empty Kind = iota
	// Sound volumes hold files and no damage. Two of them (Unclean) still carry
	// the mark of a mount that did not end cleanly.
	Sound
	// Killed volumes lost their mount process while a file was being written.
	Killed
	// Damaged volumes were altered while they were not mounted.
	Damaged
)

// Names lists the volumes of one kind. The slice is the caller's.
func Names(kind Kind) []string {
	switch kind {
	case Empty:
		return []string{
			"empty-sha1-128k", "empty-sha1-4k", "empty-sha1-64k",
			"empty-tiger-128k", "empty-tiger-128k-20g", "empty-tiger-4k", "empty-tiger-64k",
			"empty-tiger128-128k", "empty-tiger128-4k", "empty-tiger128-64k",
			"empty-tiger160-128k", "empty-tiger160-4k", "empty-tiger160-64k",
		}
	case Sound:
		return []string{
			"sha1-4k", "sha1-4k-full", "sha1-4k-unreclaimed", "sha1-64k",
			"tiger-128k", "tiger-4k", "tiger-4k-full", "tiger-4k-reclaimed",
			"tiger128-4k-overflow", "tiger160-8k",
		}
	case Killed:
		return []string{"sha1-4k-killed-pool", "tiger-4k-killed"}
	case Damaged:
		return []string{
			"tiger-4k-addr-swapped", "tiger-4k-corrupt-bytes", "tiger-4k-duplicated", "tiger-4k-everything",
			"tiger-4k-funny-files", "tiger-4k-power-cut", "tiger-4k-reset", "tiger-4k-swapped",
		}
	}
	return nil
}

// All lists every golden volume, sorted.
func All() []string {
	all := slices.Concat(Names(Empty), Names(Sound), Names(Killed), Names(Damaged))
	slices.Sort(all)
	return all
}

// Unclean reports whether a sound volume is marked as not cleanly unmounted.
func Unclean(name string) bool { return name == "sha1-64k" || name == "tiger-128k" }

// Dir is the directory of the golden files.
func Dir() string {
	_, source, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(source), "..", "testdata", "golden")
}

// Unpack unpacks the volume into a temporary directory of the test and returns
// the parent directory. Modes, owners, links and holes are as in the original,
// so that it wants root and the programs tar and zstd; without them it fails.
func Unpack(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	archive := filepath.Join(Dir(), name+".tar.zst")
	out, err := exec.Command("tar", "--zstd", "-x", "-p", "-f", archive, "-C", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("unpack golden volume %s: %v\n%s", archive, err, out)
	}
	return filepath.Join(dir, name)
}

// Read returns the golden file NAME.EXT, for instance Read(t, "tiger-4k", "check").
func Read(t testing.TB, name, ext string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Dir(), name+"."+ext))
	if err != nil {
		t.Fatalf("read golden file: %v", err)
	}
	return string(data)
}

// MkfsArgs are the options that an empty volume was made with.
func MkfsArgs(t testing.TB, name string) []string {
	t.Helper()
	return strings.Fields(Read(t, name, "mkfs"))
}
