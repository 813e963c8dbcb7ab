package borg

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tresor/orchestrator"
)

// Tend does to a repository what Run does after an archive was made, once for several of them: check, prune, compact, in this order, of which w says Check, Keep
// and Compact. whole are the names of archives that Runs without Keep made and reported as whole; only their prefixes are pruned.
func (b *Borg) Tend(ctx context.Context, r Repository, w Backup, whole []string) (rep RepositoryReport) {
	begun := b.o.Clock.Now()
	rep = RepositoryReport{Name: r.Name, Result: OK}
	defer func() { rep.Took = b.o.Clock.Now().Sub(begun) }()
	w.Prefix = "-" // each archive has its own
	if err := w.validate(); err != nil {
		rep.fail(Failed, "prepare", err)
		return rep
	}
	list, err := b.List(ctx, r)
	if err != nil {
		rep.fail(Failed, "open", err)
		return rep
	}
	if w.Check != CheckNone {
		if err := b.Check(ctx, r, w.Check); err != nil {
			rep.fail(Failed, "check", err)
			return rep // nothing is taken from a repository that may need what it has
		}
		rep.Checked = w.Check
	}
	if w.Keep != (Keep{}) {
		for _, name := range newest(whole) {
			if list, err = b.tendOne(ctx, r, w, name, list, &rep); err != nil {
				rep.fail(Partial, "prune", err)
			}
		}
	}
	rep.Archive = ""
	b.compact(ctx, r, w, &rep)
	return rep
}

// newest leaves the last archive of each prefix. Names end in their time.
func newest(names []string) (list []string) {
	last := map[string]string{}
	for _, name := range names {
		prefix := name[:strings.LastIndexByte(name, '-')+1]
		last[prefix] = max(last[prefix], name)
	}
	return slices.Sorted(maps.Values(last))
}

// tendOne prunes beside one archive and returns what lies there afterwards.
func (b *Borg) tendOne(ctx context.Context, r Repository, w Backup, name string, list []Archive, rep *RepositoryReport) ([]Archive, error) {
	prefix, _, err := orchestrator.ParseBackupName(name)
	if err != nil {
		return list, err
	}
	if !slices.ContainsFunc(list, func(a Archive) bool { return a.Name == name }) {
		return list, fmt.Errorf("not done for %s: archive %s is not there", prefix, name)
	}
	w.Prefix, rep.Archive = prefix, name
	return b.prune(ctx, r, w, list, rep)
}
