package borg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/deadline"
)

// Backup is what goes into each repository.
type Backup struct {
	Prefix      string              // of the archive's name
	Roots       []orchestrator.Root // of all sources that could be opened
	Missing     []Reason            // sources that could not: the archive will lack them
	Compression string              // as borg create takes it; empty: borg's own
	Check       Check
	Keep        Keep
	Compact     bool
}

func (w Backup) validate() error {
	err := checkPrefix(w.Prefix)
	switch {
	case w.Check != CheckNone && w.Check != CheckRepository && w.Check != CheckData:
		err = errors.Join(err, fmt.Errorf("check %q: want nothing, %s or %s", w.Check, CheckRepository, CheckData))
	case w.Keep != Keep{}:
		err = errors.Join(err, w.Keep.validate())
	}
	return err
}

// Run backs up into each repository in turn. It returns when all are done or the context has ended; failures are in the report, never anywhere else.
func (b *Borg) Run(ctx context.Context, repositories []Repository, w Backup) Report {
	report := Report{Begun: b.o.Clock.Now().UTC(), Reasons: append([]Reason(nil), w.Missing...)}
	w.Roots = report.existing(ctx, w.Roots)
	lacking := len(report.Reasons) > 0
	err := w.validate()
	if err == nil && len(w.Roots) == 0 {
		err = errors.New("nothing to back up: no source is left")
	}
	if err == nil && len(repositories) == 0 {
		err = errors.New("no repository given")
	}
	if err != nil {
		report.Reasons = append(report.Reasons, Reason{Step: "prepare", Text: err.Error()})
		report.Result = Failed
	} else {
		for _, r := range repositories {
			report.add(b.one(ctx, r, w, lacking))
		}
		if lacking && report.Result == OK {
			report.Result = Partial
		}
	}
	report.Took = b.o.Clock.Now().UTC().Sub(report.Begun)
	return report
}

// existing are the roots that are there. Of one that is not, borg would only warn.
func (r *Report) existing(ctx context.Context, roots []orchestrator.Root) (list []orchestrator.Root) {
	for _, root := range roots {
		if err := there(ctx, root.Path); err != nil {
			r.Reasons = append(r.Reasons, Reason{Step: "look", Text: "source: " + err.Error()})
			continue
		}
		list = append(list, root)
	}
	return list
}

// there looks at a path, for at most a minute: a directory of a server that is gone never answers.
func there(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not done within a minute"))
	defer cancel()
	return deadline.Do(ctx, "look at "+path, func() error {
		_, err := os.Lstat(path)
		return err
	})
}

// one does one repository. lacking: some source is not in the archive.
func (b *Borg) one(ctx context.Context, r Repository, w Backup, lacking bool) (rep RepositoryReport) {
	begun := b.o.Clock.Now()
	rep = RepositoryReport{Name: r.Name, Result: OK}
	defer func() { rep.Took = b.o.Clock.Now().Sub(begun) }()
	before, err := b.ready(ctx, r, &rep)
	if err != nil {
		rep.fail(Failed, "open", err)
		return rep
	}
	name := orchestrator.BackupName(w.Prefix, begun)
	stats, out, err := b.create(ctx, r, name, w.Roots, w.Compression)
	if err != nil {
		rep.fail(Failed, "create", err)
		return rep
	}
	rep.Archive, rep.Stats = name, stats
	lacking = rep.lacks(ctx, out, w.Roots) || lacking
	rep.Whole = !lacking
	if w.Check != CheckNone {
		if err := b.Check(ctx, r, w.Check); err != nil {
			rep.fail(Failed, "check", err)
			return rep // nothing is taken from a repository that may need what it has
		}
		rep.Checked = w.Check
	}
	b.thin(ctx, r, w, lacking, before, &rep)
	return rep
}

// lacks notes what is wrong with a new archive and tells whether it may lack something that older ones have.
func (r *RepositoryReport) lacks(ctx context.Context, out outcome, roots []orchestrator.Root) (lacking bool) {
	for i, text := range out.warnings {
		lacking = lacking || !harmless(text)
		if i < maxReasons {
			r.note(Partial, "create", text)
		}
	}
	if n := len(out.warnings) + out.more - maxReasons; n > 0 {
		r.note(Partial, "create", fmt.Sprintf("%d more warnings: see the log", n))
	}
	for _, root := range roots { // a disk that was pulled looks like files that went away
		if err := there(ctx, root.Path); err != nil {
			r.note(Partial, "create", "source went away meanwhile: "+err.Error())
			lacking = true
		}
	}
	if r.Stats.Files == 0 {
		r.note(Partial, "create", "there is no file in the archive: are the sources mounted?")
		lacking = true
	}
	return lacking || out.more > 0
}

