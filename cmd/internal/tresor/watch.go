package tresor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/index/progress"
	"tresor/orchestrator/job"
	"tresor/orchestrator/service"
)

// going is what is being done.
type going struct {
	Now    string `json:"now,omitempty"`    // in one line
	Paused string `json:"paused,omitempty"` // who keeps it waiting
	Backup string `json:"backup,omitempty"` // that is being worked off
	State  string `json:"state,omitempty"`  // of its job
	Done   int64  `json:"done"`             // bytes copied
	Total  int64  `json:"total"`            // bytes that its machine had last; 0: it was never backed up
}

// told is a message on the way of a run.
type told struct {
	Result *service.Result `json:"result,omitempty"`
	Going  *going          `json:"going,omitempty"`
}

// poll is how often an operation looks whether what it waits for has come, glances how many of these looks make one at the jobs.
const (
	poll    = 200 * time.Millisecond
	glances = 5
)

// watch tells what happens in rounds after the one named, until it is over or ctx ends.
func watch(ctx context.Context, s *service.Service, before string, tell func(told), over func(service.State) bool) error {
	known := map[string]bool{}
	results := func(r *service.Round) {
		if r == nil || r.ID == before {
			return
		}
		for _, m := range r.Machines {
			if key := r.ID + " " + m.Machine; m.Outcome != service.Waiting && m.Outcome != service.Begun && !known[key] {
				known[key] = true
				tell(told{Result: &m})
			}
		}
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for n := 0; ; n++ {
		st := s.State()
		results(st.Round)
		results(st.LastRound)
		if over(st) {
			return nil
		}
		if n%glances == 0 { // also where nothing has changed: whoever shows it says how long that takes
			g := goingOn(s, st)
			tell(told{Going: &g})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// goingOn is what is being done just now.
func goingOn(s *service.Service, st service.State) going {
	g := going{Now: s.Doing()}
	for _, owner := range slices.Sorted(maps.Keys(st.Leases)) {
		if l := st.Leases[owner]; l.Copies || l.Rounds && st.Round != nil {
			g.Paused = owner
		}
	}
	list, err := s.Jobs()
	if err != nil {
		return g // the loop says so in its log
	}
	for _, j := range list {
		if j.Running {
			g.Backup, g.State, g.Done, g.Total = j.Backup, j.State, j.Done, st.Machines[j.Machine].Bytes
		}
	}
	return g
}

// watcher shows a person what a run does: results as lines, what is being done as one line that is rewritten, where there is no terminal as a line now
// and then.
type watcher struct {
	p     *cli.Progress
	quiet bool // for programs: nothing but what goes wrong
}

// Pauses between two lines of what is being done.
const (
	paceOnTerminal = 900 * time.Millisecond
	paceElsewhere  = 30 * time.Second
)

func newWatcher(s Streams, quiet bool) *watcher {
	pace := paceElsewhere
	if cli.Width(s.Err) > 0 {
		pace = paceOnTerminal
	}
	return &watcher{cli.NewProgressFor(s.Err, program, "run", pace), quiet}
}

func (w *watcher) close() { w.p.Done() }

// message takes what a service sends. What is not understood comes from a newer one, and is not shown.
func (w *watcher) message(raw json.RawMessage) {
	var t told
	if json.Unmarshal(raw, &t) == nil {
		w.told(t)
	}
}

func (w *watcher) told(t told) {
	if w.quiet {
		return
	}
	if r := t.Result; r != nil {
		text := string(r.Outcome)
		if r.Bytes > 0 {
			text += ", " + size(r.Bytes)
		}
		if r.Text != "" {
			text += ": " + brief(r.Text)
		}
		w.note(r.Machine + ": " + text)
	}
	g := t.Going
	switch {
	case g == nil:
	case g.Paused != "":
		w.p.Say("paused by %s", shown(g.Paused))
	case g.Backup != "" && g.State == string(job.Copying):
		stage := progress.Stage{Name: "copy of " + shown(g.Backup), Unit: progress.Bytes, Done: uint64(max(g.Done, 0))}
		if g.Total >= g.Done { // what the machine had last: about what it has
			stage.Total = uint64(g.Total)
		}
		w.p.Stage(stage)
	case g.Backup != "":
		w.p.Say("%s: %s", shown(g.Backup), shown(g.State))
	case g.Now != "":
		w.p.Say("%s", shown(strings.TrimSpace(g.Now)))
	}
}

// note writes a line that stays.
func (w *watcher) note(text string) {
	if !w.quiet {
		fmt.Fprintf(w.p, "%s run: %s\n", program, shown(text))
	}
}
