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
	w.Roots = report.existing(w.Roots)
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
func (r *Report) existing(roots []orchestrator.Root) (list []orchestrator.Root) {
	for _, root := range roots {
		if _, err := os.Lstat(root.Path); err != nil {
			r.Reasons = append(r.Reasons, Reason{Step: "look", Text: "source: " + err.Error()})
			continue
		}
		list = append(list, root)
	}
	return list
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
	stats, warnings, err := b.Create(ctx, r, name, w.Roots, w.Compression)
	if err != nil {
		rep.fail(Failed, "create", err)
		return rep
	}
	rep.Archive, rep.Stats = name, stats
	for i, text := range warnings {
		if i == maxReasons {
			rep.note(Partial, "create", fmt.Sprintf("%d more warnings: see the log", len(warnings)-i))
			break
		}
		rep.note(Partial, "create", text)
	}
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

// maxReasons is how many warnings of one archive are told.
const maxReasons = 20

// ready looks whether the repository is there, and makes it if it may. It returns what lies in it.
func (b *Borg) ready(ctx context.Context, r Repository, rep *RepositoryReport) ([]Archive, error) {
	list, err := b.List(ctx, r)
	var e *Error
	if r.Init && errors.As(err, &e) && e.ID == missing {
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
		rep.note(Partial, "prune", "not done: the archive lacks a source, and old ones that have it must stay")
	case w.Keep != Keep{}:
		if err := b.prune(ctx, r, w, before, rep); err != nil {
			rep.fail(Partial, "prune", err)
			return
		}
	}
	if w.Compact {
		if err := b.Compact(ctx, r); err != nil {
			rep.fail(Partial, "compact", err)
			return
		}
		rep.Compacted = true
	}
}

// prune also removes what interrupted backups of this prefix left: there is a whole archive now. What is gone is found by comparing lists.
func (b *Borg) prune(ctx context.Context, r Repository, w Backup, before []Archive, rep *RepositoryReport) error {
	checkpoint := regexp.MustCompile(`^` + regexp.QuoteMeta(w.Prefix) + `-\d{14}\.checkpoint(\.\d+)?$`)
	var old []string
	for _, a := range before {
		if checkpoint.MatchString(a.Name) {
			old = append(old, a.Name)
		}
	}
	if len(old) > 0 {
		if err := b.deleteCheckpoints(ctx, r, old); err != nil {
			return err
		}
	}
	if err := b.Prune(ctx, r, w.Prefix, w.Keep); err != nil {
		return err
	}
	after, err := b.List(ctx, r)
	if err != nil {
		return err
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
		return fmt.Errorf("archive %s is gone after prune: the clock may have been set back, and newer archives were kept", rep.Archive)
	}
	return nil
}

// advice tells what to do about what borg said, by its name for it.
func advice(id string) string {
	for part, text := range map[string]string{
		"LockTimeout":                  "somebody else uses the repository; if nobody does, break its lock by hand (borg break-lock)",
		"LockError":                    "look at the rights and the disk of the repository",
		"PassphraseWrong":              "look at the file with the passphrase",
		"NoPassphraseFailure":          "the repository is encrypted: give it a passphrase_file",
		missing:                        "mount its disk, or have it made once with init = true",
		"InvalidRepository":            "there is something else at this place: look at the address, and whether the disk is mounted",
		"ParentPathDoesNotExist":       "mount its disk, or make the directory above it",
		"InsufficientFreeSpaceError":   "make room on its disk, keep fewer archives, and compact",
		"CacheInitAbortedError":        "it is not encrypted and was never used from here: if that is meant, set encryption = \"none\"",
		"RepositoryAccessAborted":      "it has moved, or another one lies there: if that is meant, confirm it once by hand (borg list)",
		"EncryptionMethodMismatch":     "it was encrypted before and is not now: somebody may have replaced it",
		"RepositoryReplay":             "it is older than what was seen last: somebody may have put an old copy back",
		"RepositoryIDNotUnique":        "it is a copy of another repository: use one of the two",
		"ConnectionClosed":             "look at ssh: the host, its key in known_hosts, our key there, and borg on the other side",
		"ConnectionClosedWithHint":     "look at ssh: the host, its key in known_hosts, our key there, and borg on the other side",
		"IntegrityError":               "copy the repository, then try borg check --repair by hand",
		"Repository.CheckNeeded":       "copy the repository, then try borg check --repair by hand",
		"Repository.ObjectNotFound":    "copy the repository, then try borg check --repair by hand",
		"Archive.AlreadyExists":        "two backups began in the same second: run it again",
		"Repository.PathAlreadyExists": "there is something else at this place: look at the address",
	} {
		if id == part || strings.HasSuffix(id, "."+part) {
			return text
		}
	}
	return ""
}

// seconds cuts a duration for people.
func seconds(d time.Duration) time.Duration { return d.Round(time.Second) }
