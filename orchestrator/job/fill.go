package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
	"tresor/orchestrator/job/internal/copier"
)

// FillOptions say what is backed up to a buffer.
type FillOptions struct {
	Dir    string              // folder of backups on the buffer disk, absolute
	Record orchestrator.Record // with Name, Machine, Source and Begun
	Roots  []orchestrator.Root
	Skip   []string // directories that are never copied
	Clock  orchestrator.Clock
	Seen   func(files int, bytes int64) // progress; nil: nobody asks
	// Filled gets the absolute directory when all was copied and before it has its name, and the sums of all files. What it writes there is durable with the rest;
	// its names are those of our own records. nil: nobody asks.
	Filled func(ctx context.Context, dir string, sums []orchestrator.FileSum) error
}

// Fill copies a source to the buffer: <backup>.partial while it grows, <backup> with its record when it is whole and durable. It is how a job copies into
// a volume, without the volume. What an earlier call for the same backup left is gone on with;
// one that is whole is returned as it is.
func Fill(ctx context.Context, o FillOptions) (orchestrator.Record, error) {
	r := o.Record
	spec := Spec{Machine: r.Machine, Backup: r.Name, Kind: r.Source, Begun: r.Begun, From: Roots(o.Roots)}
	if err := spec.check(); err != nil {
		return r, fmt.Errorf("fill the buffer: %w", err)
	}
	log := filepath.Join(o.Dir, "."+r.Name+logSuffix)
	if have, err := filled(o.Dir, r.Name); have != nil || err != nil {
		if err == nil {
			err = removeFile(log)
		}
		if err != nil {
			return r, fmt.Errorf("fill the buffer: backup %s: %w", r.Name, err)
		}
		return *have, nil // the process had ended before anybody was told
	}
	l, err := copier.OpenLog(log, func(string) {})
	if err != nil {
		return r, fmt.Errorf("fill the buffer: %w", err)
	}
	target := &copier.Plain{Dir: o.Dir}
	result, err := copier.Copy(ctx, copier.Options{Target: target, BlockSize: copier.PlainBlock, Dir: r.Name + partial, Roots: o.Roots,
		Log: l, Clock: o.Clock, Segment: orchestrator.SumSegment, Skip: o.Skip, Reserved: reserved(), Seen: o.Seen})
	if err = errors.Join(err, target.Close(), l.Close()); err != nil {
		return r, fmt.Errorf("fill the buffer with %s: %w", r.Name, err)
	}
	if o.Filled != nil {
		if err := o.Filled(ctx, filepath.Join(o.Dir, r.Name+partial), result.Sums); err != nil {
			return r, fmt.Errorf("fill the buffer with %s: %w", r.Name, err)
		}
	}
	r.Files, r.Bytes, r.Partial, r.Copied = len(result.Sums), result.Bytes, result.Partial, o.Clock.Now().UTC()
	if err := finishFill(o.Dir, r); err != nil {
		return r, fmt.Errorf("fill the buffer with %s: %w", r.Name, err)
	}
	if err := removeFile(log); err != nil {
		return r, fmt.Errorf("fill the buffer with %s: %w", r.Name, err)
	}
	return r, nil
}

// removeFile removes a file that need not be there.
func removeFile(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// filled is the record of a backup that is whole; nil: there is none of that name.
func filled(dir, name string) (*orchestrator.Record, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // it is read only
	if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	_, r, err := (&tree{root: root}).owner(name)
	if err == nil && (r.Name != name || r.Copied.IsZero()) {
		err = fmt.Errorf("there is something of that name without the record of a backup: %w", fs.ErrExist)
	}
	return &r, err
}

// finishFill makes the copy durable and gives it its name.
func finishFill(dir string, r orchestrator.Record) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := r.Name + partial
	if err := statefile.ReplaceBytes(root, filepath.Join(name, orchestrator.RecordFile), 0o600, append(text, '\n')); err != nil {
		return err
	}
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Syncfs(int(d.Fd())), d.Close()); err != nil { // names and attributes of the whole tree
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := root.Rename(name, r.Name); err != nil {
		return err
	}
	return statefile.Sync(root, ".")
}
