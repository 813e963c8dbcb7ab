package retention_test

import (
	"fmt"
	"slices"
	"sort"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/retention"
)

// check computes from the rules, in another way than the package does, which backups must stay, and compares.
func check(t *testing.T, in retention.Input, p retention.Plan) {
	t.Helper()
	have := map[string]retention.Decision{}
	for _, d := range p.Backups {
		have[d.Name] = d
		if len(d.Reasons) == 0 {
			t.Fatalf("%s has no reason", d.Name)
		}
	}
	byMachine := map[string][]orchestrator.Backup{}
	for _, b := range in.Backups {
		byMachine[b.Machine] = append(byMachine[b.Machine], b)
	}
	for m, list := range byMachine {
		sort.Slice(list, func(i, j int) bool { return list[i].Name > list[j].Name })
		want := wanted(in, m, list)
		for _, b := range list {
			if have[b.Name].Keep != want[b.Name] {
				t.Fatalf("%s (%q): keep is %v (%q), want %v; rules %+v", b.Name, b.Verdict, have[b.Name].Keep, have[b.Name].Reasons, want[b.Name], in.Machines[m])
			}
		}
	}
}

// wanted are the names to be kept of one machine, whose backups come with the newest first.
func wanted(in retention.Input, machine string, list []orchestrator.Backup) map[string]bool {
	rules, configured := in.Machines[machine]
	stale := func(b orchestrator.Backup) bool {
		return configured && b.Verdict == orchestrator.Unverified && rules.UnverifiedDays > 0 &&
			in.Now.Sub(b.Begun) >= time.Duration(rules.UnverifiedDays+1)*24*time.Hour
	}
	bad := func(b orchestrator.Backup) bool {
		return b.Verdict == orchestrator.Mismatch || b.Verdict == orchestrator.Unreadable
	}
	keep := map[string]bool{}
	live := slices.DeleteFunc(slices.Clone(list), stale)
	ruled := rules.Versions+rules.Daily+rules.Weekly+rules.Monthly+rules.Yearly > 0
	for i, b := range live {
		goods, bads := 0, 0 // newer ones
		for _, n := range live[:i] {
			if bad(n) {
				bads++
			} else {
				goods++
			}
		}
		keep[b.Name] = !ruled || goods < rules.Versions && (!bad(b) || bads < rules.Versions)
	}
	for name := range calendarOracle(live, rules, in.Location) {
		keep[name] = true
	}
	for i, class := range []func(orchestrator.Backup) bool{
		func(b orchestrator.Backup) bool { return b.Verdict == orchestrator.Verified },
		func(b orchestrator.Backup) bool { return b.Verdict == orchestrator.Skipped },
		func(b orchestrator.Backup) bool { return !bad(b) },
		func(orchestrator.Backup) bool { return true },
	} {
		if n := slices.IndexFunc(list, class); n >= 0 {
			keep[list[n].Name] = true
			break
		} else if i == 3 {
			panic("an empty list")
		}
	}
	for _, b := range list {
		_, used := in.InUse[b.Name]
		keep[b.Name] = keep[b.Name] || b.Pinned || used || !configured
	}
	return keep
}

// calendarOracle works from the periods to the backups: it lists the periods of a rule and asks for each one which backup stands for it.
func calendarOracle(list []orchestrator.Backup, r retention.Rules, loc *time.Location) map[string]bool {
	keep := map[string]bool{}
	for i, count := range []int{r.Daily, r.Weekly, r.Monthly, r.Yearly} {
		period := func(b orchestrator.Backup) string {
			t := b.Begun.In(loc)
			monday := t.AddDate(0, 0, -int(t.Weekday()+6)%7)
			return []string{t.Format(time.DateOnly), monday.Format(time.DateOnly), fmt.Sprintf("%d-%02d", t.Year(), t.Month()), fmt.Sprint(t.Year())}[i]
		}
		periods := map[string]bool{}
		for _, b := range list {
			periods[period(b)] = true
		}
		names := make([]string, 0, len(periods))
		for name := range periods {
			names = append(names, name)
		}
		sort.Sort(sort.Reverse(sort.StringSlice(names)))
		for _, name := range names {
			var chosen string
			for _, v := range []orchestrator.Verdict{orchestrator.Skipped, orchestrator.Verified} { // the latter wins
				if n := slices.IndexFunc(list, func(b orchestrator.Backup) bool { return b.Verdict == v && period(b) == name }); n >= 0 {
					chosen = list[n].Name
				}
			}
			if chosen == "" || keep[chosen] || count <= 0 {
				continue
			}
			keep[chosen] = true
			count--
		}
	}
	return keep
}
