package journal

import (
	"bytes"
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

// maxRecord is more than any record has, in bytes: a hostile one must not fill the memory. Lists of files may be longer, see PutFile.
const maxRecord = 64 << 20

// Aside is a record that was not believed.
type Aside struct {
	Name   string // what it was called
	Kept   string // where it is now
	Reason error
}

func (a Aside) String() string {
	return fmt.Sprintf("record %q set aside as %s: %v", a.Name, a.Kept, a.Reason)
}

// told is behind the name of an empty file beside a record that was set aside: somebody knows of it.
const told = ".told"

// Load hands each record to take, in the order of their ids. Those that cannot be read, and those that take refuses, are set aside. What was set aside is
// returned each time, until Told was called for it. An error says that the directory itself cannot be read or changed, or that this machine is short of
// something for a moment, which says nothing about a record.
func (j *Journal) Load(take func(id string, data []byte) error) ([]Aside, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("load journal: %w", err)
	}
	var list []Aside
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tmp"): // a write that did not come to its rename: what it was to replace is there
			if err := os.RemoveAll(filepath.Join(j.dir, name)); err != nil {
				return list, fmt.Errorf("load journal: %w", err)
			}
		case strings.HasSuffix(name, suffix):
			reason := j.one(strings.TrimSuffix(name, suffix), take)
			if reason == nil {
				continue
			}
			if short(reason) {
				return list, fmt.Errorf("load journal: %w", reason)
			}
			kept, err := j.setAside(name)
			if err != nil {
				return list, errors.Join(reason, err)
			}
			list = append(list, Aside{Name: name, Kept: kept, Reason: reason})
		}
	}
	earlier, err := j.untold(list)
	return append(list, earlier...), err
}

// short tells whether an error is one of this machine's, and passes.
func short(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EINTR)
}

// errEarlier is the reason of a record that an earlier Load has set aside: the process ended before it told of that.
var errEarlier = errors.New("an earlier run could not believe it")

// untold are records that were set aside before, and nobody knows.
func (j *Journal) untold(now []Aside) (list []Aside, err error) {
	entries, err := os.ReadDir(filepath.Join(j.dir, aside))
	if err != nil {
		return nil, fmt.Errorf("load journal: %w", err)
	}
	known := map[string]bool{}
	for _, a := range now {
		known[filepath.Base(a.Kept)] = true
	}
	for _, e := range entries {
		if name, is := strings.CutSuffix(e.Name(), told); is {
			known[name] = true
		}
	}
	for _, e := range entries {
		name := e.Name()
		if dot := strings.LastIndexByte(name, '.'); dot > 0 && name[0] != '.' && !known[name] && !strings.HasSuffix(name, told) {
			list = append(list, Aside{Name: name[:dot], Kept: filepath.Join(j.dir, aside, name), Reason: errEarlier})
		}
	}
	return list, nil
}

// Told notes that somebody knows of a record that was set aside.
func (j *Journal) Told(a Aside) error {
	return statefile.ReplaceBytes(j.root, filepath.Join(aside, filepath.Base(a.Kept)+told), 0o600, nil)
}

func (j *Journal) one(id string, take func(id string, data []byte) error) error {
	if _, err := ulid.ParseStrict(id); err != nil {
		return fmt.Errorf("its name is no ULID: %w", err)
	}
	data, err := j.Read(id, suffix, maxRecord)
	if err != nil {
		return err
	}
	return take(id, data)
}

// setAside moves a record away under a name that is free.
func (j *Journal) setAside(name string) (string, error) {
	for n := 1; ; n++ {
		kept := filepath.Join(j.dir, aside, fmt.Sprintf("%s.%d", name, n))
		err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(j.dir, name), unix.AT_FDCWD, kept, unix.RENAME_NOREPLACE)
		switch {
		case errors.Is(err, unix.EEXIST):
			continue
		case err != nil:
			return "", fmt.Errorf("set record %q aside as %s: %w", name, kept, err)
		}
		return kept, errors.Join(statefile.Sync(j.root, aside), statefile.Sync(j.root, "."))
	}
}

// Read returns the content of a file that PutFile wrote, of at most limit bytes with its sum.
func (j *Journal) Read(id, suffix string, limit int64) ([]byte, error) {
	path := id + suffix
	text, err := statefile.Read(j.root, path, limit)
	if err != nil {
		return nil, err
	}
	head, data, _ := bytes.Cut(text, []byte("\n"))
	digits, ok := strings.CutPrefix(string(head), magic)
	if !ok {
		return nil, fmt.Errorf("read %s: want %q at the beginning, have %.40q", path, magic, head)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digits {
		return nil, fmt.Errorf("read %s: the content of %d bytes has the sum %x, want %.64s: torn or changed", path, len(data), sum, digits)
	}
	return data, nil
}
