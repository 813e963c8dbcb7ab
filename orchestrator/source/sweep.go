package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tresor/orchestrator/internal/mountinfo"
)

// Sweep unmounts what earlier processes left below the directory and removes the mount points. Trees that are open are left alone. What is no
// empty directory stays: it is not ours.
func (p *Place) Sweep(ctx context.Context) error {
	bad := p.unmountBelow(ctx, p.dir)
	entries, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(bad, fmt.Errorf("sweep: %w", err))
	}
	for _, e := range entries {
		if path := filepath.Join(p.dir, e.Name()); e.IsDir() && !p.inUse(path) {
			bad = errors.Join(bad, removeEmpty(path))
		}
	}
	return bad
}

// unmountBelow takes away what is mounted at dir and below, the innermost first, but for open trees.
func (p *Place) unmountBelow(ctx context.Context, dir string) error {
	list, err := p.mounts()
	if err != nil {
		return err
	}
	var bad error
	for i := len(list) - 1; i >= 0; i-- { // in the order of mounting, so backwards
		if point := list[i].Point; (point == dir || inside(point, dir)) && point != p.dir && !p.inUse(point) {
			if !isSnapshot(list[i]) {
				bad = errors.Join(bad, foreign(list[i]))
				continue
			}
			bad = errors.Join(bad, p.unmount(ctx, point))
		}
	}
	return bad
}

// isSnapshot tells whether a snapshot with a name of ours is mounted there: a dataset@name of ZFS, the top of a subvolume of btrfs, or a volume of LVM,
// whose device is called GROUP-NAME with each hyphen of the two names doubled.
func isSnapshot(m mountinfo.Mount) bool {
	if _, name, ok := strings.Cut(m.Source, "@"); ok && isOurs(name) {
		return true
	}
	if isOurs(filepath.Base(m.Root)) {
		return true
	}
	if !strings.HasPrefix(m.Source, "/dev/") {
		return false
	}
	device := strings.ReplaceAll(filepath.Base(m.Source), "--", "-")
	i := strings.LastIndex(device, prefix)
	return i >= 0 && isOurs(device[i:]) && (i == 0 || device[i-1] == '-')
}

func foreign(m mountinfo.Mount) error {
	return fmt.Errorf("mount %s: %s (%s) is no snapshot of ours: take it away by hand", m.Point, m.Source, m.Kind)
}

// unmount takes one mount away and tries again while it is in use. A command that fails when nothing is left there has done it.
func (p *Place) unmount(ctx context.Context, point string) error {
	return p.insist(ctx, func() error {
		before := p.countAt(point)
		_, err := p.run(ctx, Command{Argv: []string{"umount", point}})
		if err != nil && p.countAt(point) < before {
			return nil
		}
		return err
	})
}

// countAt is how many mounts lie one over another at a point; 0 also if the table cannot be read.
func (p *Place) countAt(point string) (n int) {
	list, err := p.mounts()
	if err != nil {
		return 0
	}
	for _, m := range list {
		if m.Point == point {
			n++
		}
	}
	return n
}

// insist calls do until it succeeds, a few times.
func (p *Place) insist(ctx context.Context, do func() error) error {
	for i := 1; ; i++ {
		err := do()
		if err == nil || i == attempts {
			return err
		}
		if waitErr := p.clock.Sleep(ctx, betweenThem); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
}

// removeEmpty removes a directory and the empty directories in it. What is on another file system, or no directory, makes it fail.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("remove a mount point: %w", err)
	}
	var bad error
	for _, e := range entries {
		if e.IsDir() {
			bad = errors.Join(bad, removeEmpty(filepath.Join(dir, e.Name())))
		}
	}
	if err := os.Remove(dir); err != nil && bad == nil {
		return fmt.Errorf("remove a mount point: %w", err)
	}
	return bad
}
