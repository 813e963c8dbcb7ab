package verify_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/verify"
)

// TestRoots: several roots, one a file, one inside of another, one by a symlink. Each file of the backup is compared with the one that it was copied from.
func TestRoots(t *testing.T) {
	w := newWorld(t)
	other := t.TempDir()
	w.must(os.Rename(filepath.Join(w.source, "sub"), filepath.Join(other, "elsewhere")))
	w.must(os.Rename(filepath.Join(w.source, "empty"), filepath.Join(other, "a file")))
	w.must(os.Symlink(w.source, filepath.Join(other, "by link")))
	roots := verify.Roots{{Path: filepath.Join(other, "by link"), Name: "."}, {Path: filepath.Join(other, "elsewhere"), Name: "sub"}, {Path: filepath.Join(other, "a file"), Name: "empty"}}
	expect(t, w.verify(verify.Wanted{Source: roots, Again: true}, verify.ModeFull), orchestrator.Verified, "", "")
	w.flip(filepath.Join(other, "elsewhere/exact"), 3)
	expect(t, w.verify(verify.Wanted{Source: roots, Again: true}, verify.ModeFull), orchestrator.Mismatch, "sub/exact", "source, read again")
	w.must(os.WriteFile(filepath.Join(other, "a file"), []byte("x"), 0o640))
	expect(t, w.verify(verify.Wanted{Source: roots, Again: true}, verify.ModeFull), orchestrator.Mismatch, "empty", "source, read again: size: wanted 0, found 1")
	expect(t, w.verify(verify.Wanted{Source: verify.Roots{{Path: other, Name: "nothing"}}, Again: true}, verify.ModeFull), orchestrator.Mismatch, "small", "gone")
}

// TestFoundRoots: the entries of a backup on the buffer as roots. A symlink among them is compared as one; what it points to is nobody's business.
func TestFoundRoots(t *testing.T) {
	w := newWorld(t)
	entries, err := os.ReadDir(w.source)
	w.must(err)
	roots := verify.Roots{}
	for _, e := range entries {
		roots = append(roots, orchestrator.Root{Path: filepath.Join(w.source, e.Name()), Name: e.Name(), NoFollow: true})
	}
	check := func() orchestrator.Verification {
		return w.verify(verify.Wanted{Source: roots, Again: true}, verify.ModeFull)
	}
	expect(t, check(), orchestrator.Verified, "", "")
	outside := t.TempDir()
	w.must(os.Rename(filepath.Join(w.source, "sub"), filepath.Join(outside, "sub")))
	w.must(os.Symlink(filepath.Join(outside, "sub"), filepath.Join(w.source, "sub")))
	v := check()
	expect(t, v, orchestrator.Unreadable, "sub/exact", "source cannot be read")
	expect(t, v, orchestrator.Unreadable, "sub", "kind: wanted symlink, found dir")
}

// TestSourceLink: whoever may write in the source leads no reading out of it.
func TestSourceLink(t *testing.T) {
	w := newWorld(t)
	outside := t.TempDir()
	w.must(os.Rename(filepath.Join(w.source, "sub"), filepath.Join(outside, "sub")))
	w.must(os.Symlink(filepath.Join(outside, "sub"), filepath.Join(w.source, "sub")))
	v := w.verify(verify.Wanted{Source: w.roots(), Again: true}, verify.ModeFull)
	expect(t, v, orchestrator.Unreadable, "sub/exact", "source cannot be read")
	expect(t, v, orchestrator.Unreadable, "sub", "kind: wanted symlink, found dir")
}

func TestPlanScrubs(t *testing.T) {
	now := time.Date(2026, 6, 1, 22, 0, 0, 0, time.UTC)
	ago := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	volumes := []verify.ScrubState{
		{Volume: "fresh", Mounted: true, Scrubbed: ago(3), Known: ago(400)},
		{Volume: "due", Mounted: true, Scrubbed: ago(30), Known: ago(400)},
		{Volume: "never", Mounted: true, Known: ago(2)},
		{Volume: "never, and old", Known: ago(200)},
		{Volume: "older", Mounted: true, Scrubbed: ago(91), Known: ago(400)},
		{Volume: "in the safe", Scrubbed: ago(100), Known: ago(400)},
	}
	day := 24 * time.Hour
	tonight, overdue := verify.PlanScrubs(now, verify.ScrubPolicy{Every: 30 * day, Night: 4 * time.Hour, Alert: 90 * day}, volumes)
	var names []string
	for _, s := range tonight {
		if s.Limit != 4*time.Hour {
			t.Errorf("%s: limit %v", s.Volume, s.Limit)
		}
		names = append(names, s.Volume)
	}
	if len(names) != 3 || names[0] != "never" || names[1] != "older" || names[2] != "due" {
		t.Errorf("tonight: %q", names)
	}
	if len(overdue) != 3 || overdue[0].Volume != "never, and old" || !overdue[0].Never || overdue[1].Volume != "in the safe" || overdue[1].Mounted ||
		overdue[2].Volume != "older" || overdue[2].Age != 91*day || overdue[2].Never {
		t.Errorf("overdue: %+v", overdue)
	}
	wrong := []verify.ScrubState{{Volume: "wrong clock", Mounted: true, Scrubbed: ago(-3650), Known: ago(200)}}
	if tonight, overdue := verify.PlanScrubs(now, verify.ScrubPolicy{Every: 30 * day, Alert: 90 * day}, wrong); len(tonight) != 1 || len(overdue) != 1 || wrong[0].Scrubbed.IsZero() {
		t.Errorf("scrubbed in ten years: tonight %+v, overdue %+v", tonight, overdue)
	}
	if tonight, overdue := verify.PlanScrubs(now, verify.ScrubPolicy{}, volumes); tonight != nil || overdue != nil {
		t.Errorf("no policy: %+v, %+v", tonight, overdue)
	}
}
