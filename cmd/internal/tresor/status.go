package tresor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/job"
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

func (v *status) Run(ctx context.Context, s Streams, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	st, err := v.get(ctx)
	if err != nil {
		return err
	}
	return v.say(s, st, func(p *printer) { printStatus(p, st) })
}

// get asks the service, or looks at what the last one left.
func (v *status) get(ctx context.Context) (service.Status, error) {
	var st service.Status
	err := v.ask(ctx, "status", nil, &st, nil)
	if cli.CodeOf(err) != cli.ExitNoService {
		return st, err
	}
	return v.offline(ctx)
}

// offline makes a status of the files of the state and of the kernel's mount table.
func (v *status) offline(ctx context.Context) (service.Status, error) {
	c, err := v.settings()
	if err != nil {
		if _, e := loadConfig(v.file); e != nil {
			return service.Status{}, e
		}
		return service.Status{}, err
	}
	now := time.Now()
	state, err := service.LoadState(filepath.Join(c.Paths.State, "service"))
	if err != nil {
		return service.Status{}, err
	}
	a := &app{clock: orchestrator.SystemClock(), cfg: c, logger: quietLogger()}
	sn := &service.Snapshot{Settings: settingsOf(c), Volumes: noVolumes{}}
	for _, m := range c.Machines() {
		sn.Machines = append(sn.Machines, service.Machine{Name: m.Name, Way: service.Way(m.Via)})
	}
	if sn.Times, err = timers(c); err != nil {
		return service.Status{}, err
	}
	if _, err := os.Stat(filepath.Join(c.Paths.State, "volumes")); err == nil { // it would be made
		vs, err := a.newVolumes(c)
		if err != nil {
			return service.Status{}, err
		}
		defer vs.m.Close() // it was looked at only
		sn.Volumes = vs
	}
	return service.StatusOf(ctx, now, state, sn, journal{c}), nil
}

func quietLogger() *logrus.Logger {
	l := logrus.New()
	l.SetLevel(logrus.PanicLevel)
	return l
}

// noVolumes are the disks of a service that never ran.
type noVolumes struct{ service.Volumes }

// Disks implements a part of service.Volumes.
func (noVolumes) Disks(context.Context) ([]service.Disk, error) { return nil, nil }

// journal is the queue as it lies on the disk.
type journal struct{ c *config.Config }

// List tells the jobs.
func (j journal) List() (list []service.Job, err error) {
	jobs, err := job.Peek(filepath.Join(j.c.Paths.State, "jobs"))
	for _, x := range jobs {
		list = append(list, asJob(x))
	}
	return list, err
}

func printStatus(p *printer, st service.Status) {
	switch {
	case !st.Running:
		p.line("The service does not run. This is what it left.")
	case len(st.Paused) > 0:
		p.line("The service runs and is paused:")
	default:
		p.line("The service runs: %s", orWord(st.Now, "idle"))
	}
	for _, l := range st.Paused {
		until := "until somebody resumes it"
		if !l.Until.IsZero() {
			until = "until " + moment(l.Until)
		}
		p.line("  %s since %s, %s%s", l.Owner, moment(l.Since), until, inBrackets(l.Reason))
	}
	if len(st.TakeAway) > 0 {
		p.line("Can be taken away: %s", strings.Join(st.TakeAway, ", "))
	} else {
		p.line("Can be taken away: no disk")
	}
	if st.Next != nil {
		p.line("Next run: %s (%s)", moment(st.Next.Time), st.Next.Name)
	} else {
		p.line("Next run: when somebody asks for it")
	}
	if st.Switch != nil {
		kind := "at once"
		if st.Switch.Soft {
			kind = "when all jobs are done"
		}
		p.line("A switch of the disk is asked for, %s%s", kind, inBrackets(st.Switch.Reason))
	}
	if st.NoSwitch {
		p.line("Switches of the disk are disabled.")
	}
	if st.Trouble != "" {
		p.line("No volume can be used: %s", st.Trouble)
	}
	printDisks(p, st)
	printRound(p, "Running round", st.Round)
	printRound(p, "Last round", st.Last)
	printJobs(p, "Jobs", st.Jobs)
	printJobs(p, "Failed jobs", st.Failed)
	p.line("\nMachines")
	var rows [][]string
	for _, m := range st.Machines {
		good := "no good backup yet"
		if !m.Good.IsZero() {
			good = "good " + moment(m.Good) + ", " + age(m.Age) + " ago"
		}
		if m.Overdue {
			good += " OVERDUE"
		}
		rows = append(rows, []string{m.Name, "via " + string(m.Way), size(m.Bytes), good, m.Error})
	}
	p.table("  ", rows)
	c := st.Counters
	p.line("\nSince the beginning: %d rounds, %d backups (%d failures), %d copies verified (%d mismatches, %d failed jobs), %d switches, %s backed up, %s of it new",
		c.Rounds, c.Backups, c.Failures, c.Published, c.Mismatches, c.JobsFailed, c.Switches, size(c.Bytes), size(c.NewBytes))
	for _, x := range st.Problems {
		p.line("Not known: %s", x)
	}
}

func printDisks(p *printer, st service.Status) {
	if len(st.Disks) == 0 {
		return
	}
	p.line("\nDisks")
	var rows [][]string
	for _, d := range st.Disks {
		use := d.State
		if d.Current {
			use += ", in use"
		}
		if d.Take {
			use += ", can be taken away"
		}
		fill := "never seen"
		if !d.Seen.Seen.IsZero() {
			fill = fmt.Sprintf("%s of %s (%d %%), %d backups", size(d.Seen.Used), size(d.Seen.Total), share(d.Seen.Used, d.Seen.Total), d.Seen.Backups)
		}
		rows = append(rows, []string{d.Name, use, fill, "scrubbed " + moment(d.Seen.Scrub)})
	}
	p.table("  ", rows)
}

func share(part, all int64) int64 {
	if all <= 0 {
		return 0
	}
	return part * 100 / all
}

func printRound(p *printer, title string, r *service.Round) {
	if r == nil {
		return
	}
	p.line("\n%s %s (%s), begun %s", title, r.ID, r.Why, moment(r.Begun))
	var rows [][]string
	for _, m := range r.Machines {
		rows = append(rows, resultRow(m))
	}
	p.table("  ", rows)
}

func resultRow(m service.Result) []string {
	text := m.Text
	for _, t := range m.Targets {
		text += " " + t.Name + ": " + orWord(t.Error, "ok")
	}
	return []string{m.Machine, orWord(string(m.Outcome), "waits"), m.Backup, size(m.Bytes), strings.TrimSpace(text)}
}

func printJobs(p *printer, title string, list []service.Job) {
	if len(list) == 0 {
		return
	}
	p.line("\n%s", title)
	var rows [][]string
	for _, j := range list {
		text := j.Error
		if !j.Ended && !j.After.IsZero() && j.After.After(time.Now()) {
			text += ", again at " + moment(j.After)
		}
		rows = append(rows, []string{j.ID, j.Backup, j.State, "via " + string(j.Way), size(j.Done), text})
	}
	p.table("  ", rows)
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
