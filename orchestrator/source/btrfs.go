package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// snapshotsDir is where the snapshots of a subvolume are by default: in it. A snapshot shows the directory and, in it, an empty one for each snapshot
// of that moment.
const snapshotsDir = ".tresor"

// btrfs makes read-only snapshots of one subvolume in a directory of the same file system.
type btrfs struct {
	run       Runner
	subvolume string
	dir       string
}

// NewBtrfs is the source of the btrfs subvolume whose top is at the absolute path subvolume. Subvolumes in it are not part of it. Snapshots are made in the
// directory snapshots, which must be on the same file system; empty: .tresor in the subvolume. It needs btrfs(8).
func NewBtrfs(p *Place, machine string, o Options, subvolume, snapshots string) (*Snapshot, error) {
	if !filepath.IsAbs(subvolume) {
		return nil, fmt.Errorf("source %s: subvolume %q: want the absolute path of its top", machine, subvolume)
	}
	subvolume = filepath.Clean(subvolume)
	if snapshots == "" {
		snapshots = filepath.Join(subvolume, snapshotsDir)
	}
	if !filepath.IsAbs(snapshots) {
		return nil, fmt.Errorf("source %s: directory of the snapshots %q: want an absolute path", machine, snapshots)
	}
	if o.Name == "" {
		if o.Name = strings.TrimPrefix(subvolume, "/"); o.Name == "" {
			o.Name = "root"
		}
	}
	return newSnapshot(p, machine, o, &btrfs{p.run, subvolume, filepath.Clean(snapshots)})
}

func (b *btrfs) kind() string { return "btrfs" }

func (b *btrfs) path(name string) string { return filepath.Join(b.dir, name) }

func (b *btrfs) create(ctx context.Context, name string) error {
	if err := os.Mkdir(b.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("directory of the snapshots: %w", err)
	}
	_, err := b.run(ctx, Command{Argv: []string{"btrfs", "subvolume", "snapshot", "-r", b.subvolume, b.path(name)}, Deadline: commandTime, Patience: patience})
	if err != nil {
		b.tidy()
	}
	return err
}

// list looks at the names first, so that nothing is asked where nothing of ours is.
func (b *btrfs) list(ctx context.Context) (list []found, err error) {
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("directory of the snapshots: %w", err)
	}
	var source subvolume
	for _, e := range entries {
		if !isOurs(e.Name()) || !e.IsDir() || !isSubvolume(b.path(e.Name())) {
			continue
		}
		if source == (subvolume{}) {
			if source, err = b.show(ctx, b.subvolume); err != nil {
				return nil, err
			}
		}
		s, err := b.show(ctx, b.path(e.Name()))
		if err != nil {
			return nil, err
		}
		if s.readOnly && s.parent == source.uuid {
			list = append(list, found{name: e.Name()})
		}
	}
	return list, nil
}

// isSubvolume tells the top of a subvolume from a directory: it has a number that no other file has. Where the subvolume itself came from a snapshot, empty
// directories stand in for the snapshots of that time. What cannot be looked at is left to the program, for its words.
func isSubvolume(path string) bool {
	const first = 256
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return err == nil && st.Ino == first || err != nil && !errors.Is(err, unix.ENOENT)
}

func (b *btrfs) mount(ctx context.Context, name, dir string) error {
	_, err := b.run(ctx, Command{Argv: []string{"mount", "-o", "bind," + mountOptions, b.path(name), dir}})
	return err
}

// destroy waits until the deletion is on the disk. The directory goes with its last snapshot.
func (b *btrfs) destroy(ctx context.Context, name string) error {
	_, err := b.run(ctx, Command{Argv: []string{"btrfs", "subvolume", "delete", "--commit-after", b.path(name)}, Deadline: commandTime, Patience: patience})
	if err == nil {
		b.tidy()
	}
	return err
}

// tidy removes the directory that we made. It stays while others are in it, and one that stays does no harm.
func (b *btrfs) tidy() {
	if b.dir == filepath.Join(b.subvolume, snapshotsDir) {
		_ = os.Remove(b.dir)
	}
}

// subvolume is what btrfs says of one.
type subvolume struct {
	uuid, parent string // "-": none
	readOnly     bool
}

func (b *btrfs) show(ctx context.Context, path string) (subvolume, error) {
	out, err := b.run(ctx, Command{Argv: []string{"btrfs", "subvolume", "show", path}})
	if err != nil {
		return subvolume{}, err
	}
	s, err := parseShow(string(out))
	if err != nil {
		return s, fmt.Errorf("subvolume %s: %w", path, err)
	}
	return s, nil
}

// parseShow reads what btrfs subvolume show prints: the path, then indented lines "Name: value".
func parseShow(out string) (s subvolume, err error) {
	field := func(name string) string {
		m := regexp.MustCompile(`(?m)^\s+` + name + `:[ \t]+(\S.*?)[ \t]*$`).FindStringSubmatch(out)
		if m == nil {
			err = errors.Join(err, fmt.Errorf("no line %q in what btrfs subvolume show printed", name))
			return ""
		}
		return m[1]
	}
	s.uuid, s.parent = field("UUID"), field("Parent UUID")
	s.readOnly = strings.Contains(field("Flags"), "readonly")
	return s, err
}
