package indexfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"tresor/index/blockhash"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
)

// An index may lie on another disk than the volume, and there may be older copies of it. One of those may be whole, in order and beside a
// volume that was closed cleanly, and still be wrong: it calls blocks free that are in use since. So a volume that comes to rest notes
// which index it did so with: a line in ProofName with a hash over bitmap and table as they are on the disk, and the identity of the
// snapshot in place. Every checkpoint that has something to write, and every session of the original, renews the snapshot, and so lets go of the line.

// contentPrefix begins the line; hash and identity of the snapshot follow.
const contentPrefix = "index "

// contentChunk is how much of the index is read, and hashed, at once by a processor, in bytes. It is part of what the hash means.
const contentChunk = 1 << 20

// StaleIndexError is a sound index that is not the one a volume was closed with: an older one, or a copy. A repair brings it up to date.
type StaleIndexError struct{ Index string }

func (e *StaleIndexError) Error() string {
	return fmt.Sprintf("index %s is not the one this volume was closed with (an older one, or a copy)", e.Index)
}

// Is makes the error one of class format.ErrCorrupt.
func (e *StaleIndexError) Is(target error) bool { return target == format.ErrCorrupt }

// Record notes, durably, that the volume in dir comes to rest with the index as it is on the disk. It comes after the snapshot of that index
// was renewed, and before whatever calls the volume clean. done is false if pages are due: then the disk has another index than memory,
// nothing was noted, and the volume is not at rest. copyPages is that of FlushTable. On a full disk, and where there is no snapshot of ours,
// nothing is noted either, and no older record stays on a full disk: the volume is as good as one that was closed by the original.
func (x *File) Record(dir string, copyPages func(first, last format.Slot, do func())) (done bool, err error) {
	if x.dirty.Count() > 0 {
		return false, nil
	}
	content := x.Content(copyPages)
	if x.dirty.Count() > 0 {
		return false, nil
	}
	proven, err := Proven(x.fs, dir)
	if err != nil || !proven {
		return true, err
	}
	id, err := currentID(x.fs, dir)
	if err != nil {
		return false, err
	}
	text := id + "\n" + contentPrefix + content + " " + id + "\n"
	// Also where it says so already: a migration sees by the time of the record that files may have changed.
	name := filepath.Join(dir, ProofName)
	if err = disk.WriteFileAtomic(x.fs, name, []byte(text), fileMode); errors.Is(err, syscall.ENOSPC) {
		// The old record goes first, to make room, and stays away where that is not enough: it may speak of another index, and says that no session was since.
		if err = errors.Join(remove(x.fs, name), x.fs.SyncDir(dir)); err == nil {
			err = disk.WriteFileAtomic(x.fs, name, []byte(text), fileMode)
		}
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return false, fmt.Errorf("record index: %w", err)
	}
	return true, nil
}

// Recorded is the content of the index that the volume in dir came to rest with last, empty if that is not known: nobody recorded it, the
// snapshot was renewed since, or the original has had the volume mounted since and left its mark.
func Recorded(fs disk.FS, dir string) (content string, err error) {
	if foreign, err := foreignMark(fs, dir); foreign || err != nil {
		return "", err
	}
	text, err := readSmall(fs, filepath.Join(dir, ProofName))
	if err != nil {
		return "", fmt.Errorf("read record of index: %w", err)
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, contentPrefix)
		if !ok {
			continue
		}
		content, id, ok := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
		if !ok || content == "" || !strings.HasSuffix(rest, "\n") {
			return "", nil
		}
		current, err := currentID(fs, dir)
		if err != nil || current == noSnapshot || current != id {
			return "", err
		}
		return content, nil
	}
	return "", nil
}

// foreignMark tells whether there is an .autofsck that is not ours.
func foreignMark(fs disk.FS, dir string) (bool, error) {
	_, err := fs.Lstat(filepath.Join(dir, format.DirtyName))
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read mark of volume: %w", err)
	}
	mark, err := ReadMark(fs, dir)
	return mark == MarkForeign, err
}

