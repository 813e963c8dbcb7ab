package tresor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
	"tresor/orchestrator/service"
	"tresor/orchestrator/signal"
)

// front is the folder of the predecessor's signal files. What scripts write there becomes a wish of the loop, and what the loop waits for and wants is to be
// seen there. It never waits for the loop: it looks at both sides whenever one of them has changed, and does what is missing on the other.
type front struct {
	a *app
	s *service.Service
	f *signal.Folder

	mu       sync.Mutex // guards the fields below; files of the folder are written under it, and the loop is asked, which does not wait
	lease    *signal.Lease
	stopping bool
	told     map[string]string           // troubles, by what they are about
	served   map[signal.Name]time.Time   // requests whose files could not be removed: since when the file is there
	volume   string                      // whose mount was looked at
	later    func(func(context.Context)) // does something that takes its time
}

// mark begins the text of files that are ours.
const mark = "tresor"

// owner is under which name the loop knows a signal.
func owner(name signal.Name) string { return bySignal + string(name) }

const bySignal = "signal "

// errStopSignal: the signal stop is there, so nothing is started.
var errStopSignal = errors.New("the signal stop is there: nothing is started until somebody removes it")

// openFront opens the folder, if the configuration has one; else it is nil.
func (a *app) openFront() (*front, error) {
	dir := a.config().Paths.Signals
	if dir == "" {
		return nil, nil
	}
	f, err := signal.Open(signal.Options{Dir: dir, Clock: a.clock})
	if err != nil {
		return nil, err
	}
	if f.Active(signal.Stop) {
		return nil, cli.Exit(cli.ExitBusy, fmt.Errorf("%w: %s", errStopSignal, filepath.Join(dir, string(signal.Stop))))
	}
	return &front{a: a, f: f, told: map[string]string{}, served: map[signal.Name]time.Time{}}, nil
}

// begin brings the loop, which does not run yet, and the folder together, and keeps them so until ctx ends.
func (h *front) begin(ctx context.Context, s *service.Service, running *sync.WaitGroup) {
	h.s, h.later = s, func(fn func(context.Context)) { running.Go(func() { fn(ctx) }) }
	if e, ok := h.f.Get(signal.NoAutoStart); ok {
		h.try("noautostart", s.Pause(owner(signal.NoAutoStart), service.Lease{Rounds: true, Copies: true, Reason: e.Text}))
	}
	h.level()
	running.Go(func() {
		if err := h.f.Run(ctx, h); err != nil && ctx.Err() == nil {
			h.a.logger.Error(err)
		}
	})
	running.Go(func() {
		for {
			event := s.Happens()
			h.level()
			select {
			case <-event:
			case <-ctx.Done():
				return
			}
		}
	})
}

// Signal implements signal.Handler.
func (h *front) Signal(signal.Event) { h.level() }

// Trouble implements signal.Handler.
func (h *front) Trouble(err error) { h.a.logger.Warn(err) }

// level does what is missing on either side.
func (h *front) level() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.try("stop", h.stop())
	h.try("wait", h.wait(h.s.State()))
	h.try("pauses", h.pauses(h.s.State()))
	h.try("donotswitch", h.donotswitch(h.s.State()))
	h.try("switch", h.switches(h.s.State()))
	h.try("reload", h.reload())
	h.try("crcstopS", h.crcstop())
	h.try("skipcrc", h.skipcrc())
}

// try tells a trouble once, and again when it is another. The caller holds mu, or nobody else is there yet.
func (h *front) try(what string, err error) {
	text := ""
	if err != nil && !errors.Is(err, service.ErrBusy) { // what is busy is tried again when it has changed
		text = err.Error()
	}
	if text != "" && h.told[what] != text {
		h.a.logger.Errorf("signal %s: %s", what, text)
	}
	h.told[what] = text
}

func (h *front) stop() error {
	if _, there := h.f.Get(signal.Stop); there && !h.stopping {
		h.stopping = true
		h.s.Stop(false, false)
	}
	return nil
}

