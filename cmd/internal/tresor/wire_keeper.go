package tresor

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"tresor/index/format"
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
	return catalog.Within(v.Store.Root(), k.c.Paths.VolumeSubdir).Guarded(&k.a.records)
}

// staging is where copies lie that are no backups yet, or never become one.
func (k *keeper) staging(v service.Volume) *catalog.Folder {
	return catalog.Within(v.Store.Root(), k.c.Paths.VolumeSubdir+".tmp")
}

// Backups implements service.Keeper. What was seen is remembered for the time when the volume is not there.
func (k *keeper) Backups(ctx context.Context, v service.Volume) ([]orchestrator.Backup, error) {
	c, err := k.look(ctx, v)
	if err == nil {
		if e := c.save(k.c); e != nil {
			k.a.logger.Warn("remember what is on the volume: ", e)
		}
	}
	return c.Backups, err
}

// look looks at a volume.
func (k *keeper) look(ctx context.Context, v service.Volume) (contents, error) {
	f := k.folder(v)
	c := contents{Volume: v.Name, Seen: k.a.clock.Now().UTC()}
	l, err := f.List(ctx)
	if err != nil {
		return c, err
	}
	c.Backups = l.Backups
	var errs [3]error
	c.Evidence, _, errs[0] = k.staging(v).Evidence(ctx)
	c.Keep, errs[1] = f.KeepVersions()
	c.Usage, errs[2] = v.Store.Usage(ctx)
	if c.unsure = errors.Join(errs[:]...); c.unsure != nil {
		c.Unsure = c.unsure.Error()
	}
	return c, nil
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
	c, err := k.look(ctx, v)
	if err != nil {
		return service.Pruned{}, err
	}
	in, limit, err := planInput(k.c, c, busy, k.a.clock.Now())
	if err != nil {
		return service.Pruned{}, err
	}
	if atSwitch {
		in.Limit, in.Override = &limit, limit.Override
	}
	if atSwitch && !dry {
		if err := f.SetKeepVersions(limit.Override); err != nil {
			return service.Pruned{}, err
		}
	}
	for _, name := range k.a.proving.list() {
		in.InUse[name] = proves
	}
	plan, p, err := planned(in, limit)
	if err != nil || dry {
		return p, err
	}
	done, err := retention.Apply(ctx, plan, f, func(name string) (string, bool) {
		for _, b := range k.a.busy() {
			if b == name {
				return "a job", true
			}
		}
		return proves, slices.Contains(k.a.proving.list(), name)
	})
	evidence, everr := k.pruneEvidence(ctx, plan, f, v)
	p.Removed = append([]string{}, slices.Concat(unfinished, done.Deleted, evidence)...)
	return p, errors.Join(err, everr)
}

// pruneEvidence removes copies that differed from their source, by the plan, and what an interruption left of such a removal.
func (k *keeper) pruneEvidence(ctx context.Context, plan retention.Plan, f *catalog.Folder, v service.Volume) ([]string, error) {
	staging := k.staging(v)
	_, leftovers, err := staging.Evidence(ctx)
	for _, name := range leftovers {
		err = errors.Join(err, staging.DeleteEvidence(ctx, name))
	}
	removed, aerr := retention.ApplyEvidence(ctx, plan, f, staging.DeleteEvidence)
	return removed, errors.Join(err, aerr)
}

// Verify implements service.Keeper: the outcome goes into the record, and the marks of the predecessor beside it.
func (k *keeper) Verify(ctx context.Context, v service.Volume, backup string) (orchestrator.Verification, error) {
	k.a.mu.Lock()
	checker := k.a.checker
	k.a.mu.Unlock()
	defer k.a.proving.begin(backup)()
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
	k.a.trends.verified(backup, out)
	k.a.records.Lock()
	defer k.a.records.Unlock()
	return out, f.Change(backup, func(r *orchestrator.Record) { verify.Judge(r, out) })
}

// proves is who uses a backup that is being verified.
const proves = "a verification"

// proving are the backups that are being verified again: nothing removes them meanwhile.
type proving struct {
	mu    sync.Mutex // guards names; leaf, no I/O
	names []string   // one for each verification
}

// begin notes one. end ends it.
func (p *proving) begin(name string) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names = append(p.names, name)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		i := slices.Index(p.names, name)
		p.names = slices.Delete(p.names, i, i+1)
	}
}

func (p *proving) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.names)
}

// Corrupted implements service.Keeper: the list that a repair writes into the special directory of the volume.
func (k *keeper) Corrupted(_ context.Context, v service.Volume, most int) (lines []string, more bool, err error) {
	f, err := os.Open(filepath.Join(v.Store.Root(), format.SpecialName, format.CorruptedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if len(lines) == most {
			return lines, true, nil
		}
		lines = append(lines, in.Text())
	}
	return lines, false, in.Err()
}
