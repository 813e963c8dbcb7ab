package borg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tresor/orchestrator"
)

// Archive is one that lies in a repository.
type Archive struct {
	Name  string
	ID    string
	Begun time.Time
}

// Stats of an archive, in files and bytes.
type Stats struct {
	Files        int64 `json:"nfiles"`
	Original     int64 `json:"original_size"` // as read
	Compressed   int64 `json:"compressed_size"`
	Deduplicated int64 `json:"deduplicated_size"` // that the repository did not have before
}

// Keep says how many archives prune keeps, the newest of each day, week, month and year. All zero: it is not called.
type Keep struct{ Daily, Weekly, Monthly, Yearly int }

// Check says how a repository is checked after a backup.
type Check string

const (
	CheckNone       Check = ""
	CheckRepository Check = "repository" // structure and checksums of the segments, and that archives are whole
	CheckData       Check = "data"       // all content as well, decrypted and compared with its ids
)

// args begins the arguments of a verb.
func (b *Borg) args(r Repository, verb string, more ...string) []string {
	list := []string{verb, "--log-json", "--lock-wait", strconv.Itoa(int(math.Ceil(b.o.LockWait.Seconds())))}
	if r.RemotePath != "" {
		list = append(list, "--remote-path="+r.RemotePath)
	}
	return append(list, more...)
}

// Init makes a repository. It fails where one is already.
func (b *Borg) Init(ctx context.Context, r Repository) error {
	r.Init = true // to be asked is to be allowed; what is needed for it is looked at
	if err := r.Validate(); err != nil {
		return err
	}
	_, err := b.call(ctx, call{repo: r, step: "init", args: b.args(r, "init", "--encryption="+r.Encryption, "--", r.URL)})
	return err
}

// List returns all archives, those of others and checkpoints of interrupted backups too. Times are in the zone of this process.
func (b *Borg) List(ctx context.Context, r Repository) ([]Archive, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	out, err := b.call(ctx, call{repo: r, step: "list", args: b.args(r, "list", "--json", "--consider-checkpoints", "--", r.URL)})
	if err != nil {
		return nil, err
	}
	list, err := parseList(out.stdout)
	if err != nil {
		return nil, &Error{Repository: r.Name, Step: "list", Code: out.code, Err: err}
	}
	return list, nil
}