// harmless are warnings about files that changed while they were read, or went away before: a living system always has some. All others say that
// something is there and could not be read.
func harmless(text string) bool {
	return strings.HasSuffix(text, ": file changed while we backed it up") ||
		strings.Count(text, "[Errno ") == 1 && strings.Contains(text, ": [Errno 2] No such file or directory")
}

// maxReasons is how many warnings of one archive are told.
const maxReasons = 20

// ready looks whether the repository is there, and makes it if it may. It returns what lies in it.
func (b *Borg) ready(ctx context.Context, r Repository, rep *RepositoryReport) ([]Archive, error) {
	list, err := b.List(ctx, r)
	var e *Error
	if r.Init && errors.As(err, &e) && e.ID == missing {
		if b.known(r) {
			e.ID, e.Err = "", errors.New("it was here before and is not made anew: is its disk mounted? If it is lost or meant to be new, make it by hand (borg init)")
			return nil, err
		}
		if err := b.Init(ctx, r); err != nil {
			return nil, err
		}
		rep.Made = true
		return nil, nil
	}
	return list, err
}

// missing is what borg says of a repository that is not there. One that is damaged or not a repository has other names.
const missing = "Repository.DoesNotExist"

// thin prunes and compacts. Neither is done while the new archive is no full replacement for an old one.
func (b *Borg) thin(ctx context.Context, r Repository, w Backup, lacking bool, before []Archive, rep *RepositoryReport) {
	switch {
	case lacking && w.Keep != Keep{}:
		rep.note(Partial, "prune", "not done: the archive lacks something, and old ones that have it must stay")
	case w.Keep != Keep{}:
		if _, err := b.prune(ctx, r, w, before, rep); err != nil {
			rep.fail(Partial, "prune", err)
			return
		}
	}
	b.compact(ctx, r, w, rep)
}

func (b *Borg) compact(ctx context.Context, r Repository, w Backup, rep *RepositoryReport) {
	if w.Compact {
		if err := b.Compact(ctx, r); err != nil {
			rep.fail(Partial, "compact", err)
			return
		}
		rep.Compacted = true
	}
}

// future is the first archive of the prefix that is later than the whole one that was made. Prune would keep it as the newest, and may remove the
// new one. Times of borg have no zone: up to an hour may come from the end of summer time. Those in names are UTC.
func future(before []Archive, prefix, made string, begun time.Time) string {
	for _, a := range before {
		digits, ok := strings.CutPrefix(a.Name, prefix+"-")
		if ok && regexp.MustCompile(`^\d{14}$`).MatchString(digits) && (a.Name > made || a.Begun.After(begun.Add(90*time.Minute))) {
			return a.Name
		}
	}
	return ""
}

// prune also removes what interrupted backups of this prefix left: there is a whole archive now. What is gone is found by comparing lists, of which it
// returns the last.
func (b *Borg) prune(ctx context.Context, r Repository, w Backup, before []Archive, rep *RepositoryReport) ([]Archive, error) {
	if name := future(before, w.Prefix, rep.Archive, b.o.Clock.Now()); name != "" {
		return before, fmt.Errorf("not done: archive %s is later than %s and would be kept instead: look at the clock of this machine; "+
			"if that is right, remove or rename it", name, rep.Archive)
	}
	checkpoint := regexp.MustCompile(`^` + regexp.QuoteMeta(w.Prefix) + `-\d{14}\.checkpoint(\.\d+)?$`)
	var old []string
	for _, a := range before {
		if checkpoint.MatchString(a.Name) {
			old = append(old, a.Name)
		}
	}
	if len(old) > 0 {
		if err := b.deleteCheckpoints(ctx, r, old); err != nil {
			return before, err
		}
	}
	if err := b.Prune(ctx, r, w.Prefix, w.Keep); err != nil {
		return before, err
	}
	after, err := b.List(ctx, r)
	if err != nil {
		return before, err
	}
	there := map[string]bool{}
	for _, a := range after {
		there[a.Name] = true
	}
	for _, a := range before {
		if !there[a.Name] {
			rep.Pruned = append(rep.Pruned, a.Name)
		}
	}
	rep.Archives = len(after)
	if !there[rep.Archive] {
		return after, fmt.Errorf("archive %s is gone after prune: the clock may have been set back, and newer archives were kept", rep.Archive)
	}
	return after, nil
}

// seconds cuts a duration for people.
func seconds(d time.Duration) time.Duration { return d.Round(time.Second) }
