package fsck

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"sync"

	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
)

// Volume says where a volume lies and what is known of how it was left. The caller owns the volume (it is locked, and mounted
// nowhere) for a repair; a check may look at one that is in use, and then finds what changes under its eyes as damage.
type Volume struct {
	FS         disk.FS
	Dir        string // the parent directory
	Root       string // the tree of underlying files
	Config     *format.Config
	Geometry   *format.Geometry
	IndexPath  string
	BlocksPath string

	// Unclean tells that the volume was not closed cleanly, or that the index is not known to be the last one.
	Unclean bool
	// Stale tells that the volume was closed cleanly, but with another index than the one that is there now. It is Unclean, too.
	Stale bool
	// Snapshot is the used-block bitmap of the last snapshot, nil where there is none. It matters after an unclean stop.
	Snapshot *bitmap.Bitmap
	// Trusted tells that every block in Snapshot was on disk when it was taken and has not been given other content since.
	// Only a snapshot of our own, in a session of our own, is that (see indexfile.Proven).
	Trusted bool

	// Log takes a line about what is done, Progress the state of a stage. Calls of each do not overlap. Both may be nil.
	Log      func(line string)
	Progress progress.Func

	// logging keeps the calls of Log apart. Nothing is taken under it.
	logging sync.Mutex

	// own makes index and block file the caller's alone, those that were made since the volume was acquired too; may be nil.
	own func() error

	maxReports int // instead of MaxReports, for tests; 0: MaxReports
}

// LoadState fills Unclean, Snapshot and Trusted from the files in the parent directory. Unclean is only ever set: an index from
// elsewhere is unclean for reasons of the caller.
func (v *Volume) LoadState() error {
	dirty, err := v.has(format.DirtyName)
	if err != nil {
		return err
	}
	quiet, err := v.has(format.CleanName)
	if err != nil {
		return err
	}
	mark := indexfile.MarkForeign
	if dirty {
		if mark, err = indexfile.ReadMark(v.FS, v.Dir); err != nil {
			return err
		}
	}
	// A repair that was interrupted on a clean volume leaves it as clean as it was: nothing was allocated.
	v.Unclean = v.Unclean || dirty && !quiet && mark != indexfile.MarkRepair
	if !v.Unclean {
		// Whoever needs the index finds out that it cannot be read; a rebuild does not.
		v.Stale, err = indexfile.Stale(v.FS, v.Dir, v.IndexPath, v.Config)
		v.Stale = v.Stale || err != nil
		v.Unclean = v.Stale
	}
	if v.Snapshot, err = indexfile.LoadSnapshot(v.FS, v.path(format.SnapshotName), v.Geometry.BlockCount); err != nil {
		return err
	}
	proven, err := indexfile.Proven(v.FS, v.Dir)
	// The snapshot of a volume that was closed cleanly is as good after a repair was interrupted as it was before.
	v.Trusted = proven && v.Snapshot != nil && (!dirty || mark == indexfile.MarkSession || v.Stale)
	return err
}

func (v *Volume) path(name string) string { return filepath.Join(v.Dir, name) }

func (v *Volume) has(name string) (bool, error) {
	_, err := v.FS.Lstat(v.path(name))
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (v *Volume) logf(text string, args ...any) {
	if v.Log == nil {
		return
	}
	v.logging.Lock()
	defer v.logging.Unlock()
	v.Log(fmt.Sprintf(text, args...))
}

// workers is how many goroutines read and hash: one for each processor.
func workers() int { return cores.Count() }

// openBlocks opens the block file. Nothing is repaired without one: a disk that is not there must not cost a file.
func (v *Volume) openBlocks(readOnly bool) (*blockfile.File, error) {
	b, err := blockfile.Open(v.FS, v.BlocksPath, v.Geometry, readOnly)
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", v.Dir, err)
	}
	return b, nil
}
