package work

import (
	"testing"
)

// bound is one figure of a workload and the most that it may be.
type bound struct {
	what string
	have float64
	most float64
	why  string
}

// exactly is for figures that have no room: the work is done that often or it is wrong.
type exactly struct {
	what string
	have int64
	want int64
}

// hold prints the counts of a workload and compares them with their bounds.
func hold(t *testing.T, list []bound, exact ...exactly) {
	t.Helper()
	for _, e := range exact {
		t.Logf("%-44s %10d", e.what, e.have)
		if e.have != e.want {
			t.Errorf("%s: have %d, want exactly %d", e.what, e.have, e.want)
		}
	}
	for _, b := range list {
		t.Logf("%-44s %10.3f of %8.3f  %s", b.what, b.have, b.most, b.why)
		if b.have > b.most {
			t.Errorf("%s: have %.3f, want %.3f at most: %s", b.what, b.have, b.most, b.why)
		}
	}
}
