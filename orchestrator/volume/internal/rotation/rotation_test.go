package rotation_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"tresor/orchestrator/volume/internal/rotation"
)

func list(t *testing.T, names ...string) (l []rotation.Entry) {
	t.Helper()
	for _, n := range names {
		u, err := rotation.ParseUse("", n)
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, rotation.Entry{Name: n, Use: u})
	}
	return l
}

func TestParseUse(t *testing.T) {
	for _, c := range []struct {
		text, name string
		want       rotation.Use
		bad        bool
	}{
		{"", "sdc1", rotation.Use{}, false},
		{"", "dayofweek-5", rotation.Use{Weekday: 5}, false},
		{"", "dayofweek-8", rotation.Use{}, false}, // only a name
		{"", "dayofmonth-31", rotation.Use{Monthday: 31}, false},
		{"rotation", "dayofweek-5", rotation.Use{}, false},
		{"dayofmonth-1", "sdc1", rotation.Use{Monthday: 1}, false},
		{"dayofmonth-0", "x", rotation.Use{}, true},
		{"dayofmonth-32", "x", rotation.Use{}, true},
		{"dayofweek-07", "x", rotation.Use{}, true},
		{"dayofweek-+7", "x", rotation.Use{}, true},
		{"sunday", "x", rotation.Use{}, true},
	} {
		have, err := rotation.ParseUse(c.text, c.name)
		if have != c.want || (err != nil) != c.bad {
			t.Errorf("ParseUse(%q, %q) = %+v, %v; want %+v, error %v", c.text, c.name, have, err, c.want, c.bad)
		}
	}
}

// days: 2026-06-01 is a Monday.
func day(n int) time.Time { return time.Date(2026, 6, n, 20, 0, 0, 0, time.UTC) }

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name    string
		names   []string
		current string
		now     time.Time
		want    []string
	}{
		{"plain order", []string{"a", "b", "c"}, "a", day(2), []string{"b", "c"}},
		{"nothing in use yet", []string{"a", "b"}, "", day(2), []string{"a", "b"}},
		{"single disk", []string{"a"}, "a", day(2), []string{"a"}},
		{"day of the month first", []string{"a", "dayofweek-1", "dayofmonth-1"}, "a", day(1), []string{"dayofmonth-1", "dayofweek-1"}},
		{"day of the week", []string{"a", "b", "dayofweek-2"}, "a", day(2), []string{"dayofweek-2", "b"}},
		{"its day, but in use", []string{"a", "b", "dayofweek-2"}, "dayofweek-2", day(2), []string{"a", "b"}},
		{"not its day", []string{"a", "b", "dayofweek-2", "dayofmonth-9"}, "a", day(3), []string{"b"}},
		{"one disk and another day's", []string{"a", "dayofweek-2"}, "a", day(3), []string{"a"}},
		{"Sunday is the seventh", []string{"a", "dayofweek-7"}, "a", day(7), []string{"dayofweek-7"}},
		{"only days, not today", []string{"dayofweek-1", "dayofweek-2"}, "dayofweek-1", day(3), []string{"dayofweek-1"}},
		{"only days, not today, none in use", []string{"dayofweek-1", "dayofweek-2"}, "", day(3), nil},
		{"names that begin alike", []string{"sdc1", "sdc10", "dayofmonth-1", "dayofmonth-11"}, "sdc1", day(11), []string{"dayofmonth-11", "sdc10"}},
		{"in use, but not in the settings any more", []string{"a", "b"}, "gone", day(2), []string{"a", "b"}},
	} {
		have := rotation.Rotation{Current: c.current}.Next(list(t, c.names...), c.now)
		if !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", c.name, have, c.want)
		}
	}
}

// TestTurns plays switches, with disks that are away.
func TestTurns(t *testing.T) {
	l, r := list(t, "a", "b", "c"), rotation.Rotation{}
	away := map[string]bool{"b": true}
	var story []string
	turn := func() {
		for _, n := range r.Next(l, day(2)) {
			r = r.Tried(l, n)
			if !away[n] {
				break
			}
		}
		story = append(story, r.Current)
	}
	for range 4 {
		turn()
	}
	away = map[string]bool{"a": true}
	for range 4 {
		turn()
	}
	// b was tried after a each time and has lost its turn; so does a later.
	if want := []string{"a", "c", "a", "c", "b", "c", "b", "c"}; !slices.Equal(story, want) {
		t.Errorf("%v, want %v", story, want)
	}
	if r = r.With(list(t, "c", "d", "a")); !slices.Equal(r.Line, []string{"c", "d", "a"}) || r.Current != "c" {
		t.Errorf("after a change of the settings: %+v", r)
	}
}

// TestFair: whatever the settings, a day's disk comes on its day only, never the one in use while there is another, and nobody gets lost.
func TestFair(t *testing.T) {
	seed := time.Now().UnixNano()
	if text := os.Getenv("TRESOR_SEED"); text != "" {
		seed, _ = strconv.ParseInt(text, 10, 64)
	}
	t.Logf("TRESOR_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))
	for range 2000 {
		var names []string
		plain := 1 + rnd.IntN(5)
		for i := range plain {
			names = append(names, fmt.Sprintf("disk%d", i))
		}
		for range rnd.IntN(4) {
			if n := fmt.Sprintf("dayofweek-%d", 1+rnd.IntN(7)); !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		l, r := list(t, names...), rotation.Rotation{}
		for i := range 40 {
			now := day(1 + i/2)
			next := r.Next(l, now)
			if len(next) == 0 {
				t.Fatalf("%v: nobody after %q", names, r.Current)
			}
			name := next[0]
			use := l[slices.Index(names, name)].Use
			if use.Special() && !use.Today(now) {
				t.Fatalf("%v: %s on %v", names, name, now)
			}
			if name == r.Current && plain > 1 {
				t.Fatalf("%v: %s again", names, name)
			}
			r = r.Tried(l, name)
			if have, want := slices.Sorted(slices.Values(r.Line)), slices.Sorted(slices.Values(names)); !slices.Equal(have, want) {
				t.Fatalf("line %v, want all of %v", r.Line, want)
			}
		}
	}
}

func TestEveryoneHasATurn(t *testing.T) {
	for n := 2; n < 7; n++ {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("disk%d", i))
		}
		l, r, count := list(t, names...), rotation.Rotation{}, map[string]int{}
		for range 10 * n {
			r = r.Tried(l, r.Next(l, day(3))[0])
			count[r.Current]++
		}
		for _, name := range names {
			if count[name] != 10 {
				t.Errorf("%d disks: %v", n, count)
				break
			}
		}
	}
}
