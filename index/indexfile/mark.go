package indexfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// WriteMarkAnyway is WriteMark that a full disk does not stop: the mark is empty then, which takes no room and does not say whose it is. After
// a crash nothing is trusted, and all is hashed again.
func WriteMarkAnyway(fs disk.FS, dir string, m Mark) error {
	err := WriteMark(fs, dir, m)
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	// What an older mark says must not stay: that of a repair vouches for blocks that are written from now on.
	f, err := fs.OpenFile(filepath.Join(dir, format.DirtyName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return fmt.Errorf("mark volume: %w", err)
	}
	if err := errors.Join(f.SyncAll(), f.Close(), fs.SyncDir(dir)); err != nil {
		return fmt.Errorf("mark volume: %w", err)
	}
	return nil
}

// begunLine is the last line of a mark while a repair changes things. That of MarkRepair says so by itself.
const begunLine = "repair begun\n"

// BeginRepair adds to the mark of a volume that was not closed cleanly that a repair is about to change things, durably; whatever the mark
// says else stays true. The mark that ends the repair, or its removal, takes the note away. On a full disk there is no note.
func BeginRepair(fs disk.FS, dir string) error {
	text, err := markText(fs, dir)
	if err != nil {
		return err
	}
	if begun(text) {
		return nil
	}
	if text != string(MarkSession) {
		text = "" // of somebody else
	}
	err = disk.WriteFileAtomic(fs, filepath.Join(dir, format.DirtyName), []byte(text+begunLine), fileMode)
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("mark volume: %w", err)
	}
	return nil
}

// RepairBegun tells whether a repair has begun to change things, and did not come to its end. If that was because a sync failed, what it wrote
// may be in memory only, where nothing tells it from what is on the disk, and no later sync stores it.
func RepairBegun(fs disk.FS, dir string) (bool, error) {
	text, err := markText(fs, dir)
	return begun(text), err
}

func begun(text string) bool {
	return strings.HasPrefix(text, string(MarkRepair)) || strings.HasSuffix(text, begunLine)
}

// markText is what .autofsck says, "" where there is none.
func markText(fs disk.FS, dir string) (string, error) {
	text, err := readSmall(fs, filepath.Join(dir, format.DirtyName))
	if err != nil {
		return "", fmt.Errorf("read mark of volume: %w", err)
	}
	return text, nil
}
