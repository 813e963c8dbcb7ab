package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// What our directories in the folders of a volume are called.
const (
	bazaar    = "bazaar" // where nobody names another folder
	unready   = ".tmp"   // behind the name of the folder: that of the copies that are not published
	partial   = ".partial"
	crcFailed = ".crc-failed"
)

// maxBackupRecord bounds what is read as a backup's record, in bytes.
const maxBackupRecord = 16 << 20

// Volume is a mounted one that jobs are worked off to.
type Volume struct {
	ID string // that it keeps
	// Store is another value, which can be compared, each time that the volume is mounted: what was proved before is not believed then.
	Store  orchestrator.Store
	Folder string // of its backups: one name; empty: bazaar. What is not ready lies in the folder of that name and .tmp
}

// tree is the tree of a volume.
type tree struct {
	root    *os.Root
	bazaar  string // folder of what is published
	staging string // folder of what is not
	step    func(string)
}

func openTree(v Volume, step func(string)) (*tree, error) {
	root, err := os.OpenRoot(v.Store.Root())
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", v.ID, err)
	}
	folder := v.Folder
	if folder == "" {
		folder = bazaar
	}
	t := &tree{root: root, bazaar: folder, staging: folder + unready, step: step}
	if err := t.makeFolders(); err != nil {
		return nil, errors.Join(fmt.Errorf("volume %s: %w", v.ID, err), root.Close())
	}
	return t, nil
}

// makeFolders makes both folders, or proves that they are such: a symlink from one to the other would publish what is not ready.
func (t *tree) makeFolders() error {
	if strings.ContainsRune(t.bazaar, '/') || strings.HasPrefix(t.bazaar, ".") {
		return fmt.Errorf("folder %q of backups: want one name that does not begin with a dot", t.bazaar)
	}
	for _, dir := range []string{t.bazaar, t.staging} {
		if err := t.root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err := t.root.Lstat(dir)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s: it is %v, want a directory: move it away", dir, info.Mode().Type())
		}
	}
	return statefile.Sync(t.root, ".")
}

func (t *tree) close() error { return t.root.Close() }

// exists tells whether there is anything of that name.
func (t *tree) exists(name string) (bool, error) {
	_, err := t.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// owner is the id of the job that made the directory: "" if it has no record, or there is no directory.
func (t *tree) owner(dir string) (string, orchestrator.Record, error) {
	var r orchestrator.Record
	text, err := statefile.Read(t.root, dir+"/"+orchestrator.RecordFile, maxBackupRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return "", r, nil
	}
	if err != nil {
		return "", r, fmt.Errorf("record of %s: %w", dir, err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return "", orchestrator.Record{}, nil // torn: it is nobody's
	}
	return r.ID, r, nil
}

// setRecord writes a backup's record, durably.
func (t *tree) setRecord(dir string, r orchestrator.Record) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("record of %s: %w", dir, err)
	}
	t.step("before record of a backup")
	if err := statefile.ReplaceBytes(t.root, dir+"/"+orchestrator.RecordFile, 0o644, append(text, '\n')); err != nil {
		return fmt.Errorf("record of %s: %w", dir, err)
	}
	t.step("after record of a backup")
	return nil
}

// rename moves a directory to a name that is free, and makes that durable. kind names the step.
func (t *tree) rename(kind, from, to string) error {
	taken, err := t.exists(to)
	if err == nil && taken {
		err = fmt.Errorf("%s: %w", to, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("rename %s: %w", from, err)
	}
	t.step("before " + kind)
	if err := t.root.Rename(from, to); err != nil {
		return fmt.Errorf("rename %s: %w", from, err)
	}
	t.step("between " + kind)
	if err := t.sync(); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	t.step("after " + kind)
	return nil
}

// sync makes the names in both folders durable: that of what is published first.
func (t *tree) sync() error {
	for _, dir := range []string{t.bazaar, t.staging} {
		if err := statefile.Sync(t.root, dir); err != nil {
			return err
		}
	}
	return nil
}

// remove removes directories of the staging folder, durably. The end of ctx leaves the rest of them.
func (t *tree) remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		t.step("before remove")
		if err := t.removeAll(ctx, t.root, name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if err := statefile.Sync(t.root, t.staging); err != nil {
		return err
	}
	t.step("after remove")
	return nil
}

// discard removes a copy that is complete. It loses its name before anything of it goes: without its record it would be nobody's, and in the way for ever.
func (t *tree) discard(ctx context.Context, name string) error {
	if err := t.remove(ctx, name+partial); err != nil {
		return err
	}
	there, err := t.exists(name)
	if err != nil || !there {
		return err
	}
	if err := t.rename("discarded", name, name+partial); err != nil {
		return err
	}
	return t.remove(ctx, name+partial)
}

// removeAll is root.RemoveAll that ctx can end: a tree of a million files takes longer than a pause may wait for.
func (t *tree) removeAll(ctx context.Context, root *os.Root, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	info, err := root.Lstat(name)
	if err == nil && info.IsDir() {
		err = t.removeEntries(ctx, root, name)
	}
	if err == nil {
		err = root.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeEntries empties a directory.
func (t *tree) removeEntries(ctx context.Context, root *os.Root, name string) (err error) {
	dir, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	list, err := dir.Open(".")
	if err != nil {
		return err
	}
	names, err := list.Readdirnames(-1)
	if err := errors.Join(err, list.Close()); err != nil {
		return err
	}
	for _, one := range names {
		if err := t.removeAll(ctx, dir, one); err != nil {
			return err
		}
		t.step("within remove")
	}
	return nil
}