// Stale tells whether the index file called name is not the one that the volume in dir came to rest with. It is false where that cannot be
// told: nothing is recorded, or the file is missing or too short. The index is read once, in parallel, into a few buffers.
func Stale(fs disk.FS, dir, name string, c *format.Config) (bool, error) {
	want, err := Recorded(fs, dir)
	if err != nil || want == "" {
		return false, err
	}
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("identify index: %w", err)
	}
	defer f.Close()
	x := &File{disk: f, cfg: c}
	if err := x.check(); errors.Is(err, format.ErrCorrupt) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	g, err := c.Geometry()
	if err != nil {
		return false, err
	}
	part := func(off int64) show {
		return func(from, to int, p []byte, do func(p []byte)) error {
			if err := disk.ReadFull(f, p[:to-from], off+int64(from)); err != nil {
				return fmt.Errorf("identify index: %w", err)
			}
			do(p[:to-from])
			return nil
		}
	}
	have, err := contentOf(contentChunk, [2]int{int((g.BlockCount + 7) / 8), int(g.EntryCount) * g.EntrySize},
		[2]show{part(c.FreeblockOffset), part(c.NodeOffset)})
	return err == nil && have != want, err
}

// Content identifies the index by the bitmap that was read or flushed last and the table in memory, which is that of the disk while no page
// is due. copyPages is that of FlushTable. It uses all processors: a gigabyte takes less than half a second on two. Where nothing was changed since the last call it is known.
func (x *File) Content(copyPages func(first, last format.Slot, do func())) string {
	if copyPages == nil {
		copyPages = func(_, _ format.Slot, do func()) { do() }
	}
	x.flush.Lock()
	defer x.flush.Unlock()
	if x.content != "" && x.dirty.Count() == 0 {
		return x.content
	}
	size := x.cfg.NodeSize
	sum, _ := contentOf(0, [2]int{len(x.written), len(x.slots)}, [2]show{
		func(from, to int, _ []byte, do func(p []byte)) error {
			do(x.written[from:to])
			return nil
		},
		func(from, to int, _ []byte, do func(p []byte)) error {
			copyPages(format.Slot(uint64(from)/uint64(size)), format.Slot(uint64(to-1)/uint64(size)), func() { do(x.slots[from:to]) })
			return nil
		},
	})
	x.content = ""
	if x.dirty.Count() == 0 { // no page became due, so nothing of the table changed, and no flush can have come in between
		x.content = sum
	}
	return sum
}

// show calls do with the bytes [from, to) of a part of an index, for which it may use p, scratch bytes of memory.
type show func(from, to int, p []byte, do func(p []byte)) error

// contentOf hashes the two parts of an index in chunks, on all processors, and then their hashes.
func contentOf(scratch int, sizes [2]int, parts [2]show) (string, error) {
	kind, chunks := blockhash.Default(), chunksOf(sizes)
	var list []byte // what the hash of hashes is of
	for _, n := range sizes {
		list = binary.BigEndian.AppendUint64(list, uint64(n))
	}
	head, each := len(list), kind.Size()
	list = append(list, make([]byte, len(chunks)*each)...)
	err := eachChunk(scratch, chunks, parts, func(i int, p []byte) {
		sum := kind.Sum(p)
		copy(list[head+i*each:], sum[:each])
	})
	if err != nil {
		return "", err
	}
	sum := kind.Sum(list)
	return fmt.Sprintf("%x", sum[:each]), nil
}

// chunk is the bytes [from, to) of a part of an index.
type chunk struct {
	part, from, to int
	err            error // why it could not be shown
}

func chunksOf(sizes [2]int) []chunk {
	var chunks []chunk
	for part, n := range sizes {
		for from := 0; from < n; from += contentChunk {
			chunks = append(chunks, chunk{part: part, from: from, to: min(from+contentChunk, n)})
		}
	}
	return chunks
}

// eachChunk calls do with the number and the bytes of every chunk, on all processors, begun in the order of the index. When it returns nothing of it
// runs any more. After an error no further chunk is begun; the error returned is the first in the order of the index.
func eachChunk(scratch int, chunks []chunk, parts [2]show, do func(i int, p []byte)) error {
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for range min(cores.Count(), len(chunks)) {
		workers.Go(func() {
			p := make([]byte, scratch)
			// failed is looked at before a chunk is taken: whatever lies before one that fails was taken, and comes to its end.
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(chunks) {
					return
				}
				c := &chunks[i]
				if c.err = parts[c.part](c.from, c.to, p, func(p []byte) { do(i, p) }); c.err != nil {
					failed.Store(true)
				}
			}
		})
	}
	workers.Wait()
	for i := range chunks {
		if err := chunks[i].err; err != nil {
			return err
		}
	}
	return nil
}
