package tresor

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"tresor/orchestrator"
	"tresor/orchestrator/runlog"
)

// keepJobs is how long ended jobs are remembered.
const keepJobs = 30 * 24 * time.Hour

// runs writes what the loop says to the log, and to those of the runs.
type runs struct {
	a    *app
	mu   sync.Mutex // guards open; the logs are opened and closed under it
	open map[string]*runlog.Run
}

// BeginRun implements service.Log.
func (r *runs) BeginRun(id, title string) {
	r.begin(id, title)
	r.a.logger.WithField(runlog.Field, id).Info(title)
	if err := r.a.tell.Notify(startedEvent(id, title)); err != nil {
		r.a.logger.Warn(err)
	}
}

// goOn opens the log of a round that an earlier process has begun, so that what it does from now on is in it.
func (r *runs) goOn(id string) { r.begin(id, "the round goes on after a restart") }

func (r *runs) begin(id, title string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[id] != nil {
		return
	}
	run, err := r.a.logs.Begin(id, title)
	if err != nil {
		r.a.logger.Error(err)
		return
	}
	if r.open == nil {
		r.open = map[string]*runlog.Run{}
	}
	r.open[id] = run
}

// current is the run that goes on; empty: none does.
func (r *runs) current() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.open {
		return id
	}
	return ""
}

// EndRun implements service.Log. It keeps no more logs than the configuration wants, and those that messages wait for.
func (r *runs) EndRun(id string, ok bool) {
	result := runlog.OK
	if !ok {
		result = runlog.Failed
	}
	r.begin(id, "the end of a round that was interrupted") // nothing, if it is open
	r.mu.Lock()
	run := r.open[id]
	delete(r.open, id)
	r.mu.Unlock()
	if run != nil {
		if err := run.End(result); err != nil {
			r.a.logger.Error(err)
		}
	}
	if round := r.a.round(); round != nil && round.ID == id {
		r.a.trends.round(round)
	}
	if err := r.a.forgetJobs(); err != nil {
		r.a.logger.Warn(err)
	}
	c := r.a.config().Log
	limits := runlog.Limits{Runs: c.KeepRuns, Age: time.Duration(c.MaxAgeDays) * 24 * time.Hour, Bytes: c.MaxSize}
	if _, err := r.a.logs.Collect(limits, r.a.tell.runs()); err != nil {
		r.a.logger.Warn(err)
	}
}

// Say implements service.Log. Whatever happens during a round belongs to its log.
func (r *runs) Say(s orchestrator.Severity, run, text string) {
	e := logrus.NewEntry(r.a.logger)
	if run == "" {
		run = r.current()
	}
	if run != "" {
		e = e.WithField(runlog.Field, run)
	}
	switch s {
	case orchestrator.Failure:
		e.Error(text)
	case orchestrator.Warning:
		e.Warn(text)
	default:
		e.Info(text)
	}
}
