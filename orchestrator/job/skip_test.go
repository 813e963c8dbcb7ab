package job_test

import (
	"os"
	"path/filepath"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

// TestSkipIsDecidedLate: whether a copy is verified is asked when it would be, for the volume that it lies on, and not when the job is made.
func TestSkipIsDecidedLate(t *testing.T) {
	for name, c := range map[string]struct {
		skip map[string]string // by volume
		want orchestrator.Verdict
	}{
		"nobody asked":        {nil, orchestrator.Verified},
		"its volume":          {map[string]string{"v1": "volume v1 is not verified"}, orchestrator.Skipped},
		"another volume only": {map[string]string{"v2": "volume v2 is not verified"}, orchestrator.Verified},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			now := map[string]string{"v1": "this was when the job was made", "v2": "this too"}
			r.opts.SkipVerify = func(_ job.Job, v job.Volume) string { return now[v.ID] }
			r.open()
			j := r.add("a", 1, 50000)
			now = c.skip
			done, err := r.work(j, r.v1)
			if err != nil || done.State != job.Published || done.Result.Verdict != c.want || done.Result.Reason != c.skip["v1"] {
				t.Fatalf("%+v, %v", done, err)
			}
			if verified := r.proof.calls > 0; verified != (c.want == orchestrator.Verified) {
				t.Errorf("the verifier was called %d times", r.proof.calls)
			}
			// The sums are beside the backup in any case; those of the predecessor say that somebody has looked.
			dir := filepath.Join(r.v1.Store.Root(), "bazaar", j.Backup)
			_, sums := os.Stat(filepath.Join(dir, orchestrator.SumsFile))
			_, manifest := os.Stat(filepath.Join(dir, orchestrator.ManifestFile))
			if (sums == nil) != (c.want == orchestrator.Verified) || (manifest == nil) != (c.want == orchestrator.Skipped) {
				t.Errorf("sums: %v, manifest: %v", sums, manifest)
			}
		})
	}
}

// TestSkipIsDecidedAnew: a verification that was cut off is not gone on with when nobody wants it any more, and one that was skipped is not for good
// while its copy is not published.
func TestSkipIsDecidedAnew(t *testing.T) {
	r := newRig(t)
	why := ""
	r.opts.SkipVerify = func(job.Job, job.Volume) string { return why }
	r.open()
	j := r.add("a", 1, 50000)
	r.p1.Hook = storetest.FailAll(storetest.OpReadBack, os.ErrDeadlineExceeded)
	if done, err := r.work(j, r.v1); err == nil || done.Attempts != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	why = "enough is enough"
	r.p1.Hook = nil
	if done, err := r.work(j, r.v1); err != nil || done.Result.Verdict != orchestrator.Skipped {
		t.Errorf("%+v, %v", done, err)
	}
	j = r.add("b", 2, 50000)
	r.cutAfterVerify(j) // which is skipped
	why = ""
	r.again()
	if done, err := r.work(j, r.v1); err != nil || done.Result.Verdict != orchestrator.Verified {
		t.Errorf("%+v, %v", done, err)
	}
}
