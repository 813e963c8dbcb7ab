package retention_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the calendar must be the same on a machine without it

	"tresor/orchestrator"
	"tresor/orchestrator/retention"
)

// seed is TRESOR_SEED, or a new one; it is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64()
	if text := os.Getenv("TRESOR_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TRESOR_SEED=%d", s)
	return s
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func backup(machine string, when time.Time, v orchestrator.Verdict) orchestrator.Backup {
	return orchestrator.Backup{Record: orchestrator.Record{Name: orchestrator.BackupName(machine, when), ID: "id", Machine: machine, Begun: when, Verdict: v, Bytes: 1}}
}

// kept are the days (month-day) of the backups that a plan keeps, the newest first.
func kept(p retention.Plan) string {
	var list []string
	for _, d := range p.Backups {
		if d.Keep {
			list = append(list, d.Time.Format("01-02"))
		}
	}
	return strings.Join(list, " ")
}

// TestRules: the verdicts are v verified, u unverified, m mismatch, e unreadable, s skipped, P pinned and failed, h half a backup that is verified; one a
// day, the last one on 2026-03-20, a Friday.
func TestRules(t *testing.T) {
	r := func(n, d, w, m, y, u int) retention.Rules {
		return retention.Rules{Versions: n, Daily: d, Weekly: w, Monthly: m, Yearly: y, UnverifiedDays: u}
	}
	for name, c := range map[string]struct {
		verdicts string // the oldest first
		rules    retention.Rules
		want     string
	}{
		"versions":                         {"vvvvv", r(2, 0, 0, 0, 0, 0), "03-20 03-19"},
		"no rule keeps all":                {"vumes", r(0, 0, 0, 0, 0, 0), "03-20 03-19 03-18 03-17 03-16"},
		"failed take no place":             {"vvmev", r(2, 0, 0, 0, 0, 0), "03-20 03-19 03-18 03-17"},
		"older failed go":                  {"mmvvv", r(2, 0, 0, 0, 0, 0), "03-20 03-19"},
		"only failed: the newest ones":     {"mmemm", r(2, 0, 0, 0, 0, 0), "03-20 03-19"},
		"failed are bounded, good stays":   {"vmmmmm", r(2, 0, 0, 0, 0, 0), "03-20 03-19 03-15"},
		"last verified one":                {"vuuuu", r(2, 0, 0, 0, 0, 0), "03-20 03-19 03-16"},
		"last verified that is whole":      {"vvhhh", r(1, 0, 0, 0, 0, 0), "03-20 03-17"},
		"daily":                            {"vvvvv", r(0, 3, 0, 0, 0, 0), "03-20 03-19 03-18"},
		"failed and unverified not daily":  {"vvumev", r(0, 2, 0, 0, 0, 0), "03-20 03-16"},
		"unverified alone under daily":     {"uuu", r(0, 2, 0, 0, 0, 0), "03-20"},
		"skipped counts where it is alone": {"svssss", r(0, 2, 0, 0, 0, 0), "03-20 03-19 03-16"},
		"weekly, with daily not counted":   {strings.Repeat("v", 20), r(0, 2, 2, 0, 0, 0), "03-20 03-19 03-15 03-08"},
		"the newest verified of the week":  {strings.Repeat("v", 13) + "mvvvvmm", r(0, 0, 2, 0, 0, 0), "03-18 03-15"},
		"monthly":                          {strings.Repeat("v", 25), r(0, 0, 0, 3, 0, 0), "03-20 02-28"},
		"union":                            {strings.Repeat("v", 25), r(2, 0, 0, 2, 0, 0), "03-20 03-19 02-28"},
		"unverified too old":               {"uuvu", r(9, 0, 0, 0, 0, 1), "03-20 03-19"},
		"without a rule too":               {"uuvu", r(0, 0, 0, 0, 0, 1), "03-20 03-19"},
		"exactly as old stays":             {"uvvv", r(9, 0, 0, 0, 0, 3), "03-20 03-19 03-18 03-17"},
		"skipped and failed have no age":   {"smev", r(9, 0, 0, 0, 0, 1), "03-20 03-19 03-18 03-17"},
		"all too old: the best stays":      {"uu" + strings.Repeat("m", 3), r(1, 0, 0, 0, 0, 1), "03-20 03-17"},
		"pinned":                           {"Pvvvv", r(1, 0, 0, 0, 0, 0), "03-20 03-16"},
	} {
		t.Run(name, func(t *testing.T) {
			in := retention.Input{Now: at("2026-03-20 21:00"), Machines: map[string]retention.Rules{"dc": c.rules}}
			for i, v := range c.verdicts {
				b := backup("dc", at("2026-03-20 20:00").AddDate(0, 0, i+1-len(c.verdicts)), map[rune]orchestrator.Verdict{
					'v': orchestrator.Verified, 'h': orchestrator.Verified, 'm': orchestrator.Mismatch, 'e': orchestrator.Unreadable,
					's': orchestrator.Skipped, 'P': orchestrator.Mismatch}[v])
				b.Pinned = v == 'P'
				if v == 'h' {
					b.Partial = []string{"a file could not be read"}
				}
				in.Backups = append(in.Backups, b)
			}
			if have := kept(retention.Make(in)); have != c.want {
				t.Errorf("have %s\nwant %s", have, c.want)
			}
		})
	}
}

