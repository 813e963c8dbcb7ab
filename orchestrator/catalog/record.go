package catalog

import (
	"encoding/json"
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

// errForeign is an entry of the folder that is no backup.
var errForeign = errors.New("it is no backup")

// look reads what is known of the entry name. With an error other than errForeign the backup is valid, and pinned.
func (f *Folder) look(root *os.Root, name string) (orchestrator.Backup, Marks, error) {
	var b orchestrator.Backup
	if !isBackupName(name) {
		return b, Marks{}, errForeign
	}
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return b, Marks{}, fmt.Errorf("find backup %q in %s: %w", name, f.dir, err)
	}
	if err == nil && !info.IsDir() {
		return b, Marks{}, errForeign
	}
	machine, begun, _ := orchestrator.ParseBackupName(name) // isBackupName has looked
	b = orchestrator.Backup{Record: orchestrator.Record{Name: name, Machine: machine, Begun: begun}, Dir: filepath.Join(f.dir, name)}
	if err != nil {
		return damaged(b, err), Marks{}, fmt.Errorf("backup %s: %w", b.Dir, err)
	}
	marks, err := marksOf(root, name)
	if err != nil {
		return damaged(b, err), marks, fmt.Errorf("backup %s: %w", b.Dir, err)
	}
	record, err := readRecord(root, name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && marks.none():
		return b, marks, errForeign
	case errors.Is(err, fs.ErrNotExist):
		b.Legacy = true
		if marks.Sums {
			if marks.Broken, err = broken(root, path.Join(name, orchestrator.SumsFile)); err != nil {
				return damaged(b, err), marks, fmt.Errorf("backup %s: %w", b.Dir, err)
			}
		}
		marks.judge(&b.Record)
		return b, marks, nil
	case err != nil:
		return damaged(b, err), marks, fmt.Errorf("backup %s: %w", b.Dir, err)
	}
	b.Record, b.Legacy = record, record.ID == "" && record.Source == "" // no job of ours made it: it was pinned or verified later
	switch {
	case b.Verdict != orchestrator.Verified:
	case marks.Failure:
		b.Verdict, b.Reason = orchestrator.Mismatch, orchestrator.FailureMark+" lies beside a record that says ok: a verification was cut off; verify it again"
	case marks.Status == "error": // all files that are there were proved, and nobody knows which are not
		b.Verdict, b.Reason = orchestrator.Unreadable, notAll
	}
	return b, marks, nil
}

// damaged makes a backup whose state is not known one that nobody deletes.
func damaged(b orchestrator.Backup, err error) orchestrator.Backup {
	b.Pinned, b.Verdict, b.Reason = true, orchestrator.Unreadable, err.Error()
	return b
}

// readRecord reads the record of a backup and holds it against the directory's name.
func readRecord(root *os.Root, name string) (orchestrator.Record, error) {
	file := path.Join(name, orchestrator.RecordFile)
	r, err := recordIn(root, name)
	if err != nil {
		return r, err
	}
	machine, _, _ := orchestrator.ParseBackupName(name) // isBackupName has looked
	if r.Name != name || r.Machine != machine {
		return r, fmt.Errorf("read %s: it is of backup %q of machine %q, want %q of %q", file, r.Name, r.Machine, name, machine)
	}
	switch r.Verdict {
	case orchestrator.Unverified, orchestrator.Verified, orchestrator.Mismatch, orchestrator.Unreadable, orchestrator.Skipped:
	default:
		return r, fmt.Errorf("read %s: verdict %q is not known", file, r.Verdict)
	}
	return r, nil
}

// recordIn reads the record in a directory, of whatever backup it is.
func recordIn(root *os.Root, dir string) (r orchestrator.Record, err error) {
	file := path.Join(dir, orchestrator.RecordFile)
	text, err := statefile.Read(root, file, maxRecord)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read %s: %w", file, err)
	}
	return r, nil
}

// marksOf finds the predecessor's marks. Only regular files are some.
func marksOf(root *os.Root, name string) (Marks, error) {
	var m Marks
	var failed error
	has := func(file string) bool {
		info, err := root.Lstat(path.Join(name, file))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		return err == nil && info.Mode().IsRegular()
	}
	for _, status := range []string{"ok", "warn", "error"} { // the worst one counts
		if has("STATUS." + status) {
			m.Status = status
		}
	}
	m.Sums, m.Failure, m.Released = has(orchestrator.SumsFile), has(orchestrator.FailureMark), has("ASYNC.OK")
	return m, failed
}

