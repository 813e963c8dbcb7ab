package retention_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
	"tresor/orchestrator/retention"
)

// folder has seven verified backups of dc on disk, one a day, and the plan that keeps the newest two.
func folder(t *testing.T) (*catalog.Folder, retention.Plan) {
	t.Helper()
	dir := t.TempDir()
	f := catalog.Open(dir)
	for day := range 7 {
		b := backup("dc", at("2026-03-01 20:00").AddDate(0, 0, day), orchestrator.Verified)
		if err := os.MkdirAll(filepath.Join(dir, b.Name, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := f.WriteRecord(b.Record); err != nil {
			t.Fatal(err)
		}
	}
	l, err := f.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f, retention.Make(retention.Input{Now: at("2026-03-08 00:00"), Backups: l.Backups, Machines: map[string]retention.Rules{"dc": {Versions: 2}}})
}

func names(t *testing.T, f *catalog.Folder) (list []string) {
	t.Helper()
	l, err := f.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range l.Backups {
		list = append(list, b.Name)
	}
	return list
}

func TestApply(t *testing.T) {
	f, p := folder(t)
	a, err := retention.Apply(t.Context(), p, f, nil)
	if err != nil || !a.Reclaim || a.Bytes != 5 || len(a.Spared) != 0 {
		t.Errorf("have %+v, %v", a, err)
	}
	if !slices.IsSorted(a.Deleted) || len(a.Deleted) != 5 {
		t.Errorf("deleted %q, want five, the oldest first", a.Deleted)
	}
	if have := names(t, f); !slices.Equal(have, []string{"dc-20260306200000", "dc-20260307200000"}) {
		t.Errorf("left: %q", have)
	}
	if a, err = retention.Apply(t.Context(), p, f, nil); err != nil || a.Reclaim || len(a.Deleted) != 0 || len(a.Spared) != 5 {
		t.Errorf("a second time: %+v, %v", a, err)
	}
}

// TestApplyLooksAgain: between plan and deletion somebody pins, restores, verifies or makes a backup anew.
func TestApplyLooksAgain(t *testing.T) {
	f, p := folder(t)
	if err := f.Pin("dc-20260301200000", true); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*orchestrator.Record){
		"dc-20260302200000": func(r *orchestrator.Record) { r.Verdict = orchestrator.Mismatch },
		"dc-20260303200000": func(r *orchestrator.Record) { r.ID = "another job" },
	} {
		b, err := f.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		change(&b.Record)
		if err := f.WriteRecord(b.Record); err != nil {
			t.Fatal(err)
		}
	}
	a, err := retention.Apply(t.Context(), p, f, func(name string) (string, bool) { return "restore 3", name == "dc-20260304200000" })
	if err != nil || !slices.Equal(a.Deleted, []string{"dc-20260305200000"}) || len(a.Spared) != 4 {
		t.Errorf("have %+v, %v", a, err)
	}
	if have := names(t, f); len(have) != 6 {
		t.Errorf("left: %q", have)
	}
}

// failing is a folder that cannot delete one backup.
type failing struct {
	*catalog.Folder
	name   string
	cancel func()
}

var errStuck = errors.New("stuck")

func (c failing) Delete(ctx context.Context, name string) error {
	if name == c.name {
		c.cancel()
		return errStuck
	}
	return c.Folder.Delete(ctx, name)
}

func TestApplyFailure(t *testing.T) {
	f, p := folder(t)
	a, err := retention.Apply(t.Context(), p, failing{f, "dc-20260302200000", func() {}}, nil)
	if !errors.Is(err, errStuck) || len(a.Deleted) != 4 || !a.Reclaim || a.Spared["dc-20260302200000"] == "" {
		t.Errorf("have %+v, %v: one failure must not stop the others, and must be told", a, err)
	}
}

func TestApplyCancelled(t *testing.T) {
	f, p := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := retention.Apply(ctx, p, failing{f, "dc-20260302200000", cancel}, nil)
	if !errors.Is(err, context.Canceled) || len(a.Deleted) != 1 {
		t.Errorf("have %+v, %v", a, err)
	}
	if have := names(t, f); len(have) != 6 {
		t.Errorf("left: %q", have)
	}
}

// TestApplyAfterBadNews: between plan and deletion a verification finds what was to be kept damaged, or somebody removes it. The last good ones stay.
func TestApplyAfterBadNews(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, f *catalog.Folder, b orchestrator.Backup) error{
		"damaged": func(_ *testing.T, f *catalog.Folder, b orchestrator.Backup) error {
			b.Verdict = orchestrator.Mismatch
			return f.WriteRecord(b.Record)
		},
		"removed": func(t *testing.T, f *catalog.Folder, b orchestrator.Backup) error {
			return f.Delete(t.Context(), b.Name)
		},
		"not whole": func(_ *testing.T, f *catalog.Folder, b orchestrator.Backup) error {
			b.Partial = []string{"a disk is missing"}
			return f.WriteRecord(b.Record)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, p := folder(t)
			for _, d := range p.Backups {
				if !d.Keep {
					continue
				}
				b, err := f.Find(d.Name)
				if err != nil {
					t.Fatal(err)
				}
				if err := change(t, f, b); err != nil {
					t.Fatal(err)
				}
			}
			a, err := retention.Apply(t.Context(), p, f, nil)
			if err != nil || len(a.Deleted) != 0 || len(a.Spared) != 5 {
				t.Errorf("have %+v, %v: nothing that is kept is good any more", a, err)
			}
		})
	}
}
