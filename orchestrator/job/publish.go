package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// check decides what becomes of a complete copy.
func (w *worker) check(ctx context.Context) error {
	owner, r, err := w.tree.owner(w.published())
	if err != nil {
		return err
	}
	if owner == w.job.ID {
		return w.set(func(j *Job) {
			j.State, j.Result = Verified, r
			j.Checked = orchestrator.Verification{Verdict: r.Verdict, Reason: r.Reason, Mode: r.Mode, Compared: r.Compared}
		})
	}
	if owner, r, err = w.tree.owner(w.staged()); err != nil {
		return err
	}
	_, unread := w.sums()
	if owner != w.job.ID || unread != nil {
		return w.anew(ctx, owner, unread)
	}
	if why := w.opts.SkipVerify(w.job, w.v); why != "" {
		m := w.mounted()
		m.proved = w.v.Store
		w.setMount(m)
		return w.set(func(j *Job) {
			j.State, j.Result = Verified, r
			j.Checked = orchestrator.Verification{Verdict: orchestrator.Skipped, Reason: why, Compared: w.opts.Clock.Now().UTC()}
		})
	}
	return w.set(func(j *Job) { j.State, j.Result = Verifying, r })
}

// anew copies a second time what is gone, or what nothing is known of: without its sums a copy cannot be proved. It does so once; then the attempt has failed.
func (w *worker) anew(ctx context.Context, owner string, cause error) error {
	gone := fmt.Errorf("the copy %s is gone", w.staged())
	if cause != nil {
		gone = fmt.Errorf("the sums of the copy cannot be read: %w", ofState(cause))
	}
	if w.anews++; w.anews > 1 {
		return gone
	}
	if owner == w.job.ID {
		if err := w.tree.discard(ctx, w.staged()); err != nil {
			return err
		}
	}
	return w.set(func(j *Job) { j.State, j.LastError = Queued, gone.Error() })
}

// verify lets the copy be compared with what was read from the source.
func (w *worker) verify(ctx context.Context) error {
	sums, err := w.sums()
	if err != nil {
		return w.set(func(j *Job) { j.State = Copied }) // check decides
	}
	w.wholly(sums)
	v, err := w.opts.Verifier.Verify(ctx, w.v.Store, w.staged(), sums)
	if err != nil {
		return fmt.Errorf("verify %s: %w", w.job.Backup, err)
	}
	switch v.Verdict {
	case orchestrator.Verified:
		m := w.mounted()
		m.proved = w.v.Store
		w.setMount(m)
		return w.set(func(j *Job) { j.State, j.Checked = Verified, v })
	case orchestrator.Mismatch:
		return w.set(func(j *Job) { j.State, j.Checked = CRCFailed, v })
	}
	return fmt.Errorf("verify %s: %s: %s", w.job.Backup, v.Verdict, v.Reason)
}

// noted is the backup's record with what the verification found.
func (w *worker) noted() orchestrator.Record {
	r, v := w.job.Result, w.job.Checked
	r.Verdict, r.Reason, r.Mode, r.Compared = v.Verdict, v.Reason, v.Mode, v.Compared
	return r
}

// publish gives a verified copy its place.
func (w *worker) publish(ctx context.Context) error {
	v := w.job.Checked
	if v.Verdict != orchestrator.Verified && (v.Verdict != orchestrator.Skipped || v.Reason == "") {
		return fmt.Errorf("publish %s: verdict %q for the reason %q: only what is verified, or skipped for a reason, is published", w.job.Backup, v.Verdict, v.Reason)
	}
	owner, _, err := w.tree.owner(w.published())
	if err != nil {
		return err
	}
	switch {
	case owner == w.job.ID: // the process has ended behind the rename, or the sync that follows it has failed
		if err := errors.Join(w.v.Store.Sync(ctx), w.tree.sync()); err != nil {
			return err
		}
	case w.mounted().proved != w.v.Store: // since then a repair may have changed it
		return w.set(func(j *Job) { j.State = Copied })
	default:
		if done, err := w.place(ctx); err != nil || !done {
			return err
		}
	}
	r := w.noted()
	if err := w.set(func(j *Job) { j.State, j.Result, j.LastError = Published, r, "" }); err != nil {
		return err
	}
	return w.tidy(w.job.ID)
}

// place renames the copy into bazaar, with its record and sums. It returns false if there is none: the job then begins anew.
func (w *worker) place(ctx context.Context) (bool, error) {
	owner, _, err := w.tree.owner(w.staged())
	if err != nil {
		return false, err
	}
	sums, unread := w.sums()
	if owner != w.job.ID || unread != nil {
		return false, w.anew(ctx, owner, unread)
	}
	// Also of a copy that was not verified: a later verification needs to know what the source was.
	if err := w.opts.Verifier.Write(ctx, w.path(w.staged()), sums, w.job.Checked); err != nil {
		return false, fmt.Errorf("sums of %s: %w", w.job.Backup, err)
	}
	if err := w.tree.setRecord(w.staged(), w.noted()); err != nil {
		return false, err
	}
	if err := w.v.Store.Sync(ctx); err != nil {
		return false, err
	}
	return true, w.tree.rename("published", w.staged(), w.published())
}

