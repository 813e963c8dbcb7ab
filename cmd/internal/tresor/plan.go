package tresor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/retention"
	"tresor/orchestrator/service"
)

// planInput is what a plan for a volume is made of, and what fill control says. Nothing is deleted by a number that cannot be read: KEEPVERSIONS may say
// more than the configuration does.
func planInput(c *config.Config, have contents, busy []string, now time.Time) (retention.Input, retention.Limit, error) {
	if err := have.sure(); err != nil {
		return retention.Input{}, retention.Limit{}, err
	}
	general := c.RetentionOf("", have.Volume)
	limit := retention.Recalculate(retention.Fill{Machines: len(c.Machines()), Backups: ofMachines(c, have.Backups) + ofMachines(c, have.Evidence), Used: have.Usage.Used, Total: have.Usage.Total,
		Max: general.VolumeVersions, Min: general.MinVersions, FillMax: general.FillMaxPercent, Override: have.Keep})
	in := retention.Input{Now: now, Folder: have.Volume, Backups: have.Backups, Evidence: have.Evidence, Machines: map[string]retention.Rules{}, Override: have.Keep,
		Location: c.Location(), InUse: map[string]string{}}
	for _, m := range c.Machines() {
		r := c.RetentionOf(m.Name, have.Volume)
		rules := retention.Rules{Versions: r.VolumeVersions, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly, Yearly: r.Yearly, UnverifiedDays: r.UnverifiedMaxAgeDays,
			EvidenceDays: r.EvidenceDays}
		if r.VolumeVersions != general.VolumeVersions { // it has one of its own
			rules.Most = r.VolumeVersions
		}
		in.Machines[m.Name] = rules
	}
	for _, b := range busy {
		in.InUse[b] = "a job"
	}
	return in, limit, nil
}

// ofMachines is how many of the backups are of machines that the configuration has.
func ofMachines(c *config.Config, list []orchestrator.Backup) (n int) {
	machines := c.Machines()
	for i := range list {
		if slices.ContainsFunc(machines, func(m config.Machine) bool { return m.Name == list[i].Machine }) {
			n++
		}
	}
	return n
}

// planned makes the plan, and tells it as if it had been carried out.
func planned(in retention.Input, limit retention.Limit) (retention.Plan, service.Pruned, error) {
	plan := retention.Make(in)
	gone := plan.Deletions()
	p := service.Pruned{Removed: []string{}, Kept: len(plan.Backups) - len(gone), Plan: plan,
		Limit: fmt.Sprintf("%d versions of each machine (%s)", limit.Versions, limit.Reason)}
	for _, d := range slices.Concat(gone, plan.Evidence) {
		if !d.Keep {
			p.Removed = append(p.Removed, d.Name)
		}
	}
	var text strings.Builder
	err := plan.WriteText(&text)
	p.Text = text.String()
	return plan, p, err
}
