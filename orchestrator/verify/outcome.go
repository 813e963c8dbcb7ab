package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Judge puts the outcome of a verification into the record of the backup.
func Judge(r *orchestrator.Record, v orchestrator.Verification) {
	r.Verdict, r.Reason, r.Mode, r.Compared = v.Verdict, v.Reason, v.Mode, v.Compared
}

// Rest says for people what a verified backup does not say by itself: what mode new did not read, and when that was proved last, and what was changed in the
// source since. Empty: nothing.
func Rest(v orchestrator.Verification) string {
	var list []string
	if v.Known > 0 {
		list = append(list, fmt.Sprintf("%d blocks are known by their hash: the volume was scrubbed last on %s", v.Known, v.Scrubbed.UTC().Format(time.DateOnly)))
	}
	if v.Changes > 0 {
		first := v.Changed[0]
		list = append(list, fmt.Sprintf("%d changes in the source since it was copied, the first: %q: %s", v.Changes, first.Path, first.Reason))
	}
	return strings.Join(list, "; ")
}

// Skip puts into a record that somebody asked for no verification, and who: a signal, the configuration, the emergency of a full buffer.
func Skip(r *orchestrator.Record, who string, now time.Time) {
	r.Verdict, r.Reason, r.Mode, r.Compared = orchestrator.Skipped, who, "", now.UTC()
}

// Mark writes checksum.crc into a backup's directory, an absolute path, with the sums of what lies there. After a mismatch it also writes the evidence that
// the predecessor left: CRC-FAILURE, with date and differences, and checksum_source.crc; after a success it removes those of an earlier verification. What
// could not be read has no line in checksum.crc, and where more differs than v lists there is none. Without a verification all four go: sums would say to
// everybody that somebody has looked.
func Mark(dir string, files []orchestrator.FileSum, v orchestrator.Verification) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("mark a backup: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	sums := func(files []orchestrator.FileSum) func(io.Writer) error {
		return func(w io.Writer) error { return WriteSums(w, files) }
	}
	content := map[string]func(io.Writer) error{}
	switch v.Verdict {
	case orchestrator.Verified:
		content[orchestrator.SumsFile] = sums(files)
	case orchestrator.Mismatch, orchestrator.Unreadable:
		content[orchestrator.FailureMark] = func(w io.Writer) error { return report(w, v) }
		content[orchestrator.SourceSums] = sums(files)
		if v.Differences <= len(v.Differ) {
			content[orchestrator.SumsFile] = sums(found(files, v))
		}
	}
	// The mark comes first and goes last: after a crash nobody takes sums without it for a good sign.
	order := []string{orchestrator.FailureMark, orchestrator.SourceSums, orchestrator.SumsFile}
	if content[orchestrator.FailureMark] == nil {
		slices.Reverse(order)
	}
	for _, name := range order {
		var err error
		if write := content[name]; write != nil {
			err = statefile.Replace(root, name, 0o600, write)
		} else {
			err = statefile.Remove(root, name)
		}
		if err != nil {
			return fmt.Errorf("mark %s: %w", dir, err)
		}
	}
	return nil
}

// found are the sums of the copies: those of the source, but for what differs. What was not read has none.
func found(files []orchestrator.FileSum, v orchestrator.Verification) []orchestrator.FileSum {
	differ := map[orchestrator.Path]*orchestrator.FileSum{}
	for _, d := range v.Differ {
		if differ[d.Path] == nil {
			differ[d.Path] = d.Have
		}
	}
	var list []orchestrator.FileSum
	for _, f := range files {
		name := f.Path
		if f.Link != "" { // its content was read under that name
			name = f.Link
		}
		have, differs := differ[name]
		switch {
		case !differs:
			list = append(list, f)
		case have != nil:
			h := *have
			h.Path = f.Path
			list = append(list, h)
		}
	}
	return list
}

// report is the text of CRC-FAILURE. Its first line is a date, as the predecessor's was.
func report(w io.Writer, v orchestrator.Verification) error {
	if _, err := fmt.Fprintf(w, "%s\n%s\n", v.Compared.Format(time.UnixDate), v.Reason); err != nil {
		return err
	}
	for _, d := range v.Differ {
		if _, err := fmt.Fprintf(w, "%q: %s\n", d.Path, d.Reason); err != nil {
			return err
		}
	}
	return nil
}

// inBackup opens a file of the records in a backup's directory.
func inBackup(dir, name string, limit int64) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f, err := statefile.Open(root, name, limit)
	if err := errors.Join(err, root.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return f, nil
}