func (w *worker) path(name string) string { return filepath.Join(w.v.Store.Root(), name) }

// tidy removes what only an unfinished job needs.
func (q *Queue) tidy(id string) error {
	var errs []error
	for _, suffix := range []string{logSuffix, sumsSuffix} {
		errs = append(errs, removeFile(q.journal.Path(id, suffix)))
	}
	return ofState(errors.Join(errs...))
}

// mismatch copies a second time what differs from its source. If that differs as well, it is kept with its marks, and the job has failed.
func (w *worker) mismatch(ctx context.Context) error {
	sums, err := w.sums()
	if err != nil {
		sums = nil // the evidence has less, and the rest is the same
	}
	if err := w.evidence(sums); err != nil {
		return ofState(err)
	}
	again := w.job.Recopies == 0
	e := orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.VerifyFailed, Machine: w.job.Machine, Volume: w.v.ID,
		Subject: fmt.Sprintf("the copy of %s on volume %s differs from its source", w.job.Backup, w.v.ID), Body: describe(w.job.Checked),
		Advice: "It was copied twice, and both copies differ. The source was kept. Check memory, cables and the disk (tresor verify), then let the job be tried again."}
	if again {
		e.Severity, e.Advice = orchestrator.Warning, "It is copied a second time now. If that is well there is nothing to do, but to keep an eye on the disk."
	}
	if err := w.notify(e); err != nil {
		return err
	}
	if !again {
		return w.keepMarked(ctx, sums)
	}
	if err := w.tree.discard(ctx, w.staged()); err != nil {
		return err
	}
	return w.set(func(j *Job) {
		j.State, j.Recopies, j.LastError = Queued, j.Recopies+1, "verify: "+j.Checked.Reason
	})
}

// keepMarked gives a copy that differs marks and a name by which nobody takes it for a backup.
func (w *worker) keepMarked(ctx context.Context, sums []orchestrator.FileSum) error {
	owner, _, err := w.tree.owner(w.staged())
	if err != nil {
		return err
	}
	if owner == w.job.ID { // else it was renamed before the process ended
		if err := w.opts.Verifier.Write(ctx, w.path(w.staged()), sums, w.job.Checked); err != nil {
			return fmt.Errorf("marks of %s: %w", w.job.Backup, err)
		}
		if err := w.tree.setRecord(w.staged(), w.noted()); err != nil {
			return err
		}
		if err := w.v.Store.Sync(ctx); err != nil {
			return err
		}
		to := w.staged() + crcFailed
		for n := 2; ; n++ {
			taken, err := w.tree.exists(to)
			if err != nil {
				return err
			}
			if !taken {
				break
			}
			to = fmt.Sprintf("%s%s-%d", w.staged(), crcFailed, n)
		}
		if err := w.tree.rename("crc-failed", w.staged(), to); err != nil {
			return err
		}
	}
	r := w.noted()
	if err := w.set(func(j *Job) { j.State, j.Result, j.LastError = Failed, r, "verify: "+j.Checked.Reason }); err != nil {
		return err
	}
	return w.tidy(w.job.ID)
}

// describe a verification for people.
func describe(v orchestrator.Verification) string {
	text := fmt.Sprintf("Verification %s at %s: %s\n", v.Mode, v.Compared.UTC().Format(time.RFC3339), v.Reason)
	for _, d := range v.Differ {
		text += fmt.Sprintf("  %q: %s\n", d.Path, d.Reason)
	}
	return text
}

// evidence keeps what is known of a copy that differs, before anything is removed.
func (w *worker) evidence(sums []orchestrator.FileSum) error {
	differ := map[orchestrator.Path]bool{}
	for _, d := range w.job.Checked.Differ {
		differ[d.Path] = true
	}
	record := struct {
		Job    Job                    `json:"job"`
		Source []orchestrator.FileSum `json:"source"`
	}{Job: w.job}
	for _, s := range sums {
		if differ[s.Path] {
			record.Source = append(record.Source, s)
		}
	}
	text, err := json.MarshalIndent(record, "", " ")
	if err != nil {
		return fmt.Errorf("evidence of job %s: %w", w.job.ID, err)
	}
	if err := os.MkdirAll(w.opts.Evidence, 0o700); err != nil {
		return fmt.Errorf("evidence of job %s: %w", w.job.ID, err)
	}
	root, err := os.OpenRoot(w.opts.Evidence)
	if err != nil {
		return fmt.Errorf("evidence of job %s: %w", w.job.ID, err)
	}
	name := fmt.Sprintf("%s-%d.json", w.job.ID, w.job.Runs)
	return errors.Join(statefile.ReplaceBytes(root, name, 0o600, append(text, '\n')), root.Close())
}
