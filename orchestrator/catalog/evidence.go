package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// failed is behind the name of a copy that differed from its source twice, and a number where there are several.
const failed = ".crc-failed"

// Evidence are the copies in the staging folder of a volume that differed from their source twice: NAME.crc-failed, NAME.crc-failed-2. They are no
// backups, and kept for people who look for the cause. Dir is where each lies, Name the backup that it should have become, Verdict what its record says, and
// Mismatch where it has none that can be read. leftovers are the names of directories whose deletion was cut off.
func (f *Folder) Evidence(ctx context.Context) (list []orchestrator.Backup, leftovers []string, err error) {
	root, err := f.root()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer root.Close() // nothing is written through it
	names, err := entries(root)
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", f.dir, err)
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return nil, nil, fmt.Errorf("list %s: %w", f.dir, err)
		}
		if base, ok := strings.CutPrefix(name, deleting); ok && failedCopy(base) != "" {
			leftovers = append(leftovers, base)
			continue
		}
		if b, ok := f.evidence(root, name); ok {
			list = append(list, b)
		}
	}
	return list, leftovers, nil
}

// failedCopy is the backup that a directory of that name should have become; empty: it is not such a copy.
func failedCopy(name string) string {
	at := strings.LastIndex(name, failed)
	if at < 0 || !isBackupName(name[:at]) {
		return ""
	}
	if rest := name[at+len(failed):]; rest != "" && (rest[0] != '-' || !digits(rest[1:])) {
		return ""
	}
	return name[:at]
}

// evidence is what is known of one such copy.
func (f *Folder) evidence(root *os.Root, name string) (b orchestrator.Backup, ok bool) {
	backup := failedCopy(name)
	info, err := root.Lstat(name)
	if backup == "" || err != nil || !info.IsDir() {
		return b, false
	}
	machine, begun, _ := orchestrator.ParseBackupName(backup) // failedCopy has looked
	b.Record = orchestrator.Record{Name: backup, Machine: machine, Begun: begun, Verdict: orchestrator.Mismatch}
	if r, err := recordIn(root, name); err == nil && r.Name == backup && r.Machine == machine {
		b.Record = r
	}
	b.Dir = filepath.Join(f.dir, name)
	return b, true
}

// DeleteEvidence removes such a copy, by the name of its directory, as Delete removes a backup. One that is gone is no error. One that is pinned is not deleted.
func (f *Folder) DeleteEvidence(ctx context.Context, name string) (err error) {
	if failedCopy(name) == "" || path.Base(name) != name {
		return fmt.Errorf("delete %q in %s: it is no copy that was kept because it differs", name, f.dir)
	}
	root, err := f.root()
	if err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	b, there := f.evidence(root, name)
	if b.Pinned {
		return fmt.Errorf("delete %s: %w", b.Dir, ErrPinned)
	}
	if _, err := root.Lstat(deleting + name); err == nil {
		if err := f.finish(ctx, root, name); err != nil {
			return err
		}
	}
	if !there {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("delete %s: %w", b.Dir, err)
	}
	if err := errors.Join(root.Rename(name, deleting+name), statefile.Sync(root, ".")); err != nil {
		return fmt.Errorf("delete %s: %w", b.Dir, err)
	}
	return f.finish(ctx, root, name)
}
