package retention

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
)

// evidence decides on the copies that differed from their source twice. One goes when it is older than the days of its machine, and a verified backup of the
// same machine that is whole and as new as it, or newer, is kept on this volume: until then it may be all that there is of that day.
func evidence(in Input, plan []Decision) []Decision {
	var list []Decision
	lacking := map[string]bool{}
	for _, b := range in.Backups {
		lacking[b.Name] = len(b.Partial) > 0
	}
	whole := slices.DeleteFunc(slices.Clone(plan), func(d Decision) bool { return lacking[d.Name] })
	for _, b := range in.Evidence {
		d := Decision{Name: filepath.Base(b.Dir), ID: b.ID, Machine: b.Machine, Time: b.Begun, Verdict: b.Verdict, Bytes: b.Bytes, Keep: true}
		rules, configured := in.Machines[b.Machine]
		since := b.Compared
		if since.IsZero() {
			since = b.Begun
		}
		days := int(in.Now.Sub(since) / day)
		who, used := in.InUse[b.Name]
		heir := heirOf(b, whole)
		switch {
		case b.Pinned:
			d.Reasons = []string{"pinned"}
		case used:
			d.Reasons = []string{"in use: " + who}
		case !configured:
			d.Reasons = []string{"machine is not configured"}
		case rules.EvidenceDays <= 0:
			d.Reasons = []string{"no rule"}
		case days <= rules.EvidenceDays:
			d.Reasons = []string{fmt.Sprintf("evidence for %d days, at most %d", days, rules.EvidenceDays)}
		case heir == "":
			d.Reasons = []string{"the only copy: no verified backup that is whole is as new as it"}
		default:
			d.Keep, d.Heir = false, heir
			d.Reasons = []string{fmt.Sprintf("evidence for %d days, at most %d; %s is verified", days, rules.EvidenceDays, heir)}
		}
		list = append(list, d)
	}
	slices.SortStableFunc(list, func(a, b Decision) int {
		return cmp.Or(strings.Compare(a.Machine, b.Machine), b.Time.Compare(a.Time), strings.Compare(a.Name, b.Name))
	})
	return list
}

// heirOf is the newest verified backup of the machine that is kept, of those that lack nothing, if it is as new as b.
func heirOf(b orchestrator.Backup, whole []Decision) string {
	var heir Decision
	for _, d := range whole {
		if d.Keep && d.Machine == b.Machine && d.Verdict == orchestrator.Verified && d.Time.After(heir.Time) {
			heir = d
		}
	}
	if heir.Time.Before(b.Begun.Truncate(time.Second)) { // the name of a backup has whole seconds
		return ""
	}
	return heir.Name
}

// ApplyEvidence removes the copies that the plan removes, each after another look at its heir, which c has. A removal that fails does not stop the others.
func ApplyEvidence(ctx context.Context, p Plan, c Catalogue, remove func(ctx context.Context, name string) error) (removed []string, err error) {
	var failed []error
	for _, d := range p.Evidence {
		if d.Keep {
			continue
		}
		heir, err := c.Find(d.Heir)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("prune %s: %s stays: %w", p.Folder, d.Name, err))
			continue
		case worth(heir) < worthWhole:
			continue // a new plan is needed
		}
		if err := remove(ctx, d.Name); err != nil {
			failed = append(failed, fmt.Errorf("prune %s: %w", p.Folder, err))
			continue
		}
		removed = append(removed, d.Name)
	}
	return removed, errors.Join(failed...)
}
