package catalog_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
)

// TestEvidence: copies that differed twice are found by their exact names, with and without a record, and nothing else of the staging folder is.
func TestEvidence(t *testing.T) {
	dir := t.TempDir()
	const backup = "Büro 1-20260101000000"
	names := []string{backup + ".crc-failed", backup + ".crc-failed-2", "dc-2-20260101000000.crc-failed"}
	tree(t, dir, names[0]+"/etc/x", names[1]+"/x", names[2]+"/x", backup+"/x", backup+".partial/x", backup+".crc-failed-x/x", backup+".crc-failed-/x",
		backup+".crc-failed.old/x", "dc.crc-failed/x", ".deleting-dc-20260101000000.crc-failed/x", ".deleting-dc-20260101000000/x")
	if err := os.WriteFile(filepath.Join(dir, "file-20260101000000.crc-failed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	compared := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	write := func(in string, r orchestrator.Record) {
		t.Helper()
		text, err := json.Marshal(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, in, "backup.json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(names[0], orchestrator.Record{Name: backup, Machine: "Büro 1", Verdict: orchestrator.Mismatch, Compared: compared, Bytes: 77})
	write(names[1], orchestrator.Record{Name: "dc-20260101000000", Machine: "dc", Verdict: orchestrator.Verified}) // not its own
	write(names[2], orchestrator.Record{Name: "dc-2-20260101000000", Machine: "dc-2", Pinned: true, Verdict: orchestrator.Mismatch})
	f := catalog.Open(dir)
	list, leftovers, err := f.Evidence(t.Context())
	if err != nil || len(list) != 3 || !slices.Equal(leftovers, []string{"dc-20260101000000.crc-failed"}) {
		t.Fatalf("have %+v, leftovers %q, %v", list, leftovers, err)
	}
	for i, b := range list {
		if b.Dir != filepath.Join(dir, names[i]) || b.Verdict != orchestrator.Mismatch || b.Name != []string{backup, backup, "dc-2-20260101000000"}[i] {
			t.Errorf("have %+v", b)
		}
	}
	if !list[0].Compared.Equal(compared) || list[0].Bytes != 77 || list[1].Machine != "Büro 1" {
		t.Errorf("have %+v and %+v", list[0], list[1])
	}
	for _, bad := range []string{backup, backup + ".partial", "../" + filepath.Base(dir), "", "file", "x/" + names[0]} {
		if err := f.DeleteEvidence(t.Context(), bad); err == nil {
			t.Errorf("%q was deleted", bad)
		}
	}
	if err := f.DeleteEvidence(t.Context(), names[2]); !errors.Is(err, catalog.ErrPinned) {
		t.Errorf("pinned: %v", err)
	}
	for _, name := range []string{names[0], leftovers[0], "gone-20260101000000.crc-failed"} {
		if err := f.DeleteEvidence(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if list, leftovers, err = f.Evidence(t.Context()); err != nil || len(list) != 2 || len(leftovers) != 0 {
		t.Errorf("left: %+v, %q, %v", list, leftovers, err)
	}
	if _, err := os.Stat(filepath.Join(dir, backup, "x")); err != nil {
		t.Error(err)
	}
	if list, _, err := catalog.Within(dir, "none").Evidence(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("no staging folder: %+v, %v", list, err)
	}
}

// TestEvidenceInterrupted stops the deletion before each entry in turn: the next run ends it.
func TestEvidenceInterrupted(t *testing.T) {
	const name = "dc-20260101000000.crc-failed"
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		hostile(t, dir, name)
		f := catalog.Open(dir)
		err := f.DeleteEvidence(&dying{t.Context(), steps}, name)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		list, leftovers, lerr := f.Evidence(t.Context())
		if lerr != nil || len(list)+len(leftovers) > 1 || err != nil && len(list)+len(leftovers) != 1 {
			t.Fatalf("stopped at step %d: have %+v, %q, %v", steps, list, leftovers, lerr)
		}
		if e := f.DeleteEvidence(t.Context(), name); e != nil {
			t.Fatal(e)
		}
		if left, e := os.ReadDir(dir); e != nil || len(left) != 0 {
			t.Fatalf("stopped at step %d: left %v, %v", steps, left, e)
		}
		if err == nil {
			if steps < 10 {
				t.Errorf("done after %d steps: the deletion does not look at its context", steps)
			}
			return
		}
	}
}
