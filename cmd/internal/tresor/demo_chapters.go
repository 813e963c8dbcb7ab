package tresor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/service"
)

// chapters are what the demonstration shows.
func (d *demo) chapters(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.first, d.second, d.prune, d.switchOver} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// round backs everything up, waits for the copies and compares them with their sources, byte for byte.
func (d *demo) round(ctx context.Context) error {
	var r *service.Round
	if err := d.ask(ctx, "run", runArgs{Wait: true}, &r); err != nil {
		return err
	}
	for _, m := range r.Machines {
		if m.Outcome != service.Good {
			return fmt.Errorf("backup of %s: %s %s", m.Machine, m.Outcome, m.Text)
		}
	}
	st, err := d.settled(ctx)
	if err != nil {
		return err
	}
	var all listed
	if err := d.ask(ctx, "backups", nil, &all); err != nil {
		return err
	}
	newest := map[string]orchestrator.Backup{}
	for _, b := range all.OnVolume {
		if b.Name > newest[b.Machine].Name {
			newest[b.Machine] = b
		}
	}
	for machine, source := range map[string]string{"office": d.path("office"), "mail 1": d.path("mail")} {
		b := newest[machine]
		if b.Verdict != orchestrator.Verified {
			return fmt.Errorf("the newest backup of %s on %s is not verified: %+v", machine, st.Volume, b)
		}
		if err := equalTrees(source, filepath.Join(d.cfg.Paths.VolumeMount, d.cfg.Paths.VolumeSubdir, b.Name, source)); err != nil {
			return err
		}
	}
	d.out.line("   On %s: %d backups. The new ones were read back from the disk and have the sums of their sources;", all.Volume, len(all.OnVolume))
	d.out.line("   read through the mount they are equal to the sources, byte for byte.")
	return nil
}

// settled waits until no job is left, and no round.
func (d *demo) settled(ctx context.Context) (service.Status, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		var st service.Status
		if err := d.ask(ctx, "status", nil, &st); err != nil {
			return st, err
		}
		if len(st.Failed) > 0 {
			return st, fmt.Errorf("job of %s: %s", st.Failed[0].Backup, st.Failed[0].Error)
		}
		if len(st.Jobs) == 0 && st.Round == nil {
			return st, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return st, context.Cause(ctx)
		}
	}
}

func (d *demo) first(ctx context.Context) error {
	d.head("The first night", "The service mounts the first disk. Both machines are backed up; what lies on the buffer is copied to the disk by a job.\n"+
		"   Each copy is verified before it is published: what is in the folder of backups is whole and proved.")
	return d.round(ctx)
}

func (d *demo) second(ctx context.Context) error {
	d.head("The second night", "Documents were written and removed, and some blocks of the image changed. Only what is new takes room on the disk.")
	if err := changeSources(d.path("office"), d.path("mail")); err != nil {
		return err
	}
	if err := d.round(ctx); err != nil {
		return err
	}
	var st service.Status
	if err := d.ask(ctx, "status", nil, &st); err != nil {
		return err
	}
	d.out.line("   Backed up so far: %s, of it %s new (in whole blocks %s).", size(st.Counters.Bytes), size(st.Counters.NewData), size(st.Counters.NewBytes))
	var list []found
	if err := d.ask(ctx, "verify", namesArgs{}, &list); err != nil {
		return err
	}
	d.out.line("   `tresor verify --all` reads every backup of the disk again, past all caches:")
	for _, f := range list {
		if f.Verdict != orchestrator.Verified {
			return fmt.Errorf("verification of %s: %s %s", f.Backup, f.Verdict, f.Reason)
		}
		d.out.line("   %s: %s", f.Backup, string(f.Verdict))
	}
	return nil
}

func (d *demo) prune(ctx context.Context) error {
	d.head("Retention", "The configuration is changed to keep one version of each machine, and reloaded while the service runs. `tresor prune --dry-run`\n"+
		"   says what would go and why; `tresor prune` removes it and frees the room.")
	d.cfg.Retention.VolumeVersions = 1
	if err := d.write(); err != nil {
		return err
	}
	if err := d.ask(ctx, "reload", nil, nil); err != nil {
		return err
	}
	var plan, done service.Pruned
	if err := d.ask(ctx, "prune", pruneArgs{Dry: true}, &plan); err != nil {
		return err
	}
	for line := range strings.Lines(plan.Text) {
		d.out.line("   %s", line)
	}
	if err := d.ask(ctx, "prune", pruneArgs{}, &done); err != nil {
		return err
	}
	if len(done.Removed) != 2 {
		return fmt.Errorf("retention: removed %q, want the older backup of each machine", done.Removed)
	}
	d.out.line("   Removed: %s", strings.Join(done.Removed, ", "))
	return nil
}

func (d *demo) switchOver(ctx context.Context) error {
	d.head("The other disk", "`tresor switch` waits for the jobs, makes the report, unmounts the first disk and mounts the second. The first can be taken home.")
	var c *service.Change
	if err := d.ask(ctx, "switch", switchArgs{Soft: true, Wait: true}, &c); err != nil {
		return err
	}
	if c == nil || c.From != "disk-a" || c.To != "disk-b" {
		return fmt.Errorf("switch: have %+v, want from disk-a to disk-b", c)
	}
	d.out.line("   Switched from %s to %s. The third night:", c.From, c.To)
	if err := changeSources(d.path("office"), d.path("mail")); err != nil {
		return err
	}
	return d.round(ctx)
}

// last prints the status page and the mails.
func (d *demo) last(ctx context.Context) error {
	d.head("The status page", "`tresor status` changes nothing, and tells among other things which disk can be taken away.")
	var st service.Status
	if err := d.ask(ctx, "status", nil, &st); err != nil {
		return err
	}
	if len(st.TakeAway) != 1 || st.TakeAway[0] != "disk-a" {
		return fmt.Errorf("status: disks that can be taken away: have %q, want disk-a", st.TakeAway)
	}
	printStatus(d.out, page{Status: st})
	d.head("The mails", "They went to a mail server that this demonstration has started; in the configuration stands yours.")
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	mails, err := d.sink.Wait(wait, 4) // three rounds and a switch
	if err != nil {
		return errors.Join(errors.New("mails"), err)
	}
	for _, m := range mails {
		if err := m.Print(d.out.w); err != nil {
			return err
		}
	}
	return d.out.err
}