func parseList(out []byte) (list []Archive, err error) {
	var doc struct {
		Archives []struct {
			Name  string `json:"name"`
			ID    string `json:"id"`
			Start string `json:"start"`
		} `json:"archives"`
		Repository struct {
			ID string `json:"id"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read the list of archives: %w", err)
	}
	if doc.Repository.ID == "" {
		return nil, errors.New("read the list of archives: it names no repository")
	}
	for _, a := range doc.Archives {
		begun, err := parseTime(a.Start)
		if err != nil {
			return nil, fmt.Errorf("read the list of archives: archive %q: %w", a.Name, err)
		}
		list = append(list, Archive{a.Name, a.ID, begun})
	}
	return list, nil
}

// parseTime reads a time as borg writes it: without a zone it is local time.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	return time.ParseInLocation("2006-01-02T15:04:05.999999999", s, time.Local)
}

// Create makes one archive of the roots, which must exist. Warnings are files that could not be read or changed meanwhile: the archive is there
// without them.
func (b *Borg) Create(ctx context.Context, r Repository, name string, roots []orchestrator.Root, compression string) (s Stats, warnings []string, err error) {
	s, out, err := b.create(ctx, r, name, roots, compression)
	return s, out.warnings, err
}

func (b *Borg) create(ctx context.Context, r Repository, name string, roots []orchestrator.Root, compression string) (s Stats, out outcome, err error) {
	if err := errors.Join(r.Validate(), checkName(name)); err != nil {
		return s, out, err
	}
	p, err := planPaths(roots)
	if err != nil {
		return s, out, err
	}
	args := b.args(r, "create", "--json", "--progress")
	if compression != "" {
		args = append(args, "--compression="+compression)
	}
	if p.oneSystem {
		args = append(args, "--one-file-system")
	}
	for _, e := range p.exclude {
		args = append(args, "--exclude="+e)
	}
	args = append(append(args, "--", r.URL+"::"+braces(name)), p.paths...)
	if out, err = b.call(ctx, call{repo: r, step: "create", args: args, dir: p.dir}); err != nil {
		return s, outcome{}, err
	}
	if s, err = parseStats(out.stdout, name); err != nil {
		return s, outcome{}, &Error{Repository: r.Name, Step: "create", Code: out.code, Err: err}
	}
	return s, out, nil
}

func parseStats(out []byte, name string) (Stats, error) {
	var doc struct {
		Archive struct {
			Name  string `json:"name"`
			Stats Stats  `json:"stats"`
		} `json:"archive"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return Stats{}, fmt.Errorf("read the statistics: %w", err)
	}
	if doc.Archive.Name != name {
		return Stats{}, fmt.Errorf("read the statistics: they are of archive %q, want %q", doc.Archive.Name, name)
	}
	return doc.Archive.Stats, nil
}

// Check checks the whole repository. Whatever it finds is an error: borg's warning means damage here.
func (b *Borg) Check(ctx context.Context, r Repository, how Check) error {
	if err := r.Validate(); err != nil {
		return err
	}
	args := b.args(r, "check", "--progress")
	if how == CheckData {
		args = append(args, "--verify-data")
	}
	out, err := b.call(ctx, call{repo: r, step: "check", args: append(args, "--", r.URL)})
	if err == nil && out.code != 0 {
		err = &Error{Repository: r.Name, Step: "check", Code: out.code, Texts: out.warnings, Err: errors.New("the repository is damaged")}
	}
	return err
}

// Prune removes archives of prefix beyond keep. Other archives are neither removed nor counted.
func (b *Borg) Prune(ctx context.Context, r Repository, prefix string, keep Keep) error {
	if err := errors.Join(r.Validate(), checkPrefix(prefix), keep.validate()); err != nil {
		return err
	}
	args := b.args(r, "prune", "--glob-archives="+glob(prefix))
	for _, k := range []struct {
		flag string
		n    int
	}{{"daily", keep.Daily}, {"weekly", keep.Weekly}, {"monthly", keep.Monthly}, {"yearly", keep.Yearly}} {
		if k.n > 0 {
			args = append(args, fmt.Sprintf("--keep-%s=%d", k.flag, k.n))
		}
	}
	return b.thorough(ctx, call{repo: r, step: "prune", args: append(args, "--", r.URL)})
}

func (k Keep) validate() error {
	if min(k.Daily, k.Weekly, k.Monthly, k.Yearly) < 0 || k == (Keep{}) {
		return fmt.Errorf("what to keep (%d daily, %d weekly, %d monthly, %d yearly): want numbers of which one is more than 0",
			k.Daily, k.Weekly, k.Monthly, k.Yearly)
	}
	return nil
}

// thorough is a call whose warnings are failures.
func (b *Borg) thorough(ctx context.Context, c call) error {
	out, err := b.call(ctx, c)
	if err == nil && out.code != 0 {
		err = &Error{Repository: c.repo.Name, Step: c.step, Code: out.code, Texts: out.warnings, Err: errors.New("it ended with warnings")}
	}
	return err
}

// deleteCheckpoints removes archives that interrupted backups left. The names must be those of checkpoints.
func (b *Borg) deleteCheckpoints(ctx context.Context, r Repository, names []string) error {
	if len(names) == 0 {
		return errors.New("delete archives: none is named, which would mean the repository to borg")
	}
	var literal []string
	for _, n := range names {
		if !regexp.MustCompile(`-\d{14}\.checkpoint(\.\d+)?$`).MatchString(n) {
			return fmt.Errorf("delete archive %q: it is no checkpoint of ours", n)
		}
		literal = append(literal, braces(n))
	}
	args := append(b.args(r, "delete"), "--", r.URL)
	return b.thorough(ctx, call{repo: r, step: "delete", args: append(args, literal...)})
}

// Compact frees the room of what prune removed.
func (b *Borg) Compact(ctx context.Context, r Repository) error {
	if err := r.Validate(); err != nil {
		return err
	}
	return b.thorough(ctx, call{repo: r, step: "compact", args: b.args(r, "compact", "--", r.URL)})
}

// BreakLock takes away the locks of a repository, whoever holds them. Only a person can know that nobody does.
func (b *Borg) BreakLock(ctx context.Context, r Repository) error {
	if err := r.Validate(); err != nil {
		return err
	}
	return b.thorough(ctx, call{repo: r, step: "break-lock", args: b.args(r, "break-lock", "--", r.URL)})
}

// checkPrefix refuses what means something to borg in the name of an archive.
func checkPrefix(prefix string) error {
	if prefix == "" || prefix != strings.TrimSpace(prefix) || strings.ContainsAny(prefix, "/\x00") || strings.Contains(prefix, "::") ||
		strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("prefix of archives %q: want a text without '/', '::', control characters, and blanks at its ends", prefix)
	}
	return nil
}

func checkName(name string) error {
	prefix, _, err := orchestrator.ParseBackupName(name)
	if err != nil {
		return fmt.Errorf("name of an archive: %w", err)
	}
	return checkPrefix(prefix)
}

// braces doubles what would begin and end a placeholder of borg, such as {now}.
func braces(name string) string { return strings.NewReplacer("{", "{{", "}", "}}").Replace(name) }

// glob is a pattern for exactly the archives of prefix: 14 digits behind it, so that dc is not dc-2.
func glob(prefix string) string {
	return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]", "{", "[{{]", "}", "[}}]").Replace(prefix) + "-" + strings.Repeat("[0-9]", 14)
}
