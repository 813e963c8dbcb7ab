package tresor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
	"tresor/orchestrator/config"
	"tresor/orchestrator/retention"
	"tresor/orchestrator/service"
	"tresor/orchestrator/verify"
)

// keeper looks after the backups on a volume, by the rules of a configuration.
type keeper struct {
	a *app
	c *config.Config
}

func (k *keeper) folder(v service.Volume) *catalog.Folder {
	return catalog.Within(v.Store.Root(), k.c.Paths.VolumeSubdir)
}

// Backups implements service.Keeper.
func (k *keeper) Backups(ctx context.Context, v service.Volume) ([]orchestrator.Backup, error) {
	l, err := k.folder(v).List(ctx)
	return l.Backups, err
}

// Prune implements service.Keeper.
func (k *keeper) Prune(ctx context.Context, v service.Volume, busy []string, atSwitch, dry bool) (service.Pruned, error) {
	f := k.folder(v)
	var unfinished []string
	if !dry {
		var err error
		if unfinished, err = f.Finish(ctx); err != nil { // one backup that cannot be removed must not keep the others
			k.a.logger.Warn("finish deletions that were interrupted: ", err)
		}
	}
	in, limit, err := k.input(ctx, f, v, busy)
	if err != nil {
		return service.Pruned{}, err
	}
	if atSwitch {
		if err := f.SetKeepVersions(limit.Override); err != nil {
			return service.Pruned{}, err
		}
		in.Limit, in.Override = &limit, limit.Override
	}
	plan := retention.Make(in)
	var text strings.Builder
	if err := plan.WriteText(&text); err != nil {
		return service.Pruned{}, err
	}
	p := service.Pruned{Kept: len(plan.Backups) - len(plan.Deletions()), Text: text.String(), Limit: fmt.Sprintf("%d versions of each machine (%s)", limit.Versions, limit.Reason)}
	if dry {
		for _, d := range plan.Deletions() {
			p.Removed = append(p.Removed, d.Name)
		}
		return p, nil
	}
	done, err := retention.Apply(ctx, plan, f, func(name string) (string, bool) {
		for _, b := range k.a.busy() {
			if b == name {
				return "a job", true
			}
		}
		return "", false
	})
	p.Removed = append(unfinished, done.Deleted...)
	return p, err
}

// input gathers what a plan is made of, and what fill control says.
func (k *keeper) input(ctx context.Context, f *catalog.Folder, v service.Volume, busy []string) (retention.Input, retention.Limit, error) {
	l, err := f.List(ctx)
	if err != nil {
		return retention.Input{}, retention.Limit{}, err
	}
	keep, err := f.KeepVersions()
	if err != nil { // it may say more than the configuration does: nothing is deleted by a number that cannot be read
		return retention.Input{}, retention.Limit{}, err
	}
	u, err := v.Store.Usage(ctx)
	if err != nil {
		return retention.Input{}, retention.Limit{}, err
	}
	general := k.c.RetentionOf("", v.Name)
	limit := retention.Recalculate(retention.Fill{Machines: len(k.c.Machines()), Backups: k.counted(l.Backups), Used: u.Used, Total: u.Total, Max: general.VolumeVersions,
		Min: general.MinVersions, FillMax: general.FillMaxPercent, Override: keep})
	in := retention.Input{Now: k.a.clock.Now(), Folder: v.Name, Backups: l.Backups, Machines: map[string]retention.Rules{}, Override: keep, Location: k.c.Location(), InUse: map[string]string{}}
	for _, m := range k.c.Machines() {
		r := k.c.RetentionOf(m.Name, v.Name)
		in.Machines[m.Name] = retention.Rules{Versions: r.VolumeVersions, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly, Yearly: r.Yearly, UnverifiedDays: r.UnverifiedMaxAgeDays}
	}
	for _, b := range busy {
		in.InUse[b] = "a job"
	}
	return in, limit, nil
}

// counted is how many of the backups are of machines that the configuration has.
func (k *keeper) counted(list []orchestrator.Backup) (n int) {
	for _, m := range k.c.Machines() {
		for i := range list {
			if list[i].Machine == m.Name {
				n++
			}
		}
	}
	return n
}

// Verify implements service.Keeper: the outcome goes into the record, and the marks of the predecessor beside it.
func (k *keeper) Verify(ctx context.Context, v service.Volume, backup string) (orchestrator.Verification, error) {
	k.a.mu.Lock()
	checker := k.a.checker
	k.a.mu.Unlock()
	f := k.folder(v)
	b, err := f.Find(backup)
	if err != nil {
		return orchestrator.Verification{}, err
	}
	out, err := checker.Verifier.Again(ctx, v.Store, filepath.Join(k.c.Paths.VolumeSubdir, backup))
	if errors.Is(err, verify.ErrNoSums) {
		return orchestrator.Verification{Verdict: orchestrator.Unverified, Reason: err.Error()}, nil
	}
	if err != nil {
		return out, err
	}
	// The marks before the record: whoever lists the backup after a crash between the two hears the bad news.
	if err := verify.MarkAgain(b.Dir, out); err != nil {
		return out, err
	}
	return out, f.Change(backup, func(r *orchestrator.Record) { verify.Judge(r, out) })
}
