package indexfile

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
)

// snapshotTemp is the name under which a snapshot is written. A file of that name is the leftover of a crash.
const snapshotTemp = format.SnapshotName + ".tmp"

// LoadSnapshot reads the snapshot at path, of a volume of blockCount blocks. It is nil without an error where there is none or
// the file is too short to be one: then nothing is known to be on disk. What its bits are worth, Proven tells.
func LoadSnapshot(fs disk.FS, path string, blockCount uint64) (*bitmap.Bitmap, error) {
	f, err := fs.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load snapshot: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("load snapshot: %w", err)
	}
	need := int64((blockCount + 7) / 8)
	if size < need {
		return nil, nil
	}
	data := make([]byte, need)
	if err := disk.ReadFull(f, data, 0); err != nil {
		return nil, fmt.Errorf("load snapshot: %w", err)
	}
	return bitmap.FromBytes(blockCount, data)
}

// WriteSnapshot renews the snapshot of the volume in dir: b, rounded up to a multiple of 4 bytes, is written under a temporary
// name and synced; then barrier makes every block of b and the index durable; only then the snapshot takes its name and
// the directory is synced (format page, section 7.5). After an error or a crash the old snapshot is in place, or none. Calls must not
// overlap. The caller keeps the blocks of b: one that is freed may get new content only after a snapshot without it is in place.
//
// On a full disk the old snapshot goes first, to make room for the new one, and if that is not enough there is none: a volume without a
// snapshot only has more to hash after a crash, one that cannot be closed is worse. barrier may then be called more than once, but not after a
// sync in it has failed, whatever the reason: a kernel tells once what it could not write, and the next sync succeeds.
func WriteSnapshot(fs disk.FS, dir string, b *bitmap.Bitmap, barrier func() error) error {
	var lost bool
	guarded := func() error {
		err := barrier()
		lost = lost || syncFailed(err)
		return err
	}
	err := replaceSnapshot(fs, dir, b, guarded)
	if lost || !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if e := errors.Join(remove(fs, filepath.Join(dir, format.SnapshotName)), remove(fs, filepath.Join(dir, ProofName)), fs.SyncDir(dir)); e != nil {
		return errors.Join(err, e)
	}
	if err = replaceSnapshot(fs, dir, b, guarded); !lost && errors.Is(err, syscall.ENOSPC) {
		return barrier()
	}
	return err
}

// syncFailed tells whether an error is that of a sync.
func syncFailed(err error) bool {
	var failed *disk.Error
	return errors.As(err, &failed) && strings.HasPrefix(failed.Op, "sync")
}

// replaceSnapshot is one try of WriteSnapshot.
func replaceSnapshot(fs disk.FS, dir string, b *bitmap.Bitmap, barrier func() error) error {
	name, tmp := filepath.Join(dir, format.SnapshotName), filepath.Join(dir, snapshotTemp)
	data := make([]byte, (b.Len()+31)/32*4)
	copy(data, b.Bytes())
	trim(data, b.Len())
	if err := writeTemp(fs, tmp, data); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), remove(fs, tmp))
	}
	if err := barrier(); err != nil {
		return errors.Join(err, remove(fs, tmp))
	}
	// Without the proof the snapshot is worth nothing, but does no harm.
	if err := recordProof(fs, dir, tmp, data); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), remove(fs, tmp))
	}
	if err := fs.Rename(tmp, name); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), remove(fs, tmp))
	}
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// RemoveTemps removes what a WriteSnapshot left under temporary names when it was cut off. The directory is not synced.
func RemoveTemps(fs disk.FS, dir string) error {
	for _, name := range []string{snapshotTemp, ProofName + disk.TempSuffix} {
		if err := remove(fs, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove what is left of a snapshot: %w", err)
		}
	}
	return nil
}

// trim clears the bits past n, which a bitmap leaves as they were on disk.
func trim(data []byte, n uint64) {
	if n%8 != 0 {
		data[n/8] &= ^(0xFF >> (n % 8))
	}
}

func writeTemp(fs disk.FS, tmp string, data []byte) error {
	if err := remove(fs, tmp); err != nil {
		return err
	}
	f, err := fs.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	err = disk.WriteFull(f, data, 0)
	if err == nil {
		err = f.SyncAll()
	}
	return errors.Join(err, f.Close())
}

// remove deletes a file that may be missing.
func remove(fs disk.FS, name string) error {
	if err := fs.Remove(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}