// wait is one file for two: the pause that somebody wants, and the one at the end of a round. Who removes it ends both.
func (h *front) wait(st service.State) error {
	e, there := h.f.Get(signal.Wait)
	_, paused := st.Leases[owner(signal.Wait)]
	round, ended := st.Leases[service.RoundOwner]
	var errs []error
	switch {
	case !there && paused:
		_, err := h.s.Resume(owner(signal.Wait))
		errs = append(errs, err)
	case there && !ours(e) && !paused:
		errs = append(errs, h.s.Pause(owner(signal.Wait), service.Lease{Rounds: true, Reason: e.Text}))
	}
	switch {
	case ended && !there && round.Shown:
		_, err := h.s.Resume(service.RoundOwner)
		errs = append(errs, err)
	case ended && !round.Shown:
		err := h.f.Set(signal.Wait, mark+": "+round.Reason) // one that is there already stands for both
		if err == nil {
			err = h.s.Shown(service.RoundOwner, round.Since)
		}
		errs = append(errs, err)
	case !ended && there && ours(e):
		errs = append(errs, h.f.Remove(signal.Wait))
	}
	return errors.Join(errs...)
}

func ours(e signal.Event) bool { return strings.HasPrefix(e.Text, mark) }

// pauses are those of copies. While others have paused them, waita is there for scripts that look for it.
func (h *front) pauses(st service.State) error {
	var errs []error
	for _, name := range []signal.Name{signal.WaitA, signal.AStop, signal.NoAutoStart} {
		e, there := h.f.Get(name)
		there = there && !e.Leased()
		_, paused := st.Leases[owner(name)]
		switch {
		case there && !paused && name != signal.NoAutoStart: // that one is for the next start
			errs = append(errs, h.s.Pause(owner(name), service.Lease{Copies: true, Reason: e.Text}))
		case !there && paused:
			_, err := h.s.Resume(owner(name))
			errs = append(errs, err)
		}
	}
	var err error
	others := false
	for by, l := range st.Leases {
		others = others || l.Copies && !strings.HasPrefix(by, bySignal)
	}
	switch {
	case others && h.lease == nil:
		h.lease, err = h.f.Lease("the service", 0)
	case !others && h.lease != nil:
		err, h.lease = h.lease.Release(), nil
	}
	return errors.Join(append(errs, err)...)
}

func (h *front) donotswitch(st service.State) error {
	e, there := h.f.Get(signal.DoNotSwitch)
	_, forbidden := st.Forbidden[owner(signal.DoNotSwitch)]
	switch {
	case there && !forbidden:
		return h.s.ForbidSwitch(owner(signal.DoNotSwitch), e.Text)
	case !there && forbidden:
		return h.s.PermitSwitch(owner(signal.DoNotSwitch))
	}
	return nil
}

// request is a one-shot signal that was not served yet.
func (h *front) request(name signal.Name) (signal.Event, bool) {
	e, there := h.f.Get(name)
	if since, done := h.served[name]; done && there && e.Since.Equal(since) {
		return e, false
	}
	delete(h.served, name)
	return e, there
}

// switches: a file stays until the disk was changed, or that was tried; who removes it before takes the wish back.
func (h *front) switches(st service.State) error {
	hard, now := h.request(signal.Switch)
	soft, later := h.request(signal.SoftSwitch)
	w := st.Wish
	switch {
	case w == nil && now && !ours(hard), w != nil && w.Soft && w.Begun.IsZero() && now:
		return h.s.Want(service.Wish{Reason: owner(signal.Switch), Shown: true})
	case w == nil && later && !ours(soft):
		return h.s.Want(service.Wish{Soft: true, Reason: owner(signal.SoftSwitch), Shown: true})
	case w == nil && (now || later): // of a wish that a crash or somebody has ended
		return h.consume(signal.Switch, signal.SoftSwitch)
	case w == nil:
		return nil
	case !w.Begun.IsZero():
		if w.Soft && later && !now {
			_, err := h.f.Promote()
			return err
		}
		return nil
	case !w.Shown:
		name := signal.Switch
		if w.Soft {
			name = signal.SoftSwitch
		}
		if err := h.f.Set(name, mark+": "+w.Reason); err != nil {
			return err
		}
		return h.s.Shown("", w.Since)
	case !h.shows(w):
		return h.s.CancelSwitch()
	}
	return nil
}

// shows tells whether a file stands for the wish, be it one that was served and cannot be removed.
func (h *front) shows(w *service.Wish) bool {
	_, hard := h.f.Get(signal.Switch)
	_, soft := h.f.Get(signal.SoftSwitch)
	return hard || w.Soft && soft
}

// wasServed is told that a switch was tried.
func (h *front) wasServed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.try("switch", h.consume(signal.Switch, signal.SoftSwitch))
}

