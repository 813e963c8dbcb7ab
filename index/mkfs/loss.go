package mkfs

import (
	"context"
	"os"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// Loss is what goes with an old volume.
type Loss struct {
	Files      uint64 `json:"files"`      // stored files, whatever their number of names; those that were set aside too
	Bytes      uint64 `json:"bytes"`      // their sizes, as users see them
	Unreadable uint64 `json:"unreadable"` // files and directories that could not be counted
	Used       uint64 `json:"used"`       // blocks in use, the two reserved ones included; 0: the index does not tell
	// Outside are files and devices outside the parent directory that are removed or overwritten.
	Outside []string `json:"outside,omitempty"`
}

// loss counts what the old volume holds. What cannot be read is counted as such: it is no reason to stop, as it is to go.
func (m *maker) loss(ctx context.Context, old *format.Config) (Loss, error) {
	l := Loss{Outside: m.outside()}
	g, err := old.Geometry()
	if err != nil {
		return l, nil // an old volume that this program cannot serve: nobody can tell
	}
	meter := progress.New(m.o.Progress, "count files", progress.Files, 0)
	count := func(e recipe.WalkEntry) error {
		l.Files++
		meter.Add(1)
		f, err := e.Open()
		if err != nil {
			l.Unreadable++
			return nil
		}
		defer f.Close()
		h, err := recipe.New(f, g).ReadHeader()
		if err != nil {
			l.Unreadable++
		}
		l.Bytes += h.Size
		return nil
	}
	if info, err := m.exists(m.path(format.RootName)); info != nil && err == nil {
		skip := func(string, error) error {
			l.Unreadable++
			return nil
		}
		if recipe.Walk(ctx, m.fs, m.path(format.RootName), count, skip) != nil {
			l.Unreadable++
		}
	}
	if recipe.WalkQuarantine(ctx, m.fs, m.r.Dir, count) != nil {
		l.Unreadable++
	}
	if err := ctx.Err(); err != nil {
		return l, err
	}
	l.Used = m.usedBlocks(old)
	return l, nil
}

// usedBlocks counts the used blocks in the old index, as far as there is one.
func (m *maker) usedBlocks(old *format.Config) uint64 {
	f, err := m.fs.OpenFile(m.re.oldIndex, os.O_RDONLY, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	head, err := readHead(f, format.MagicSize)
	size, sizeErr := f.Size()
	if err != nil || sizeErr != nil || string(head) != format.MagicIndex || size < old.IndexSize {
		return 0
	}
	data := make([]byte, (old.BlockCount+7)/8)
	if disk.ReadFull(f, data, old.FreeblockOffset) != nil {
		return 0
	}
	b, err := bitmap.FromBytes(old.BlockCount, data)
	if err != nil {
		return 0
	}
	return b.Count()
}
