package volume

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/mountpoint"
	"tresor/orchestrator/internal/statefile"
)

// harmless are names at the top of a disk that a first volume does not mind: of the file system, of the disk, and ours.
func harmless() []string {
	return []string{"lost+found", diskInfo, makeJournal, makeLog, mountpoint.Mark}
}

// inTheWay looks at what lies on a disk. over: where the volume is to be there is something, which is given up. Without giveUp that is an error, and so is
// anything else on the disk: it may be the wrong one.
func (m *Manager) inTheWay(v *Spec, dir string, giveUp bool) (over bool, err error) {
	parent := filepath.Join(dir, v.Parent)
	old, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = nil, nil
	}
	switch {
	case err != nil:
		return false, err
	case giveUp:
		return len(old) > 0, nil
	case slices.ContainsFunc(old, func(d fs.DirEntry) bool { return d.Name() == configFile }):
		return false, fmt.Errorf("there is a volume in %s; `tresor volumes reinit %s` makes an empty one in its place", parent, word(v.Name))
	case len(old) > 0:
		return false, fmt.Errorf("%s is not empty: have %s", parent, namesOf(old))
	}
	at := dir
	for _, part := range strings.Split(v.Parent, "/") {
		list, err := os.ReadDir(at)
		if err != nil {
			return false, err
		}
		list = slices.DeleteFunc(list, func(d fs.DirEntry) bool {
			return d.Name() == part || at == dir && slices.Contains(harmless(), d.Name())
		})
		if len(list) > 0 {
			return false, fmt.Errorf("a first volume wants a disk with nothing on it, and in %s there is %s: is it the right one?", at, namesOf(list))
		}
		at = filepath.Join(at, part)
		if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
	}
	return false, nil
}

// namesOf names some of what is in a directory.
func namesOf(list []fs.DirEntry) string {
	const most = 5
	var names []string
	for _, d := range list[:min(len(list), most)] {
		names = append(names, strconv.Quote(d.Name()))
	}
	if more := len(list) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// likeTheOld fills in what was not said by what the settings of the old volume say, if they can be read.
func likeTheOld(j *making, config string) {
	old, err := readKeys(config)
	if err != nil {
		return
	}
	if n, err := strconv.Atoi(old["block_size"]); err == nil && j.BlockSize == 0 {
		j.BlockSize = n
	}
	if j.Hash == "" {
		j.Hash = old["hash"]
	}
}

// nameDisk returns the id of the volume that is made, and writes it to the disk if nothing there says it. A disk that was copied has that of another one.
func (m *Manager) nameDisk(v *Spec, dir string) (string, error) {
	keys, err := readKeys(filepath.Join(dir, diskInfo))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	own := v.Disk.ID()
	if keys["UUID"] != "" && (own == "" || strings.EqualFold(keys["UUID"], own)) {
		g := &ground{dir: dir}
		return keys["UUID"], g.identify(v, "")
	}
	id := own
	if id == "" { // a directory of somebody else
		var random [16]byte
		if _, err := io.ReadFull(m.o.Random, random[:]); err != nil {
			return "", err
		}
		h := hex.EncodeToString(random[:])
		id = strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close() // statefile has synced what it wrote
	text := "UUID: " + id + "\n"
	if old, err := statefile.Read(root, diskInfo, configSize); err == nil {
		for line := range strings.Lines(string(old)) {
			if key, _, _ := strings.Cut(line, ":"); strings.TrimSpace(key) != "UUID" {
				text += strings.TrimSuffix(line, "\n") + "\n"
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return id, statefile.ReplaceBytes(root, diskInfo, 0o644, []byte(text))
}

// indexSize is how large the index of a volume of this size becomes.
func (m *Manager) indexSize(size int64, j *making) (int64, error) {
	if m.o.IndexSize == nil || size <= 0 {
		return 0, nil
	}
	return m.o.IndexSize(size, j.BlockSize, j.Hash)
}

// share is what is asked for: a size, or a part of the disk; without either all of it.
func share(st *unix.Statfs_t, j *making) int64 {
	switch {
	case j.Percent > 0:
		return int64(st.Blocks) / 100 * int64(j.Percent) * st.Bsize
	case j.Size > 0:
		return j.Size
	}
	return int64(st.Blocks) * st.Bsize
}

// sizeOf is how large the block file becomes; 0: as the engine likes. Of a percentage so much is left that two copies of the index have room beside it, an old one
// and the one that takes its place.
func (m *Manager) sizeOf(dir string, j *making) (int64, error) {
	st, err := statfs(dir)
	if err != nil || j.Percent == 0 {
		return j.Size, err
	}
	size := share(st, j)
	index, err := m.indexSize(size, j)
	if err != nil {
		return 0, err
	}
	room := int64(st.Bavail)*st.Bsize - 2*index
	if room < smallest {
		return 0, fmt.Errorf("the disk at %s has room for a volume of %d bytes: %w", dir, max(room, 0), unix.ENOSPC)
	}
	return min(size, room), nil
}

// smallest is the smallest volume that is worth making, in bytes.
const smallest = 1 << 20

func statfs(dir string) (*unix.Statfs_t, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil, fmt.Errorf("room in %s: %w", dir, err)
	}
	return &st, nil
}

// indexRoom refuses a volume whose index does not fit on the disk of the indexes, before anything is given up for it.
func (m *Manager) indexRoom(dir string, j *making) error {
	st, err := statfs(dir)
	if err != nil {
		return err
	}
	size := share(st, j)
	need, err := m.indexSize(size, j)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.o.Index, 0o700); err != nil {
		return fmt.Errorf("directory of the indexes: %w", err)
	}
	if st, err = statfs(m.o.Index); err != nil {
		return err
	}
	room := int64(st.Bavail) * st.Bsize
	if old, err := os.Stat(m.place("", j.Volume).Local()); err == nil {
		room += old.Size()
	}
	if need > room {
		return fmt.Errorf("the index of a volume of %d bytes takes %d bytes, and in %s there are %d: %w", size, need, m.o.Index, room, unix.ENOSPC)
	}
	return nil
}
