package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// ErrNoSums is a backup that has neither a manifest nor a checksum.crc, or one of somebody else that cannot be read: there is nothing to compare it with.
var ErrNoSums = errors.New("neither manifest.json nor checksum.crc")

// absent tells whether there is no such file.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// maxRecord bounds a record that is believed, in bytes.
const maxRecord = 16 << 20

// Again verifies a published backup, in dir relative to the root of the store: against its manifest, or against the predecessor's checksum.crc where it
// has none. It changes nothing. An error says that there is nothing to compare with, or that it was not finished; a manifest that cannot be read, or sums of ours, are an outcome.
func (v *Verifier) Again(ctx context.Context, store orchestrator.Store, dir string) (orchestrator.Verification, error) {
	path := filepath.Join(store.Root(), dir)
	want, err := Published(path)
	if errors.Is(err, ErrNoSums) {
		return orchestrator.Verification{}, fmt.Errorf("verify %s: %w", path, err)
	}
	if err != nil {
		o := orchestrator.Verification{}
		o.Mode, o.Verdict, o.Reason, o.Compared = ModeFull, orchestrator.Unreadable, err.Error(), v.o.Clock.Now().UTC()
		o.Differences, o.Differ = 1, []orchestrator.Difference{{Path: orchestrator.ManifestFile, Reason: err.Error()}}
		return o, nil
	}
	r, err := v.run(ctx, store, dir, want, ModeFull)
	return r.out, err
}

// Published is what the records in a backup's directory, an absolute path, say that it holds.
func Published(dir string) (Wanted, error) {
	m, err := ReadManifest(dir)
	if err == nil {
		return Wanted{Files: m.Files, Objects: m.Objects}, nil
	}
	if !absent(err) {
		return Wanted{}, err
	}
	// After a mismatch checksum.crc has what was found, and checksum_source.crc what should have been.
	f, err := inBackup(dir, orchestrator.SourceSums, maxSumsFile)
	if absent(err) {
		f, err = inBackup(dir, orchestrator.SumsFile, maxSumsFile)
	}
	if absent(err) {
		return Wanted{}, ErrNoSums
	}
	if err != nil {
		return Wanted{}, err
	}
	defer f.Close() // it is read only
	files, err := ReadSums(f)
	ours, own := ownRecord(dir)
	switch {
	case own != nil:
		return Wanted{}, fmt.Errorf("%s: %w", f.Name(), own)
	case errors.As(err, new(*sumsError)) && !ours: // it says nothing about the backup
		return Wanted{}, fmt.Errorf("%w that can be read: %s: %w", ErrNoSums, f.Name(), err)
	case err != nil:
		return Wanted{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if len(files) == 0 { // the predecessor wrote such files when it could not read
		return Wanted{}, fmt.Errorf("%w: %s is empty", ErrNoSums, f.Name())
	}
	return Wanted{Files: files, More: true}, nil
}

// ownRecord tells whether the checksum.crc of a backup without a manifest is ours, since we have verified it. An error says that the backup is one of ours:
// then that file, which does not have all files, is no proof of it.
func ownRecord(dir string) (ours bool, err error) {
	f, err := inBackup(dir, orchestrator.RecordFile, maxRecord)
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // it is read only
	var r struct{ ID, Mode string }
	if err := json.NewDecoder(f).Decode(&r); err != nil {
		return false, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if r.ID != "" {
		return true, fmt.Errorf("%s is missing, which job %s wrote", orchestrator.ManifestFile, r.ID)
	}
	return r.Mode != "", nil
}

// noSum tells whether a file at the top of a backup of the predecessor is one that it wrote behind the sums, or never put into them.
func noSum(p orchestrator.Path) bool {
	s := string(p)
	return !inSumsFile(p) || strings.Contains(s, "/") || strings.HasPrefix(s, "STATUS.") || s == "du.txt" || s == "date.txt" || s == "verify"
}

// MarkAgain writes the marks of a later verification, the outcome of Again, into the backup's directory, an absolute path: those of Mark, with the sums that
// the backup itself has; after a success the marks of an earlier failure go. Where its sums cannot be read they stay as they are, and CRC-FAILURE is all that
// is written. Call it before the record is written: whoever lists the backup after a crash between the two then hears the bad news.
func MarkAgain(dir string, v orchestrator.Verification) (err error) {
	if v.Verdict != orchestrator.Verified && v.Verdict != orchestrator.Mismatch && v.Verdict != orchestrator.Unreadable {
		return fmt.Errorf("mark %s: verdict %q is none of a later verification", dir, v.Verdict)
	}
	want, err := Published(dir)
	if err == nil {
		return Mark(dir, want.Files, v)
	}
	if v.Verdict == orchestrator.Verified {
		return fmt.Errorf("mark %s: it was verified, and its sums cannot be read any more: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("mark a backup: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := statefile.Replace(root, orchestrator.FailureMark, 0o600, func(w io.Writer) error { return report(w, v) }); err != nil {
		return fmt.Errorf("mark %s: %w", dir, err)
	}
	return nil
}
