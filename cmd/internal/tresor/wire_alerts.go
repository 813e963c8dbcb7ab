package tresor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/schedule"
	"tresor/orchestrator/service"
	"tresor/orchestrator/verify"
)

// watched is the part of a service that is looked at.
type watched interface {
	State() service.State
	Jobs() ([]service.Job, error)
	Doing() string
	Trouble() string
}

// lookEvery is how often the watchman looks.
const lookEvery = 5 * time.Minute

// watchman tells of what does not happen: backups of a machine, scrubs of a volume, anything at all. He is not part of the loop, so that he sees the loop hang.
type watchman struct {
	a      *app
	s      watched
	moved  func() int64
	alerts *schedule.Alerts
	pulse  pulse
	dead   atomic.Pointer[string] // why the service manager shall start us anew; nil: nothing
}

// hung is an error when nothing has moved for twice as long as it takes for people to be told, and what is being done does not wait for anything either: then
// the watchdog is no longer fed. What was begun goes on when the service is started anew.
func (w *watchman) hung() error {
	if why := w.dead.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

func newWatchman(a *app, s watched) *watchman {
	alerts, err := schedule.OpenAlerts(filepath.Join(a.config().Paths.State, "alerts.json"))
	if err != nil {
		a.logger.Warn(err)
	}
	return &watchman{a: a, s: s, moved: moved, alerts: alerts}
}

// run looks until ctx ends.
func (w *watchman) run(ctx context.Context) {
	for w.a.clock.Sleep(ctx, lookEvery) == nil { // its only error is the end of ctx
		w.look()
	}
}

// look tells what is to be told now.
func (w *watchman) look() {
	c, st, now := w.a.config(), w.s.State(), w.a.clock.Now()
	list := append(overdueMachines(c, &st), overdueScrubs(now, c, &st)...)
	list = append(list, w.stalled(now, c, &st))
	if err := w.alerts.Tell(now, list, w.a.tell.Notify); err != nil {
		w.a.logger.Error(err)
	}
}

func overdueMachines(c *config.Config, st *service.State) (list []schedule.Watch) {
	for _, m := range c.Machines() {
		mem := st.Machines[m.Name]
		watch := schedule.Watch{Kind: orchestrator.Overdue, Machine: m.Name, Limit: c.Backup.Overdue, Last: mem.Good, Since: mem.Seen, Key: "backup.overdue"}
		if mem.Error != "" {
			watch.Detail = "The last try: " + mem.Error
		}
		for owner, l := range st.Leases {
			if l.Rounds && owner != "round" {
				watch.Detail = strings.TrimSpace(watch.Detail + "\nRounds are paused by " + owner + " since " + l.Since.Format(time.RFC3339) + " " + l.Reason)
			}
		}
		list = append(list, watch)
	}
	return list
}

// scrubStates are the volumes that were seen at least once, by what was seen then.
func scrubStates(c *config.Config, st *service.State, mounted string) (list []verify.ScrubState) {
	for _, v := range c.Volumes {
		if note, ok := st.Volumes[v.Name]; ok {
			known := note.First
			if known.IsZero() {
				known = note.Seen
			}
			list = append(list, verify.ScrubState{Volume: v.Name, Mounted: v.Name == mounted, Scrubbed: note.Scrub, Known: known})
		}
	}
	return list
}

func overdueScrubs(now time.Time, c *config.Config, st *service.State) (list []schedule.Watch) {
	mounted := ""
	if st.Switched != nil {
		mounted = st.Switched.To
	}
	states := scrubStates(c, st, mounted)
	_, late := verify.PlanScrubs(now, scrubPolicy(c), states)
	for _, v := range states {
		watch := schedule.Watch{Kind: orchestrator.ScrubOverdue, Volume: v.Volume, Limit: c.Verify.ScrubAlert, Last: v.Scrubbed, Since: v.Known, Key: "verify.scrub_alert"}
		for _, l := range late {
			if l.Volume == v.Volume && !l.Mounted {
				watch.Detail = "It is not in use now."
			}
		}
		if len(c.Verify.Scrub) == 0 {
			watch.Detail = strings.TrimSpace(watch.Detail + "\nNo scrub is planned: verify.scrub is empty.")
		}
		list = append(list, watch)
	}
	return list
}

func scrubPolicy(c *config.Config) verify.ScrubPolicy {
	return verify.ScrubPolicy{Every: c.Verify.ScrubEvery, Night: c.Verify.ScrubLimit, Alert: c.Verify.ScrubAlert}
}

// scrubDue tells whether a planned scrub has anything to do on a volume: with verify.scrub_every not while its last one is younger.
func scrubDue(c *config.Config) func(now time.Time, volume string, note service.VolumeNote) bool {
	return func(now time.Time, volume string, note service.VolumeNote) bool {
		if c.Verify.ScrubEvery <= 0 {
			return true
		}
		st := service.State{Volumes: map[string]service.VolumeNote{volume: note}}
		tonight, _ := verify.PlanScrubs(now, scrubPolicy(c), scrubStates(c, &st, volume))
		return len(tonight) > 0
	}
}

// pulse is the last sign of life of what is being done.
type pulse struct {
	doing string
	done  string // what the copies have done
	bytes int64  // that this process, those it has started, and the daemons of volumes have read and written
	at    time.Time
}

// beat is how many bytes between two looks are a sign of life: the looks themselves move some as well.
const beat = 4 << 20

// toWait tells whether somebody has told the service to wait. The pause after a round is none: copies go on in it, and it is there most of the time.
func toWait(leases map[string]service.Lease) bool {
	for owner := range leases {
		if owner != service.RoundOwner {
			return true
		}
	}
	return false
}

// stalled watches what is being done. Who waits for nothing, or was told to wait, does not hang.
func (w *watchman) stalled(now time.Time, c *config.Config, st *service.State) schedule.Watch {
	p := pulse{doing: w.s.Doing(), bytes: w.moved(), at: now}
	jobs, err := w.s.Jobs()
	if err != nil {
		p.done = err.Error()
	}
	for _, j := range jobs {
		if !j.Ended {
			p.done += fmt.Sprintf("%s %s %d\n", j.ID, j.State, j.Done)
		}
	}
	delta := p.bytes - w.pulse.bytes
	alive := p.doing == "idle" || toWait(st.Leases) || p.doing != w.pulse.doing || p.done != w.pulse.done || delta >= beat || delta <= -beat
	if !alive && now.After(w.pulse.at) {
		p.at = w.pulse.at
	}
	w.pulse = p
	w.dead.Store(nil)
	if limit := 2 * c.Backup.Stalled; limit > 0 && now.Sub(p.at) > limit && w.s.Trouble() == "" && !strings.Contains(p.doing, " waits: ") {
		why := "nothing moves since " + p.at.Format(time.RFC3339) + ": " + p.doing
		w.dead.Store(&why)
	}
	return schedule.Watch{Kind: orchestrator.Stalled, Limit: c.Backup.Stalled, Last: p.at, Key: "backup.stalled", Detail: "What is being done: " + p.doing + "."}
}
