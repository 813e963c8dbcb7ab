package indexfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"tresor/index/bitmap"
	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
)

// In a snapshot of the original a set bit is no proof that the block is on disk, and a snapshot of ours is none either once
// the original had the volume mounted: it may have given a block new content since. Two traces tell the cases apart, both
// of kinds that the original neither makes nor renews:
//
//   - ProofName lists the snapshots that we put in place, by content and modification time (content.go adds a line about the index);
//   - .autofsck, which the original leaves empty, has a line that says who created it.
//
// A session of ours writes its line only when a snapshot of ours is in place. If the original then mounts the unclean volume, it
// may leave that line, but its repair renews the snapshot, which is then not in the list.

// ProofName is the file that lists our snapshots. Without it every block is hashed again after an unclean stop: it is
// never needed for correctness, and a stale one matches nothing.
const ProofName = ".ddfssnapshot"

// Mark is what .autofsck says about whose work was not finished.
type Mark string

const (
	// MarkForeign is an .autofsck that is not ours. Nothing is known.
	MarkForeign Mark = ""
	// MarkSession is a mount of ours: what was allocated since our snapshot may be missing.
	MarkSession Mark = "tresor session\n"
	// MarkRepair is a repair of a clean volume: nothing was allocated, all blocks are on disk.
	MarkRepair Mark = "tresor repair\n"
)

// maxSmall bounds the two small files, in bytes.
const maxSmall = 64 << 10

// WriteMark puts .autofsck in place, durably. MarkSession is for a volume whose snapshot Proven has confirmed, or that
// WriteSnapshot has just renewed; MarkRepair for a clean one.
func WriteMark(fs disk.FS, dir string, m Mark) error {
	text := string(m)
	if m == MarkRepair {
		id, err := currentID(fs, dir)
		if err != nil {
			return fmt.Errorf("mark volume: %w", err)
		}
		text += id + "\n"
	}
	if err := disk.WriteFileAtomic(fs, filepath.Join(dir, format.DirtyName), []byte(text), fileMode); err != nil {
		return fmt.Errorf("mark volume: %w", err)
	}
	return nil
}

// BeginSession puts the mark of a mount of ours in place on a volume that was closed cleanly: b is its used-block bitmap, and barrier
// makes block file and index durable. The snapshot is renewed first unless it is one of ours and says the same, so that a
// crash at any later moment finds one that can be trusted. After a repair with KeepDirty the mark is there already.
func BeginSession(fs disk.FS, dir string, b *bitmap.Bitmap, barrier func() error) error {
	same, err := Says(fs, dir, b)
	if err == nil && !same {
		err = WriteSnapshot(fs, dir, b, barrier)
	}
	if err != nil {
		return err
	}
	return WriteMark(fs, dir, MarkSession)
}

// Says tells whether the snapshot in place is one of ours and says what b says: WriteSnapshot would only make another like it.
func Says(fs disk.FS, dir string, b *bitmap.Bitmap) (bool, error) {
	if proven, err := Proven(fs, dir); err != nil || !proven {
		return false, err
	}
	have, err := LoadSnapshot(fs, filepath.Join(dir, format.SnapshotName), b.Len())
	return err == nil && have != nil && have.Equal(b), err
}

// ReadMark tells whose .autofsck it is. MarkRepair counts only while the snapshot is the one that was there when the repair
// began, or the one that it ended with: otherwise somebody had the volume since, and the mark is foreign.
func ReadMark(fs disk.FS, dir string) (Mark, error) {
	text, err := markText(fs, dir)
	if err != nil {
		return MarkForeign, err
	}
	text = strings.TrimSuffix(text, begunLine)
	if text == string(MarkSession) {
		return MarkSession, nil
	}
	id, ok := strings.CutPrefix(text, string(MarkRepair))
	if !ok {
		return MarkForeign, nil
	}
	current, err := currentID(fs, dir)
	if err != nil {
		return MarkForeign, err
	}
	if strings.TrimSuffix(id, "\n") == current {
		return MarkRepair, nil
	}
	if proven, err := Proven(fs, dir); err != nil || !proven {
		return MarkForeign, err
	}
	return MarkRepair, nil
}

// Proven tells whether the snapshot in place is one of ours, so that every block it calls used was on disk when it was taken.
func Proven(fs disk.FS, dir string) (bool, error) {
	id, err := currentID(fs, dir)
	if err != nil || id == noSnapshot {
		return false, err
	}
	text, err := readSmall(fs, filepath.Join(dir, ProofName))
	if err != nil {
		return false, fmt.Errorf("read proof of snapshot: %w", err)
	}
	for line := range strings.Lines(text) {
		if line == id+"\n" {
			return true, nil
		}
	}
	return false, nil
}

// noSnapshot is the identity of a volume without a snapshot, or with one that cannot be one.
const noSnapshot = "none"

// recordProof lists the snapshot that is in place and the one that is about to replace it, so that a crash on either side of the
// rename finds the survivor in the list.
func recordProof(fs disk.FS, dir, tmp string, data []byte) error {
	next, err := identify(fs, tmp, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	text := next + "\n"
	if proven, err := Proven(fs, dir); err != nil {
		return err
	} else if proven {
		id, err := currentID(fs, dir)
		if err != nil {
			return err
		}
		text = id + "\n" + text
	}
	return disk.WriteFileAtomic(fs, filepath.Join(dir, ProofName), []byte(text), fileMode)
}

func currentID(fs disk.FS, dir string) (string, error) {
	name := filepath.Join(dir, format.SnapshotName)
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return noSnapshot, nil
	}
	if err != nil {
		return "", fmt.Errorf("identify snapshot: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return "", fmt.Errorf("identify snapshot: %w", err)
	}
	if size > maxSnapshot {
		return noSnapshot, nil
	}
	return identify(fs, name, f, size)
}

// maxSnapshot bounds the snapshots that are identified, in bytes: 2^33 blocks, whose index no machine holds in memory. A larger file is
// somebody's mistake and proves nothing.
const maxSnapshot = 1 << 30

// identifyChunk is how much of a snapshot is in memory at once: the file may be of any size.
const identifyChunk = 1 << 20

// identify names a snapshot file by its content and the time it was written. The content is hashed in chunks, each together with
// the hash of those before.
func identify(fs disk.FS, name string, content io.ReaderAt, size int64) (string, error) {
	info, err := fs.Lstat(name)
	if err != nil {
		return "", err
	}
	kind := blockhash.Default()
	var sum blockhash.Hash
	buf := make([]byte, len(sum)+int(min(size, identifyChunk)))
	for off := int64(0); off < size; off += identifyChunk {
		p := buf[len(sum):][:min(size-off, identifyChunk)]
		if n, err := content.ReadAt(p, off); n < len(p) {
			return "", fmt.Errorf("identify snapshot: %w", err)
		}
		copy(buf, sum[:])
		sum = kind.Sum(buf[:len(sum)+len(p)])
	}
	return fmt.Sprintf("%x %d", sum[:kind.Size()], info.ModTime().UnixNano()), nil
}

// readSmall reads a short text file; a missing or an oversized one is empty.
func readSmall(fs disk.FS, name string) (string, error) {
	data, err := disk.ReadSmall(fs, name, 0, maxSmall)
	if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, disk.ErrTooLong) {
		return "", nil
	}
	return string(data), err
}
