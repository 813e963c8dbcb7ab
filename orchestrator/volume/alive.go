package volume

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/internal/mountpoint"
)

// aliveFile is the beginning of the name of a file that shows that a volume can be written. It is hidden, and gone again when the check is over.
const aliveFile = ".tresor-alive-"

// Check is the volume check: is the current volume mounted, and can it be written now? It answers within Deadlines.Alive. Otherwise the error is of the
// class ErrNotUsable, and a switch to another disk is what helps. A volume that is full is usable: something can be removed. It may be called at any time, by
// several at once.
func (m *Manager) Check(ctx context.Context) error {
	cur := m.Current()
	if cur == nil {
		return fmt.Errorf("volume check: none is mounted: %w", ErrNotUsable)
	}
	if err := m.check(ctx, cur); err != nil && !full(err) {
		return fmt.Errorf("volume check of %q at %s: %w: %w", cur.Name, cur.Point, ErrNotUsable, err)
	}
	return nil
}

// full tells whether all that is wrong is that there is no room.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (m *Manager) check(ctx context.Context, cur *Current) error {
	kind, source, err := m.o.Mounts.At(cur.Point)
	if err != nil {
		return err
	}
	if kind != m.o.Filesys || source != cur.Parent {
		return fmt.Errorf("mounted there is %q (%s), want %s", source, kind, cur.Parent)
	}
	return m.alive(ctx, cur.Root)
}

// alive writes a small file durably and removes it.
func (m *Manager) alive(ctx context.Context, root string) error {
	ctx, end := within(ctx, m.o.Deadlines.Alive, "write into the volume")
	defer end()
	var id [8]byte
	if _, err := io.ReadFull(m.o.Random, id[:]); err != nil {
		return err
	}
	name := filepath.Join(root, aliveFile+hex.EncodeToString(id[:]))
	return deadline.Do(ctx, "write into the volume", func() error {
		if bare, err := mountpoint.Bare(root); err != nil {
			return err
		} else if bare {
			return fmt.Errorf("%s is seen in %s", mountpoint.Mark, root)
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteString("can this volume be written?\n")
		if err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close(), remove(name), removeLeftovers(root))
	})
}

// remove removes a file. Another check may have taken it for a leftover.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeLeftovers takes away what checks have left behind that were killed.
func removeLeftovers(root string) error {
	d, err := os.Open(root)
	if err != nil {
		return err
	}
	defer d.Close() // it was read only
	names, err := d.Readdirnames(-1)
	for _, n := range names {
		if len(n) > len(aliveFile) && n[:len(aliveFile)] == aliveFile {
			err = errors.Join(err, remove(filepath.Join(root, n)))
		}
	}
	return err
}