// broken tells whether a checksum.crc proves nothing. The predecessor looked at the exit status of the wrong program: when it could not read, it wrote an
// empty file, or lines without a sum, and two of those compare equal.
func broken(root *os.Root, file string) (bool, error) {
	text, err := statefile.Read(root, file, maxSums)
	if err != nil {
		return true, err
	}
	for line := range strings.Lines(string(text)) {
		colon := strings.LastIndexByte(line, ':')
		fields := strings.Fields(line[colon+1:])
		if colon <= 0 || len(fields) != 2 || !digits(fields[0]) || !digits(fields[1]) || !strings.HasSuffix(line, "\n") {
			return true, nil
		}
	}
	return len(text) == 0, nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// notAll is what is said of a backup that its maker could not make wholly.
const notAll = "STATUS.error: disks could not be copied from the host"

// judge says of a backup without a record what its marks say.
func (m Marks) judge(r *orchestrator.Record) {
	if m.Status == "warn" {
		r.Partial = []string{"STATUS.warn: independent disks are missing"}
	}
	switch {
	case m.Failure:
		r.Verdict, r.Reason = orchestrator.Mismatch, orchestrator.FailureMark
	case m.Status == "error":
		r.Verdict, r.Reason = orchestrator.Unreadable, notAll
	case m.Broken:
		r.Verdict, r.Reason = orchestrator.Unverified, "by the predecessor, whose "+orchestrator.SumsFile+" is empty or has lines without a sum"
	case m.Sums:
		r.Verdict, r.Reason = orchestrator.Verified, "by the predecessor: it has "+orchestrator.SumsFile+" and no "+orchestrator.FailureMark
	default:
		r.Verdict, r.Reason = orchestrator.Unverified, "by the predecessor, without "+orchestrator.SumsFile
	}
}

// WriteRecord replaces the record of a backup whose directory lies in the folder. When it has returned nil, that is on the disk.
func (f *Folder) WriteRecord(r orchestrator.Record) (err error) {
	machine, _, err := orchestrator.ParseBackupName(r.Name)
	if err != nil || machine != r.Machine || !isBackupName(r.Name) {
		return fmt.Errorf("write record of backup %q of machine %q: the names do not go together", r.Name, r.Machine)
	}
	root, err := f.root()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write record of %s: %w", r.Name, err)
	}
	sub, err := openReal(root, r.Name)
	if err != nil {
		return fmt.Errorf("write record of %s: %w", filepath.Join(f.dir, r.Name), err)
	}
	defer func() { err = errors.Join(err, sub.Close()) }()
	if err := statefile.ReplaceBytes(sub, orchestrator.RecordFile, 0o600, append(text, '\n')); err != nil {
		return fmt.Errorf("write record of %s: %w", filepath.Join(f.dir, r.Name), err)
	}
	return nil
}

// Pin makes a backup one that is never pruned, or lets it be pruned again. One of the predecessor gets a record by that, which says what its marks say.
func (f *Folder) Pin(name string, pinned bool) error {
	return f.Change(name, func(r *orchestrator.Record) { r.Pinned = pinned })
}

// Change reads the record of a backup, lets change change it, and writes it. Whoever has worked for long on a backup, as a verification does, uses it
// instead of WriteRecord, so that what was noted meanwhile, such as a pin, stays.
func (f *Folder) Change(name string, change func(r *orchestrator.Record)) error {
	b, err := f.Find(name)
	if err != nil {
		return err
	}
	change(&b.Record)
	return f.WriteRecord(b.Record)
}

// openReal opens a directory below root that is no symlink.
func openReal(root *os.Root, name string) (*os.Root, error) {
	if strings.ContainsRune(name, '/') {
		return nil, fmt.Errorf("open %q: want the name of one directory", name)
	}
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("open %s: it is %v, want a directory", name, before.Mode().Type())
	}
	sub, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	after, err := sub.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("open %s: it was replaced meanwhile", name)
	}
	if err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	return sub, nil
}
