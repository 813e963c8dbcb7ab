package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"testing"
	"time"

	"tresor/orchestrator/schedule"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func mustParse(t *testing.T, text string, z *time.Location) schedule.Calendar {
	t.Helper()
	c, err := schedule.Parse(text, z)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("TRESOR_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// TestYears runs schedules for years: each civil day has one run, also those on which the clocks change.
func TestYears(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York"} {
		for _, at := range []string{"02:30", "20:00", "00:00", "03:00", "01:30:15"} {
			t.Run(name+" "+at, func(t *testing.T) {
				z := zone(t, name)
				now := time.Date(2024, 1, 1, 12, 0, 0, 0, z)
				c, runs := mustParse(t, at, z), map[string]int{}
				for day := now; day.Year() < 2029; day = day.AddDate(0, 0, 1) {
					now = c.Next(now)
					runs[now.Format("2006-01-02")]++
				}
				for day := time.Date(2024, 1, 2, 12, 0, 0, 0, z); day.Before(now.AddDate(0, 0, -1)); day = day.AddDate(0, 0, 1) {
					if n := runs[day.Format("2006-01-02")]; n != 1 {
						t.Fatalf("%s ran %d times on %s, want once", at, n, day.Format("2006-01-02"))
					}
				}
			})
		}
	}
}

// oracle finds moments by looking at every minute of real time, and knows nothing of offsets.
type oracle struct {
	first, second map[string]time.Time // by civil minute
	order         []time.Time
}

const minuteForm = "2006-01-02 15:04"

func newOracle(from, till time.Time) oracle {
	o := oracle{map[string]time.Time{}, map[string]time.Time{}, nil}
	for t := from; t.Before(till); t = t.Add(time.Minute) {
		o.order = append(o.order, t)
		key := t.Format(minuteForm)
		if _, twice := o.first[key]; twice {
			o.second[key] = t
		} else {
			o.first[key] = t
		}
	}
	return o
}

// next is the first moment after the given one at which one of the civil times h:m of any day is due.
func (o oracle) next(after time.Time, hours, minutes []int, elapsed bool) (best time.Time) {
	take := func(t time.Time) {
		if t.After(after) && (best.IsZero() || t.Before(best)) {
			best = t
		}
	}
	year, month, date := after.Date()
	for n := -2; n <= 3; n++ {
		day := time.Date(year, month, date+n, 0, 0, 0, 0, time.UTC)
		for _, h := range hours {
			for _, m := range minutes {
				key := fmt.Sprintf("%s %02d:%02d", day.Format("2006-01-02"), h, m)
				t, exists := o.first[key]
				switch {
				case exists:
					take(t)
				case !elapsed:
					i := sort.Search(len(o.order), func(i int) bool { return o.order[i].Format(minuteForm) > key }) // no gap and fold in one window
					if i < len(o.order) {
						take(o.order[i])
					}
				}
				if t, twice := o.second[key]; twice && elapsed {
					take(t)
				}
			}
		}
	}
	return best
}

// TestAgainstOracle compares Next with a search over real minutes, around days on which clocks change, also by half an hour, at midnight,
// and by a whole day.
func TestAgainstOracle(t *testing.T) {
	r := random(t)
	for _, change := range []struct{ zone, day string }{
		{"Europe/Berlin", "2026-03-29"}, {"Europe/Berlin", "2026-10-25"}, {"America/New_York", "2026-03-08"}, {"America/New_York", "2026-11-01"},
		{"Australia/Lord_Howe", "2026-04-05"}, {"Australia/Lord_Howe", "2026-10-04"}, {"America/Sao_Paulo", "2018-11-04"}, {"Pacific/Apia", "2011-12-30"},
		{"Europe/Berlin", "2026-07-01"},
	} {
		t.Run(change.zone+" "+change.day, func(t *testing.T) {
			z := zone(t, change.zone)
			day, err := time.ParseInLocation("2006-01-02", change.day, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			o := newOracle(day.Add(-130*time.Hour).In(z), day.Add(160*time.Hour).In(z))
			for range 60 {
				hours, minutes := []int{r.IntN(5)}, []int{r.IntN(60)}
				text := fmt.Sprintf("%d:%d", hours[0], minutes[0])
				elapsed := r.IntN(3) == 0
				if elapsed {
					hours = hours[:0]
					for h := range 24 {
						hours = append(hours, h)
					}
					text = fmt.Sprintf("*:%d", minutes[0])
				}
				c := mustParse(t, text, z)
				after := day.Add(time.Duration(r.IntN(48*60)-12*60)*time.Minute + time.Duration(r.IntN(60))*time.Second).In(z)
				for range 3 {
					have, want := c.Next(after), o.next(after, hours, minutes, elapsed)
					if !have.Equal(want) {
						t.Fatalf("%q in %s after %s: have %s, want %s", text, change.zone, after, have, want)
					}
					after = have
				}
			}
		})
	}
}
