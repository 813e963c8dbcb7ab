package tresor

import (
	"fmt"
	"path/filepath"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/job"
	"tresor/orchestrator/runlog"
	"tresor/orchestrator/service"
)

// trends keeps what the backups of each machine took and gave. That a number cannot be kept is logged, and hinders nobody.
type trends struct {
	a *app
	c *runlog.Counters
}

func countersOf(c *config.Config) *runlog.Counters {
	return runlog.NewCounters(filepath.Join(c.Paths.State, "trends"))
}

func newTrends(a *app, c *config.Config) *trends { return &trends{a, countersOf(c)} }

// round notes the results of a round. Those of machines that go over the buffer are completed when their jobs end.
func (t *trends) round(r *service.Round) {
	for _, m := range r.Machines {
		s := runlog.Sample{Run: r.ID, Backup: m.Backup, Begun: m.Begun, Took: m.Ended.Sub(m.Begun), Read: m.Bytes, New: m.NewData, Written: m.New}
		switch m.Outcome {
		case service.Good:
			s.Result = runlog.OK
		case service.Partial:
			s.Result = runlog.Partial
		case service.Failed:
			s.Result = runlog.Failed
		default: // it had no turn
			continue
		}
		if j, err := t.a.queue.Get(m.Backup); err == nil && m.Backup != "" && j.State.Ended() {
			complete(&s, j)
		}
		t.noted(t.c.Add(m.Machine, s))
	}
}

// job completes the sample of a backup by what its copy has shown.
func (t *trends) job(j job.Job) {
	if j.State.Ended() {
		t.noted(t.c.Change(j.Machine, j.Backup, func(s *runlog.Sample) { complete(s, j) }))
	}
}

func complete(s *runlog.Sample, j job.Job) {
	s.Verdict = string(j.Result.Verdict)
	if j.State != job.Published {
		s.Result = runlog.Failed
		return
	}
	s.Read, s.New, s.Written, s.Files = j.Result.Bytes, j.Result.NewData, j.Result.NewBytes, int(j.Result.Files)
	s.Result = runlog.OK
	if len(j.Result.Partial) > 0 {
		s.Result = runlog.Partial
	}
	if j.Result.Verdict == orchestrator.Verified {
		s.Checked = j.Checked.Compared
	}
}

// catchUp completes what a crash has left.
func (t *trends) catchUp() {
	for _, j := range t.a.queue.List() {
		t.job(j)
	}
}

// verified notes that a backup was proved again, or was not.
func (t *trends) verified(backup string, v orchestrator.Verification) {
	machine, _, err := orchestrator.ParseBackupName(backup)
	if err == nil {
		err = t.c.Change(machine, backup, func(s *runlog.Sample) {
			s.Verdict = string(v.Verdict)
			if v.Verdict == orchestrator.Verified {
				s.Checked = v.Compared
			} else {
				s.Checked = time.Time{}
			}
		})
	}
	t.noted(err)
}

func (t *trends) noted(err error) {
	if err != nil {
		t.a.logger.Warn(err)
	}
}

// trendOf is what a status and a report say of a machine; nil: nothing is known.
func trendOf(c *runlog.Counters, clock orchestrator.Clock) func(machine string) (*service.Trend, error) {
	return func(machine string) (*service.Trend, error) {
		t, err := c.Get(machine)
		last, ok := t.LastGood()
		if err != nil || t.Runs == 0 {
			return nil, err
		}
		out := &service.Trend{Backups: t.Runs, Failed: t.Failed, Usual: t.Usual(), Ratio: t.Ratio(), Verified: t.Verified()}
		if ok {
			out.Took, out.Read, out.New, out.Written = last.Took, last.Read, last.New, last.Written
		}
		if !out.Verified.IsZero() {
			out.VerifiedAge = clock.Now().Sub(out.Verified)
		}
		return out, nil
	}
}

// printTrends is the part of a status about them.
func printTrends(p *printer, list []service.MachineStatus) {
	var rows []row
	for _, m := range list {
		t := m.Trend
		if t == nil {
			continue
		}
		took := "took " + t.Took.Round(time.Second).String()
		if t.Usual > 0 {
			took += " (usually " + t.Usual.Round(time.Second).String() + ")"
		}
		verified := "never verified"
		if !t.Verified.IsZero() {
			verified = "verified " + age(t.VerifiedAge) + " ago"
		}
		rows = append(rows, row{cells: []string{m.Name, countOf(t.Backups, "backup") + fmt.Sprintf(" (%d failed)", t.Failed), took},
			notes: []string{fmt.Sprintf("last: %s read, %s new (in whole blocks %s); read to new over all: %s; %s", size(t.Read), size(t.New), size(t.Written), t.RatioText(), verified)}})
	}
	if len(rows) > 0 {
		p.line("\nTrends")
		p.table("  ", rows)
	}
}
