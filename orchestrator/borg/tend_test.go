package borg

import (
	"slices"
	"strings"
	"testing"
)

// TestTend: check comes before prune, prune only for whole archives that are there, compact last; a check that finds something stops all.
func TestTend(t *testing.T) {
	t.Parallel()
	const made = `{"name": "dc-20260102000000", "id": "1", "start": "2026-01-02T00:00:00"}, {"name": "dc-2-20260102000000", "id": "2", "start": "2026-01-02T00:00:00"}`
	repo := Repository{Name: "nas", URL: "/r"}
	w := Backup{Check: CheckData, Keep: Keep{Daily: 1}, Compact: true}
	for _, c := range []struct {
		name  string
		whole []string
		extra string
		want  Result
		calls []string
	}{
		{"two", []string{"dc-2-20260102000000", "dc-20260102000000"}, "", OK, []string{"list", "check", "prune", "list", "prune", "list", "compact"}},
		{"one twice", []string{"dc-20260102000000", "dc-20260101000000"}, "", OK, []string{"list", "check", "prune", "list", "compact"}},
		{"none", nil, "", OK, []string{"list", "check", "compact"}},
		{"gone", []string{"x-20260102000000", "dc-20260102000000"}, "", Partial, []string{"list", "check", "prune", "list", "compact"}},
		{"no name", []string{"dc"}, "", Partial, []string{"list", "check", "compact"}},
		{"damaged", []string{"dc-20260102000000"}, ";;\ncheck) exit 1", Failed, []string{"list", "check"}},
	} {
		p := newPlayer(t, made, 1, c.extra)
		rep := p.Tend(t.Context(), repo, w, c.whole)
		if have := p.calls(); rep.Result != c.want || !slices.Equal(have, c.calls) {
			t.Errorf("%s: have %s %v, calls %q, want %s, %q", c.name, rep.Result, rep.Reasons, have, c.want, c.calls)
		}
	}
	if rep := newPlayer(t, made, 1, "").Tend(t.Context(), repo, Backup{Keep: Keep{Daily: -1}}, nil); rep.Result != Failed || !strings.Contains(rep.Reasons[0].Text, "-1 daily") {
		t.Errorf("have %+v", rep)
	}
}
