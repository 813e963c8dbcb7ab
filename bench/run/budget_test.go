package run

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tresor/bench/contender"
	"tresor/bench/workload"
)

// rowOf is a workload of one contender that takes so long.
func rowOf(b *budget, name string, rank int, cost time.Duration) []item {
	i := item{&workload.Workload{Name: name, Rank: rank}, contender.NewRaw("")}
	b.note(i, cost)
	return []item{i}
}

// TestBudget: what the table of figures stands on comes first; what is left over is used; the end is kept.
func TestBudget(t *testing.T) {
	start := time.Unix(0, 0)
	for _, c := range []struct {
		name  string
		limit time.Duration // of which a tenth is for the end
		left  int
		costs string // name:rank:seconds
		want  string
	}{
		{"room for all", 1000 * time.Second, 4, "a:0:10 b:3:20 c:1:5", "a b c"},
		{"the highest rank goes first", 200 * time.Second, 4, "a:0:10 b:3:100 c:1:5", "a b c"}, // 60 for a and c, 100 for one b
		{"and only where there is room", 150 * time.Second, 4, "a:0:10 b:3:100 c:1:5", "a c"},
		{"one that is too long does not keep out a shorter one", 150 * time.Second, 4, "a:0:10 b:3:100 c:3:20", "a c"},
		{"rank 0 is done as long as there is time at all", 50 * time.Second, 4, "a:0:20 b:1:30 c:0:10", "a c"},
		{"in the order of the workloads", 1000 * time.Second, 1, "x:3:1 y:2:1 z:0:1", "x y z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBudget(start, c.limit)
			var rows [][]item
			for _, f := range strings.Fields(c.costs) {
				var rank, seconds int
				name, rest, _ := strings.Cut(f, ":")
				if _, err := fmt.Sscanf(rest, "%d:%d", &rank, &seconds); err != nil {
					t.Fatal(err)
				}
				rows = append(rows, rowOf(b, name, rank, time.Duration(seconds)*time.Second))
			}
			var have []string
			for _, row := range b.round(rows, c.left, start) {
				have = append(have, row[0].w.Name)
			}
			if s := strings.Join(have, " "); s != c.want {
				t.Errorf("have %q, want %q", s, c.want)
			}
		})
	}
}

// TestBudgetEnds: an item that would not end in time is not begun.
func TestBudgetEnds(t *testing.T) {
	start := time.Unix(0, 0)
	b := newBudget(start, 100*time.Second)
	i := rowOf(b, "a", 0, 30*time.Second)[0]
	for after, want := range map[time.Duration]bool{0: true, 59 * time.Second: true, 61 * time.Second: false} {
		if have := b.fits(i, start.Add(after)); have != want {
			t.Errorf("after %s: fits: have %v, want %v", after, have, want)
		}
	}
}

// TestBudgetFirst: a slow first round does not take the later rounds of what matters most.
func TestBudgetFirst(t *testing.T) {
	start := time.Unix(0, 0)
	b := newBudget(start, 100*time.Second) // 90 to begin something
	rows := [][]item{rowOf(b, "late", 3, 0), rowOf(b, "main", 0, 15*time.Second), rowOf(b, "middle", 1, 10*time.Second)}
	if first := b.first(rows); first[0][0].w.Name != "main" || first[2][0].w.Name != "late" || rows[0][0].w.Name != "late" {
		t.Errorf("have %v, want the order of ranks, in a list of its own", first)
	}
	for _, c := range []struct {
		row   int
		after time.Duration
		want  bool
	}{{1, 89 * time.Second, true}, {2, 20 * time.Second, true}, {2, 40 * time.Second, false}, {0, 10 * time.Second, false}} {
		if have := b.affords(rows[c.row], rows, 4, start.Add(c.after)); have != c.want {
			t.Errorf("%s after %s: have %v, want %v", rows[c.row][0].w.Name, c.after, have, c.want)
		}
	}
}

// TestCost: what was never done counts as the longest, what is done once only costs nothing after it.
func TestCost(t *testing.T) {
	b := newBudget(time.Unix(0, 0), time.Hour)
	rowOf(b, "long", 0, 30*time.Second)
	row := rowOf(b, "row", 0, 5*time.Second)
	row = append(row, item{row[0].w, label("never done")})
	if have := b.cost(row); have != 35*time.Second {
		t.Errorf("have %s, want 35s", have)
	}
	row[0].w.Once = true
	if have := b.cost(row[:1]); have != 0 {
		t.Errorf("done once: have %s, want 0", have)
	}
}

// label is a contender by name only.
type label string

func (l label) Name() string                { return string(l) }
func (l label) Start(context.Context) error { return nil }
func (l label) Stop() error                 { return nil }
