package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Folders of a volume, and what our directories in them are called.
const (
	bazaar    = "bazaar"
	staging   = "bazaar.tmp"
	partial   = ".partial"
	crcFailed = ".crc-failed"
)

// maxBackupRecord bounds what is read as a backup's record, in bytes.
const maxBackupRecord = 16 << 20

// Volume is a mounted one that jobs are worked off to.
type Volume struct {
	ID    string // that it keeps
	Store orchestrator.Store
}

// tree is the tree of a volume.
type tree struct {
	root *os.Root
	step func(string)
}

func openTree(v Volume, step func(string)) (*tree, error) {
	root, err := os.OpenRoot(v.Store.Root())
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", v.ID, err)
	}
	t := &tree{root: root, step: step}
	for _, dir := range []string{bazaar, staging} {
		if err := root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("volume %s: %w", v.ID, err), root.Close())
		}
	}
	if err := statefile.Sync(root, "."); err != nil {
		return nil, errors.Join(fmt.Errorf("volume %s: %w", v.ID, err), root.Close())
	}
	return t, nil
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
	for _, name := range []string{to, from} { // the new name first
		if err := statefile.Sync(t.root, name[:strings.IndexByte(name, '/')]); err != nil {
			return fmt.Errorf("rename %s to %s: %w", from, to, err)
		}
	}
	t.step("after " + kind)
	return nil
}

// remove removes directories of the staging folder, durably.
func (t *tree) remove(names ...string) error {
	for _, name := range names {
		t.step("before remove")
		if err := t.root.RemoveAll(name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if err := statefile.Sync(t.root, staging); err != nil {
		return err
	}
	t.step("after remove")
	return nil
}
