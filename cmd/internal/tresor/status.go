package tresor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/instance"
	"tresor/orchestrator/service"
)

func statusVerb() *Verb {
	return &Verb{
		Name: "status", Args: "[--json]",
		Short: "Tells how things are: what runs, what comes next, which disk can be taken away. Changes nothing, and works without the service too.",
		Codes: []cli.Meaning{{Code: cli.ExitOK, Text: "told"}, {Code: cli.ExitFailure, Text: "it could not be found out"}, {Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitInterrupted, Text: "interrupted"}, {Code: cli.ExitConfig, Text: "no service answers, and the configuration is wrong or missing"}},
		new: func() runner { return new(status) },
	}
}

type status struct{ client }

// page is a status, and whose it is.
type page struct {
	service.Status
	Holder *instance.Owner `json:"holder,omitempty"` // the process that works with the state, and does not answer
	note   string
}

func (v *status) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	var pg page
	o, err := v.orOffline(ctx, "status", nil, &pg.Status, func(o *offline) (err error) {
		pg.Status, err = o.status(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if o != nil {
		pg.Holder, pg.note = o.holder, o.note
		pg.Interrupted = pg.Interrupted && o.holder == nil // who holds the lock may work on it
	}
	return v.say(s, pg, func(p *printer) { printStatus(p, pg) })
}

func printStatus(p *printer, st page) {
	switch {
	case !st.Running:
		p.wrapped("", orWord(st.note, "No service runs."))
	case len(st.Paused) > 0:
		p.line("The service runs and is paused:")
	default:
		p.wrapped("", "The service runs: "+orWord(st.Now, "idle"))
	}
	if st.Interrupted {
		p.wrapped("", "The last run was interrupted: it was stopped or killed, or the machine went down. Nothing is lost by that; `tresor serve` or `tresor run` goes on with it, copies in the middle of a file.")
	}
	for _, l := range st.Paused {
		until := "until somebody resumes it"
		if !l.Until.IsZero() {
			until = "until " + moment(l.Until)
		}
		p.wrapped("  ", fmt.Sprintf("paused by %s since %s, %s%s", l.Owner, moment(l.Since), until, inBrackets(l.Reason)))
	}
	p.wrapped("", "Can be taken away: "+orWord(strings.Join(st.TakeAway, ", "), "no disk"))
	p.wrapped("", "Next run: "+nextRun(st))
	if st.Switch != nil {
		kind := "at once"
		if st.Switch.Soft {
			kind = "when all jobs are done"
		}
		p.wrapped("", fmt.Sprintf("A switch of the disk is asked for, %s%s", kind, inBrackets(brief(st.Switch.Reason))))
	}
	if st.NoSwitch {
		text := "Switches of the disk are disabled"
		for _, owner := range slices.Sorted(maps.Keys(st.ForbiddenBy)) {
			text += ", by " + owner + inBrackets(brief(st.ForbiddenBy[owner]))
		}
		p.wrapped("", text+".")
	}
	if st.Trouble != "" {
		p.wrapped("", "No volume can be used: "+brief(st.Trouble))
		p.hint(st.Trouble)
	}
	printDisks(p, st.Status)
	title := "Running round"
	if !st.Running {
		title = "Round that is not over"
	}
	printRound(p, title, st.Round, !st.Interrupted)
	printRound(p, "Last round", st.Last, true)
	printJobs(p, "Jobs", st.Jobs, st.Running || st.Holder != nil)
	printJobs(p, "Failed jobs", st.Failed, true)
	printMachines(p, st.Status)
	for _, x := range st.Problems {
		p.wrapped("", "Not known: "+brief(x))
	}
}

// nextRun is when the next round begins by itself.
func nextRun(st page) string {
	due := st.Next
	switch {
	case st.Round != nil && st.Running:
		return "one is under way"
	case st.Round != nil:
		return "as soon as a service runs"
	case due == nil && st.Running:
		return "when somebody asks for it (tresor run)"
	case due == nil:
		return "when a service runs and somebody asks for it, or by `tresor run`"
	case !due.Time.After(st.Time) && st.Running:
		return "now" + inBrackets(due.Name)
	case !due.Time.After(st.Time):
		return "as soon as a service runs"
	case st.Running:
		return moment(due.Time) + inBrackets(due.Name)
	}
	return moment(due.Time) + inBrackets(due.Name) + ", if a service runs then"
}

func printMachines(p *printer, st service.Status) {
	p.line("\nMachines")
	var rows []row
	for _, m := range st.Machines {
		good := "no good backup yet"
		if !m.Good.IsZero() {
			good = "good " + moment(m.Good) + ", " + age(m.Age) + " ago"
		}
		if m.Overdue {
			good += " OVERDUE"
		}
		r := row{cells: []string{m.Name, "via " + string(m.Way), size(m.Bytes), good}}
		if m.Error != "" {
			r.notes = []string{"last try: " + brief(m.Error)}
		}
		rows = append(rows, r)
	}
	p.table("  ", rows)
	printTrends(p, st.Machines)
	c := st.Counters
	p.line("")
	p.wrapped("", fmt.Sprintf("Since the beginning: %s, %s (%s), %s verified (%s, %s), %s.", countOf(int(c.Rounds), "round"), countOf(int(c.Backups), "backup"), countOf(int(c.Failures), "failure"),
		countOf(int(c.Published), "copy"), countOf(int(c.Mismatches), "mismatch"), countOf(int(c.JobsFailed), "failed job"), countOf(int(c.Switches), "switch")))
	p.wrapped("", fmt.Sprintf("Read from the machines: %s; of it %s new (in whole blocks %s).", size(c.Bytes), size(c.NewData), size(c.NewBytes)))
}

func printDisks(p *printer, st service.Status) {
	if len(st.Disks) == 0 {
		return
	}
	p.line("\nDisks")
	var rows []row
	for _, d := range st.Disks {
		use := d.State
		if d.Current {
			use += ", in use"
		}
		if d.Take {
			use += ", can be taken away"
		}
		fill := "nothing is known of its content yet"
		if !d.Seen.Seen.IsZero() {
			fill = fmt.Sprintf("%s of %s (%d %%), %s", size(d.Seen.Used), size(d.Seen.Total), share(d.Seen.Used, d.Seen.Total), countOf(d.Seen.Backups, "backup"))
		}
		r := row{cells: []string{d.Name, use, fill}}
		if !d.Seen.Seen.IsZero() {
			r.notes = append(r.notes, "last complete scrub: "+moment(d.Seen.Scrub)+"; seen "+moment(d.Seen.Seen))
		}
		if d.Note != "" {
			r.notes = append(r.notes, brief(d.Note))
		}
		rows = append(rows, r)
	}
	p.table("  ", rows)
}

func share(part, all int64) int64 {
	if all <= 0 {
		return 0
	}
	return part * 100 / all
}

// printRound: live says that somebody works on it, if it has not ended.
func printRound(p *printer, title string, r *service.Round, live bool) {
	if r == nil {
		return
	}
	p.line("\n%s %s (%s), begun %s", title, r.ID, r.Why, moment(r.Begun))
	var rows []row
	for _, m := range r.Machines {
		rows = append(rows, resultRow(m, live))
	}
	p.table("  ", rows)
}

func resultRow(m service.Result, live bool) row {
	outcome := orWord(string(m.Outcome), "waits")
	if m.Outcome == service.Begun && !live {
		outcome = "interrupted"
	}
	bytes := ""
	if m.Bytes > 0 {
		bytes = size(m.Bytes)
	}
	r := row{cells: []string{m.Machine, outcome, m.Backup, bytes}}
	if m.Text != "" {
		r.notes = append(r.notes, brief(m.Text))
	}
	if advice := adviceFor(m.Text); m.Outcome == service.Failed && advice != "" {
		r.notes = append(r.notes, "hint: "+advice)
	}
	for _, t := range m.Targets {
		r.notes = append(r.notes, t.Name+": "+orWord(brief(t.Error), "ok"))
	}
	return r
}

// printJobs: live says that somebody works on them.
func printJobs(p *printer, title string, list []service.Job, live bool) {
	if len(list) == 0 {
		return
	}
	p.line("\n%s", title)
	var rows []row
	for _, j := range list {
		rows = append(rows, jobRow(j, live))
	}
	p.table("  ", rows)
}

func jobRow(j service.Job, live bool) row {
	state, bytes := j.State, j.Done
	switch {
	case j.Ended || j.Running:
	case j.Error != "":
		state += " (waits)"
	case !live && j.State != "queued":
		state += " (interrupted)"
	}
	if j.Bytes > 0 {
		bytes = j.Bytes
	}
	r := row{cells: []string{j.ID, j.Backup, state, size(bytes)}}
	if j.Error != "" && !j.Published {
		text := brief(j.Error)
		if j.Attempts > 0 {
			text = fmt.Sprintf("attempt %d: %s", j.Attempts, text)
		}
		r.notes = append(r.notes, text)
	}
	switch {
	case j.Ended && !j.Published && !j.Dropped:
		r.notes = append(r.notes, "it is not tried any more: `tresor jobs retry` begins again, `tresor jobs drop` gives it up")
	case !j.Ended && live && j.After.After(time.Now()):
		r.notes = append(r.notes, "next attempt at "+moment(j.After)+"; `tresor jobs retry` begins it now")
	case !j.Ended && j.After.After(time.Now()):
		r.notes = append(r.notes, "next attempt not before "+moment(j.After)+", when a service runs, or by `tresor run` at once")
	}
	if advice := adviceFor(j.Error); advice != "" && !j.Published {
		r.notes = append(r.notes, "hint: "+advice)
	}
	return r
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