// consume removes the files of requests. People are told of one that cannot be removed: it is not served again as long as the service runs.
func (h *front) consume(names ...signal.Name) error {
	var errs []error
	for _, name := range names {
		if _, there := h.f.Get(name); !there {
			continue
		}
		_, err := h.f.Consume(name)
		if err == nil {
			delete(h.served, name)
			continue
		}
		errs = append(errs, err)
		e, _ := h.f.Get(name)
		h.served[name] = e.Since
		h.tell(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.SignalStuck, Subject: fmt.Sprintf("the signal %s cannot be removed", name), Body: err.Error() + "\n",
			Advice: "Remove the file by hand. It was served, and is not served again before the next start of the service."})
	}
	return errors.Join(errs...)
}

// tell tells people of a failure.
func (h *front) tell(e orchestrator.Event) {
	e.Time = h.a.clock.Now().UTC()
	if err := h.a.tell.Notify(e); err != nil {
		h.a.logger.Error(err)
	}
}

// reload is acknowledged before it is done, so that a later request is not lost.
func (h *front) reload() error {
	if _, there := h.request(signal.Reload); !there {
		return nil
	}
	err := h.consume(signal.Reload)
	h.later(func(ctx context.Context) {
		if err := h.reloaded(ctx); err != nil {
			h.a.logger.Errorf("signal %s: %v; the old configuration stays in use", signal.Reload, err)
			if ctx.Err() == nil {
				h.tell(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.StepFailed, Subject: "the configuration was not read again: the old one stays in use", Body: err.Error() + "\n",
					Advice: "`tresor config check` says more; then `tresor reload`, or the signal again."})
			}
			return
		}
		h.a.logger.Info("signal reload: the configuration was read again")
	})
	return err
}

// reloaded waits for a reload that is under way, which may have read an older file, and has it read again.
func (h *front) reloaded(ctx context.Context) error {
	for {
		event := h.s.Happens()
		err := h.s.Reload(ctx)
		if !errors.Is(err, service.ErrBusy) {
			return err
		}
		select {
		case <-event:
		case <-ctx.Done():
			return err
		}
	}
}

func (h *front) crcstop() error {
	if _, there := h.request(signal.CRCStopS); !there {
		return nil
	}
	err := h.consume(signal.CRCStopS)
	h.a.again.stop()
	return err
}

// noCheck tells whether a volume that was closed cleanly is not checked at a switch.
func (h *front) noCheck() bool {
	if h == nil {
		return false
	}
	_, there := h.f.Get(signal.DoNotCheck)
	return there
}

// nfs is what the predecessor writes into a skipcrc that stands for a volume on NFS, and not for somebody's wish.
const nfs = "NFSUNDERLAYING"

// skipcrc hands on what the signals say about verification. After each mount it makes the file that the predecessor's scripts look for where the volume lies on
// NFS, or removes it where that is over; one that somebody has made by hand stays.
func (h *front) skipcrc() error {
	skip, there := h.f.Get(signal.SkipCRC)
	_, no := h.f.Get(signal.NoSkipCRC)
	h.a.mu.Lock()
	h.a.skips.set(signal.Event{Name: signal.SkipCRC, Active: there, Text: skip.Text})
	h.a.skips.set(signal.Event{Name: signal.NoSkipCRC, Active: no})
	h.a.mu.Unlock()
	v := h.s.InUse()
	if v.Store == nil || v.ID == h.volume {
		return nil
	}
	c := h.a.config()
	known := c.Volume(v.Name)
	auto := known != nil && known.SkipVerify == nil && known.SkipsVerify() && !no
	if auto {
		marked, err := signal.Present(filepath.Join(v.Store.Root(), c.Paths.VolumeSubdir), signal.NoSkipCRC)
		if err != nil {
			return err
		}
		auto = !marked
	}
	h.volume = v.ID
	switch {
	case auto && !there:
		return h.f.Set(signal.SkipCRC, nfs)
	case !auto && there && strings.Contains(skip.Text, "NFS"):
		return h.f.Remove(signal.SkipCRC)
	}
	return nil
}

// resume ends all pauses, those of files too.
func (h *front) resume() ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, name := range []signal.Name{signal.Wait, signal.WaitA, signal.AStop, signal.NoAutoStart} {
		if e, there := h.f.Get(name); there && !e.Leased() {
			errs = append(errs, h.f.Remove(name))
		}
	}
	owners, err := h.s.ResumeAll()
	return owners, errors.Join(append(errs, err)...)
}

// cancel takes the wish for a switch back, that of a file too.
func (h *front) cancel() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.s.CancelSwitch(); err != nil || h.s.State().Wish != nil {
		return err
	}
	return h.consume(signal.Switch, signal.SoftSwitch)
}
