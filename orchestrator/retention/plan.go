package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
)

// Rules of one machine. A rule of zero or less is not set.
type Rules struct {
	Versions                       int
	Daily, Weekly, Monthly, Yearly int
	UnverifiedDays                 int // whole days that an unverified backup may have
	// Most is what somebody has set for this machine alone: an override of Versions may lower it and not raise it. 0: nobody has.
	Most         int
	EvidenceDays int // whole days that a copy that differed is kept
}

// Input is what a plan is made of.
type Input struct {
	Now     time.Time
	Folder  string // for people: the volume or buffer
	Backups []orchestrator.Backup
	// Machines has the rules of each machine that is configured, by its whole name. Backups of others are kept.
	Machines map[string]Rules
	Evidence []orchestrator.Backup // copies that differed twice, Dir is where each lies
	// Override replaces Versions of all machines that have it set: what fill control or KEEPVERSIONS of the volume says. 0: there is none.
	Override int
	Limit    *Limit            // of fill control, only to be shown
	Location *time.Location    // whose days, weeks, months and years count; nil: UTC
	InUse    map[string]string // names of backups, and who uses them
}

// Decision is what becomes of one backup.
type Decision struct {
	Name    string               `json:"name"`
	ID      string               `json:"id,omitempty"`
	Machine string               `json:"machine"`
	Time    time.Time            `json:"time"` // when it was begun, from its name
	Verdict orchestrator.Verdict `json:"verdict"`
	Bytes   int64                `json:"bytes"`
	Keep    bool                 `json:"keep"`
	Heir    string               `json:"heir,omitempty"` // of a copy that differed: the verified backup that lets it go
	Reasons []string             `json:"reasons"`        // at least one
}

// Plan says of each backup of a folder whether it is kept, and why.
type Plan struct {
	Made     time.Time      `json:"made"`
	Folder   string         `json:"folder"`
	Limit    *Limit         `json:"limit,omitempty"`
	Backups  []Decision     `json:"backups"`            // by machine, the newest first
	Evidence []Decision     `json:"evidence,omitempty"` // copies that differed, by the names of their directories
	location *time.Location // of the calendar
}

// Deletions are the backups that go, the oldest first.
func (p Plan) Deletions() []Decision {
	var list []Decision
	for _, d := range p.Backups {
		if !d.Keep {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b Decision) int { return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Name, b.Name)) })
	return list
}

// entry is a backup while a plan is made.
type entry struct {
	Decision
	backup orchestrator.Backup
	keep   []string // why it is kept
	stale  bool     // unverified for too long
	future bool     // a clock was wrong when it was made: it takes nobody's place
}

// day is also how far a date may lie ahead: the predecessor's names are in local time.
const day = 24 * time.Hour

func (e *entry) verified() bool { return e.Verdict == orchestrator.Verified }

func (e *entry) failed() bool {
	return e.Verdict != orchestrator.Verified && e.Verdict != orchestrator.Skipped && e.Verdict != orchestrator.Unverified
}

// because notes why it is kept.
func (e *entry) because(format string, args ...any) {
	e.keep = append(e.keep, fmt.Sprintf(format, args...))
}

// Make makes the plan. It looks at nothing but in, and changes nothing.
func Make(in Input) Plan {
	p := Plan{Made: in.Now, Folder: in.Folder, Limit: in.Limit, location: in.Location}
	if p.location == nil {
		p.location = time.UTC
	}
	machines := map[string][]*entry{}
	for _, b := range in.Backups {
		machine, begun, err := orchestrator.ParseBackupName(b.Name)
		e := &entry{backup: b, Decision: Decision{Name: b.Name, ID: b.ID, Machine: machine, Time: begun, Verdict: b.Verdict, Bytes: b.Bytes}}
		if err != nil {
			e.because("its name is not that of a backup")
		}
		machines[machine] = append(machines[machine], e)
	}
	for name, list := range machines {
		slices.SortFunc(list, func(a, b *entry) int { return cmp.Or(b.Time.Compare(a.Time), strings.Compare(b.Name, a.Name)) })
		rules, configured := in.Machines[name]
		if in.Override > 0 && rules.Versions > 0 {
			rules.Versions = in.Override
			if rules.Most > 0 {
				rules.Versions = min(rules.Versions, rules.Most)
			}
		}
		decide(list, rules, configured, in, p.location)
		for _, e := range list {
			p.Backups = append(p.Backups, e.Decision)
		}
	}
	slices.SortStableFunc(p.Backups, func(a, b Decision) int { return strings.Compare(a.Machine, b.Machine) })
	p.Evidence = evidence(in, p.Backups)
	return p
}

// decide looks at all backups of one machine, the newest first.
func decide(list []*entry, r Rules, configured bool, in Input, loc *time.Location) {
	for _, e := range list {
		days := int(in.Now.Sub(e.Time) / day)
		if e.Verdict == orchestrator.Unverified && !e.backup.Legacy && r.UnverifiedDays > 0 && days > r.UnverifiedDays {
			e.stale = true
			e.Reasons = []string{fmt.Sprintf("unverified for %d days, at most %d", days, r.UnverifiedDays)}
		}
		if e.backup.Pinned {
			e.because("pinned")
		}
		if who, ok := in.InUse[e.Name]; ok {
			e.because("in use: %s", who)
		}
		if e.future = e.Time.Sub(in.Now) > day; e.future {
			e.because("its date lies in the future")
		}
		if !configured {
			e.because("machine is not configured")
		} else if r.none() && !e.stale {
			e.because("no rule")
		}
	}
	past := slices.DeleteFunc(slices.Clone(list), func(e *entry) bool { return e.future })
	live := slices.DeleteFunc(slices.Clone(past), func(e *entry) bool { return e.stale })
	keepVersions(live, r.Versions)
	keepCalendar(live, r, loc)
	keepLast(past)
	for _, e := range list {
		e.Keep = len(e.keep) > 0
		if e.Keep {
			e.Reasons = e.keep
		} else if !e.stale {
			e.Reasons = []string{r.dropped(e)}
		}
	}
}

// none tells that no rule keeps anything.
func (r Rules) none() bool {
	return r.Versions <= 0 && r.Daily <= 0 && r.Weekly <= 0 && r.Monthly <= 0 && r.Yearly <= 0
}

// dropped says why no rule keeps e.
func (r Rules) dropped(e *entry) string {
	var rules []string
	if r.Versions > 0 {
		rules = append(rules, fmt.Sprintf("the newest %d", r.Versions))
	}
	for _, c := range r.calendar() {
		if c.count > 0 {
			rules = append(rules, fmt.Sprintf("%s %d", c.name, c.count))
		}
	}
	text := "not among " + strings.Join(rules, ", ")
	if e.failed() {
		text = fmt.Sprintf("failed (%s), %s", e.Verdict, text)
	} else if e.Verdict == orchestrator.Unverified && r.Versions <= 0 {
		text = "unverified, " + text
	}
	return text
}
