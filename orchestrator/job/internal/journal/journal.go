// Package journal keeps records in a directory so that they survive kill -9 and a power cut at any point: one file each, replaced as a whole (temporary
// name, fsync, rename, fsync of the directory), with a sum of its content in the first line.
//
// A record that cannot be believed is never lost silently and never hinders the others: it is moved into the folder aside, and reported. One process
// uses a directory at a time; a lock on it says so.
package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/statefile"
)

// magic begins each record; the sum of what comes after the line follows.
const magic = "tresor-record 1 "

// A journal's names.
const (
	suffix = ".json"
	aside  = "aside"
)

// Journal is an open directory of records. Methods for different ids may be called concurrently, those for one may not.
type Journal struct {
	dir  string
	root *os.Root
	step func(string)
	lock *os.File
}

// Open makes the directory if there is none, and locks it until Close. step is called with a name before and after each change (nil: never): tests kill
// the process there.
func Open(dir string, step func(string)) (*Journal, error) {
	if step == nil {
		step = func(string) {}
	}
	if err := os.MkdirAll(filepath.Join(dir, aside), 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open journal: lock %s: another process uses this directory: %w", lock.Name(), err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), lock.Close())
	}
	return &Journal{dir: dir, root: root, step: step, lock: lock}, nil
}

// Close gives the directory free.
func (j *Journal) Close() error { return errors.Join(j.root.Close(), j.lock.Close()) }

// Path is where something that belongs to a record can be kept: a file of that id with a suffix other than .json.
func (j *Journal) Path(id, suffix string) string { return filepath.Join(j.dir, id+suffix) }

// Put replaces or makes the record. When it returns, the new one is durable; after an error the old one is there as it was, or the new one.
func (j *Journal) Put(id string, data []byte) error {
	if _, err := ulid.ParseStrict(id); err != nil {
		return fmt.Errorf("put record %q: its name is no ULID: %w", id, err)
	}
	return j.PutFile(id, suffix, data)
}

// Delete removes the record and all that was kept under its id. One that is not there is no error.
func (j *Journal) Delete(id string) error {
	if _, err := ulid.ParseStrict(id); err != nil {
		return fmt.Errorf("delete record %q: its name is no ULID: %w", id, err)
	}
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return fmt.Errorf("delete record %s: %w", id, err)
	}
	for _, e := range entries { // the record last: without it nobody would know of the others
		if name := e.Name(); strings.HasPrefix(name, id+".") && name != id+suffix {
			if err := os.Remove(filepath.Join(j.dir, name)); err != nil {
				return fmt.Errorf("delete record: %w", err)
			}
		}
	}
	if err := os.Remove(j.Path(id, suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete record: %w", err)
	}
	return statefile.Sync(j.root, ".")
}

// PutFile replaces a file that belongs to a record, with the same care.
func (j *Journal) PutFile(id, suffix string, data []byte) error {
	sum := sha256.Sum256(data)
	text := append([]byte(magic+hex.EncodeToString(sum[:])+"\n"), data...)
	j.step("before journal " + suffix)
	err := statefile.ReplaceBytes(j.root, id+suffix, 0o600, text)
	j.step("after journal " + suffix)
	return err
}
