package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// ours tells whether a name at the top of a backup belongs to its records.
func ours(name string) bool {
	for _, n := range []string{orchestrator.RecordFile, orchestrator.ManifestFile, orchestrator.SumsFile, orchestrator.SourceSums, orchestrator.FailureMark} {
		if name == n || name == statefile.Temporary(n) {
			return true
		}
	}
	return false
}

// Scan is everything below the directory dir of a backup but our own records at its top, in the order of the paths' bytes. Symlinks are not followed.
func Scan(ctx context.Context, dir string) ([]Object, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("look through a backup: %w", err)
	}
	defer root.Close() // nothing is written through it
	var list []Object
	if err := scan(ctx, root, "", &list); err != nil {
		return nil, fmt.Errorf("look through %s: %w", dir, err)
	}
	slices.SortFunc(list, func(a, b Object) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return list, nil
}

// scan adds what lies in a directory, whose path in the backup is name.
func scan(ctx context.Context, dir *os.Root, name string, list *[]Object) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close() // it is read only
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if name == "" && ours(n) {
			continue
		}
		info, err := dir.Lstat(n)
		if err != nil {
			return err
		}
		o, err := describe(path.Join(name, n), in(d, n), info)
		if err != nil {
			return err
		}
		*list = append(*list, o)
		if o.Kind == Dir {
			if err := scanBelow(ctx, dir, n, o, list); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanBelow adds what lies in the directory n of dir, which o describes.
func scanBelow(ctx context.Context, dir *os.Root, n string, o Object, list *[]Object) error {
	sub, err := dir.OpenRoot(n)
	if err != nil {
		return err
	}
	info, err := sub.Stat(".")
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Dev != o.dev || st.Ino != o.ino {
			err = fmt.Errorf("%s was replaced meanwhile", o.Path)
		}
	}
	if err == nil {
		err = scan(ctx, sub, string(o.Path), list)
	}
	return errors.Join(err, sub.Close())
}

// in is a path of what has the name in an open directory, by which no symlink is followed.
func in(d *os.File, name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name) }
