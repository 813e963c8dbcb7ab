package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"tresor/orchestrator"
)

// ErrNoSums is a backup that has neither a manifest nor a checksum.crc: there is nothing to compare it with.
var ErrNoSums = errors.New("neither manifest.json nor checksum.crc")

// Again verifies a published backup, in dir relative to the root of the store: against its manifest, or against the predecessor's checksum.crc where it
// has none. It changes nothing. An error says that there is nothing to compare with, or that it was not finished; a manifest that cannot be read is an outcome.
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
	return v.verify(ctx, store, dir, want, ModeFull, false)
}

// Published is what the records in a backup's directory, an absolute path, say that it holds.
func Published(dir string) (Wanted, error) {
	m, err := ReadManifest(dir)
	if err == nil {
		return Wanted{Files: m.Files, Objects: m.Objects}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Wanted{}, err
	}
	// After a mismatch checksum.crc has what was found, and checksum_source.crc what should have been.
	f, err := inBackup(dir, orchestrator.SourceSums, maxSumsFile)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = inBackup(dir, orchestrator.SumsFile, maxSumsFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Wanted{}, ErrNoSums
	}
	if err != nil {
		return Wanted{}, err
	}
	defer f.Close() // it is read only
	files, err := ReadSums(f)
	if err != nil {
		return Wanted{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return Wanted{Files: files, More: true}, nil
}