// TestOtherBackups: exact names, machines that nobody configured, what is in use, and names that are none.
func TestOtherBackups(t *testing.T) {
	in := retention.Input{Now: at("2026-03-20 21:00"), Machines: map[string]retention.Rules{"dc": {Versions: 1}, "dc-2": {Versions: 2}},
		InUse: map[string]string{"dc-20260311000000": "restore 7"}}
	for day := range 3 {
		for _, m := range []string{"dc", "dc-2", "dc-22", "d"} {
			in.Backups = append(in.Backups, backup(m, at("2026-03-10 00:00").AddDate(0, 0, day), orchestrator.Verified))
		}
	}
	in.Backups = append(in.Backups, orchestrator.Backup{Record: orchestrator.Record{Name: "dc-old"}})
	var gone []string
	for _, d := range retention.Make(in).Deletions() {
		gone = append(gone, d.Name)
	}
	if want := []string{"dc-2-20260310000000", "dc-20260310000000"}; !slices.Equal(gone, want) {
		t.Errorf("deleted %q, want %q", gone, want)
	}
	in.Override = 1
	if n := len(retention.Make(in).Deletions()); n != 3 {
		t.Errorf("with an override of 1: %d deleted, want 3", n)
	}
}

// TestFuture: a backup that was made while the clock was wrong must not push out all that come after it.
func TestFuture(t *testing.T) {
	in := retention.Input{Now: at("2026-03-20 21:00"), Machines: map[string]retention.Rules{"dc": {Versions: 1, Yearly: 1, UnverifiedDays: 1}}}
	in.Backups = append(in.Backups, backup("dc", at("2099-01-02 00:00"), orchestrator.Verified))
	for day := range 3 {
		in.Backups = append(in.Backups, backup("dc", at("2026-03-18 20:00").AddDate(0, 0, day), orchestrator.Verified))
	}
	if have := kept(retention.Make(in)); have != "01-02 03-20" {
		t.Errorf("kept %s, want that of the future and the newest one", have)
	}
	in.Backups = in.Backups[:1]
	if have := kept(retention.Make(in)); have != "01-02" {
		t.Errorf("alone: kept %s", have)
	}
	in.Backups[0] = backup("dc", in.Now.Add(13*time.Hour), orchestrator.Verified) // the predecessor's names are local: that is no wrong clock
	in.Backups = append(in.Backups, backup("dc", at("2026-03-18 20:00"), orchestrator.Verified))
	if have := kept(retention.Make(in)); have != "03-21" {
		t.Errorf("13 hours ahead: kept %s", have)
	}
}

// TestUnverifiedOfPredecessor: disks of the predecessor have backups that it was told to make no sums of. Nobody recorded that they are bad.
func TestUnverifiedOfPredecessor(t *testing.T) {
	in := retention.Input{Now: at("2026-03-20 21:00"), Machines: map[string]retention.Rules{"dc": {Versions: 50, UnverifiedDays: 20}}}
	for month := range 6 {
		b := backup("dc", at("2025-06-01 00:00").AddDate(0, month, 0), orchestrator.Unverified)
		b.Legacy = true
		in.Backups = append(in.Backups, b)
	}
	if gone := retention.Make(in).Deletions(); len(gone) != 0 {
		t.Errorf("deleted: %+v", gone)
	}
}

// TestRandomPlans holds plans of random backups and rules against what is promised.
func TestRandomPlans(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 1))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	rounds := 40
	if os.Getenv("TRESOR_LONG") == "1" {
		rounds = 2000
	}
	for range rounds {
		in := random(r, berlin)
		p := retention.Make(in)
		if len(p.Backups) != len(in.Backups) {
			t.Fatalf("%d decisions for %d backups", len(p.Backups), len(in.Backups))
		}
		check(t, in, p)
		shuffled := in
		shuffled.Backups = slices.Clone(in.Backups)
		r.Shuffle(len(in.Backups), func(i, j int) {
			shuffled.Backups[i], shuffled.Backups[j] = shuffled.Backups[j], shuffled.Backups[i]
		})
		if !reflect.DeepEqual(p, retention.Make(shuffled)) {
			t.Fatalf("the order of the backups changes the plan of %+v", in)
		}
		left := in
		left.Backups = slices.DeleteFunc(slices.Clone(in.Backups), func(b orchestrator.Backup) bool {
			return slices.ContainsFunc(p.Deletions(), func(d retention.Decision) bool { return d.Name == b.Name })
		})
		if again := retention.Make(left).Deletions(); len(again) > 0 {
			t.Fatalf("a second plan right after the first deletes %v more; rules %+v", again, in.Machines)
		}
	}
}

func random(r *rand.Rand, loc *time.Location) retention.Input {
	count := func() int { return max(0, r.IntN(9)-3) }
	in := retention.Input{Now: at("2027-01-10 12:00"), Location: loc, Machines: map[string]retention.Rules{}, InUse: map[string]string{}}
	verdicts := []orchestrator.Verdict{orchestrator.Verified, orchestrator.Verified, orchestrator.Verified, orchestrator.Mismatch, orchestrator.Unreadable,
		orchestrator.Unverified, orchestrator.Skipped}
	for m := range 3 {
		name := fmt.Sprintf("vm-%d", m)
		if m < 2 {
			in.Machines[name] = retention.Rules{Versions: count(), Daily: count(), Weekly: count(), Monthly: count(), Yearly: count(), UnverifiedDays: 20 * r.IntN(2)}
		}
		used := map[string]bool{}
		for range r.IntN(60) {
			b := backup(name, in.Now.Add(-time.Duration(r.IntN(800*24*3600))*time.Second), verdicts[r.IntN(len(verdicts))])
			if used[b.Name] {
				continue
			}
			used[b.Name] = true
			b.Pinned = r.IntN(20) == 0
			if r.IntN(20) == 0 {
				in.InUse[b.Name] = "job"
			}
			in.Backups = append(in.Backups, b)
		}
	}
	return in
}
