package resize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

// eachFile calls fn for every stored file, those in quarantine last, with its path below the parent directory.
func (r *resizer) eachFile(ctx context.Context, fn func(path string, e recipe.WalkEntry, quarantined bool) error) error {
	if err := recipe.Walk(ctx, r.p.FS, r.p.Root, func(e recipe.WalkEntry) error {
		return fn(format.RootName+"/"+e.Path, e, false)
	}, nil); err != nil {
		return err
	}
	return recipe.WalkQuarantine(ctx, r.p.FS, r.p.Dir, func(e recipe.WalkEntry) error {
		return fn(format.QuarantineName+"/"+e.Path, e, true)
	})
}

// widens tells whether entries get another size.
func (r *resizer) widens() bool { return r.old.geo.EntrySize != r.new.geo.EntrySize }

// survey reads all files where it matters: where they are to be rewritten, or blocks are cut off. It refuses what a repair has to put right
// first, and returns by how many bytes the files may grow.
func (r *resizer) survey(ctx context.Context) (grown uint64, err error) {
	if !r.widens() && r.new.geo.BlockCount >= r.old.geo.BlockCount {
		return 0, nil
	}
	root, err := r.p.FS.Lstat(r.p.Root)
	if err != nil {
		return 0, err
	}
	m := progress.New(r.o.Progress, "read files", progress.Files, 0)
	err = r.eachFile(ctx, func(path string, e recipe.WalkEntry, quarantined bool) error {
		m.Add(1)
		if r.widens() && device(e.Info) != device(root) {
			return fmt.Errorf("%s lies on another file system, mounted inside the volume", path)
		}
		n, err := r.surveyFile(ctx, path, quarantined)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if n == 0 || !r.widens() {
			return nil
		}
		r.res.Files++
		r.res.Entries += n
		// A file grows by whole blocks of the disk below.
		grown += uint64(max(r.new.geo.EntrySize-r.old.geo.EntrySize, 0))*n + uint64(format.IndexPage)
		return nil
	})
	return grown, err
}

func device(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Dev
	}
	return 0
}

// surveyFile counts the entries of a file and makes sure that it can be written, if it is to be, and that its blocks are known.
func (r *resizer) surveyFile(ctx context.Context, path string, quarantined bool) (n uint64, err error) {
	flag := os.O_RDONLY
	if r.widens() {
		flag = os.O_RDWR
	}
	f, err := r.p.FS.OpenFile(filepath.Join(r.p.Dir, path), flag|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	n, _ = shape(size, r.old.geo)
	file := recipe.New(f, r.old.geo)
	if _, err := file.ReadHeader(); quarantined || errors.Is(err, format.ErrCorrupt) {
		return n, nil // what stands in such a file is looked up by its hash
	} else if err != nil {
		return 0, err
	}
	return n, file.Scan(ctx, 0, func(first uint64, raw []byte) error {
		for ; len(raw) >= r.old.geo.EntrySize; raw, first = raw[r.old.geo.EntrySize:], first+1 {
			if a := r.old.geo.Addr(raw); !r.used.Get(uint64(a)) {
				return format.Mark(format.ErrCorrupt, fmt.Errorf(
					"entry %d refers to block %d, which is not in use: ddumbfs fsck -n %s repairs that", first, a, r.p.Dir))
			}
		}
		return nil
	})
}

// shape is how many whole entries a file of a length has, and how many bytes stand behind them.
func shape(length int64, g *format.Geometry) (entries uint64, extra int64) {
	body := max(length-format.FileHeaderSize, 0)
	return uint64(body) / uint64(g.EntrySize), body % int64(g.EntrySize)
}

// roomMargin is what is left free on the disk below for small files and directories, in bytes.
const roomMargin = 1 << 20

// checkRoom refuses a resize that would not find room on the disk of the volume: for the new index beside the old one, for files that
// grow, for the journal twice (it is replaced by a new one) and for a new snapshot beside the old one. Another disk tells when the index is
// made there, which is before anything changes.
func (r *resizer) checkRoom(grown uint64) error {
	f, err := r.p.FS.OpenFile(r.p.Path(format.ConfigName), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	free, err := f.Free()
	if errors.Is(err, disk.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	want := uint64(roomMargin) + 2*uint64(r.new.geo.SnapshotSize()) + grown
	if filepath.Dir(r.tempIndex()) == filepath.Clean(r.p.Dir) {
		want += uint64(r.new.cfg.IndexSize)
	}
	if r.widens() {
		journal := 2 * r.res.Entries * uint64(r.new.geo.EntrySize)
		want += min(journal, 3*uint64(r.o.Batch)) + 64*r.res.Files
	}
	if free < want {
		return format.Mark(format.ErrNoSpace, fmt.Errorf("the disk below has %s free: want %s meanwhile: %w",
			format.FormatSize(int64(free)), format.FormatSize(int64(want)), unix.ENOSPC))
	}
	return nil
}
