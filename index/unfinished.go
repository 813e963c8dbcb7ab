package index

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"slices"

	"tresor/index/disk"
	"tresor/index/format"
)

// UnfinishedError is a volume on which a job was begun and not finished. Nothing but that job may touch it; running it again goes on
// from where it was.
type UnfinishedError struct {
	Dir     string // the parent directory
	Job     string // what was begun, as "pack"
	File    string // the file that says so, in Dir
	Command string // what goes on
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("volume %s: a %s was begun and did not finish (%s): %s goes on with it", e.Dir, e.Job, e.File, e.Command)
}

// CheckUnfinished returns an *UnfinishedError if a pack, a resize, a reinit or a rebuild of the index was begun and not finished. Every
// tool calls it before it looks at index or files. A job that goes on names its own files in except.
func CheckUnfinished(fs disk.FS, dir string, except ...string) error {
	// The rebuild comes last: the others create its file as well, for the original.
	for _, job := range []struct{ file, name, command string }{
		{format.ReinitName, "reinit", "ddumbfs reinit " + dir},
		{format.ResizeName, "resize", "ddumbfs resize " + dir},
		{format.PackName, "pack", "ddumbfs fsck -n -k " + dir},
		{format.MigrateName, "migration", ""},
		{format.RebuildName, "rebuild of the index", "ddumbfs fsck -r " + dir},
	} {
		if slices.Contains(except, job.file) {
			continue
		}
		_, err := fs.Lstat(filepath.Join(dir, job.file))
		switch {
		case err == nil:
			if job.file == format.MigrateName {
				job.command = migrateCommand(fs, dir)
			}
			return &UnfinishedError{Dir: dir, Job: job.name, File: job.file, Command: job.command}
		case !errors.Is(err, iofs.ErrNotExist):
			return fmt.Errorf("volume %s: look for unfinished work: %w", dir, err)
		}
	}
	return nil
}
