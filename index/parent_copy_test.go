package index_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tresor/index"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// TestCopyOfParent: a copy of the parent directory names the same index and block file elsewhere. Two owners of them would overwrite each
// other's blocks; whichever of the two files they share, the second is refused.
func TestCopyOfParent(t *testing.T) {
	for _, shared := range []string{"blocks", "index", "both"} {
		t.Run(shared, func(t *testing.T) {
			dir := t.TempDir()
			first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
			o := format.CreateOptions{Hash: "SHA1", BlockSize: 4096, Size: 100 * 4096, Overflow: 1.3,
				IndexFilename: filepath.Join(dir, "index"), BlockFilename: filepath.Join(dir, "blocks")}
			if err := os.Mkdir(first, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := mkfs.Make(mkfs.Options{Parent: first, CreateOptions: o}); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(second, os.DirFS(first)); err != nil {
				t.Fatal(err)
			}
			other := index.Location{Parent: second}
			switch shared {
			case "blocks":
				other.Index = filepath.Join(dir, "none")
			case "index":
				other.Blocks = filepath.Join(dir, "none")
			}
			p, err := index.Acquire(index.Location{Parent: first}, index.Write)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := index.Acquire(other, index.Write); !errors.Is(err, format.ErrBusy) {
				t.Errorf("a second owner of the same files: have %v, want one of class busy", err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			p, err = index.Acquire(other, index.Write)
			if err != nil {
				t.Fatalf("after the first one is closed: %v", err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
