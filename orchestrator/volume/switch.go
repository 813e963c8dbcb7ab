package volume

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// SwitchOptions of one switch.
type SwitchOptions struct {
	To   string // the volume that is wanted, and no other but the one before; "": the next of the rotation
	Soft bool   // first wait until the queue is empty
	Now  bool   // interrupt jobs that are under way instead of waiting for their end
	// Disabled: donotswitch. The report is made, and nothing else happens.
	Disabled bool
	// NoCheck: donotcheck. A volume that was closed cleanly is not checked.
	NoCheck bool
	// Report is called once the jobs rest, with the volume that is still mounted: retention, numbers. Its error is a warning. nil: nothing.
	Report func(ctx context.Context, cur *Current) error
}

// Switched is what a switch did; every field says what is so now, not what was wanted.
type Switched struct {
	From     string   // the volume before, "" for none
	Now      *Current // the volume that is mounted now; nil: none
	Disabled bool     // not switched, because that was switched off
	// Back: no other volume could be used, and the one before is mounted again.
	Back      bool
	Failures  []Failure // volumes that could not be used
	Warnings  []string
	Ejectable []string // disks that can be taken away
	Kept      []string // connected disks that cannot, "NAME: why"
}

// Failure is a volume that could not be used.
type Failure struct {
	Name string
	Err  error
}

// Changed tells whether another volume is in use than before, or the same one after its turn.
func (s *Switched) Changed() bool { return s.Now != nil && !s.Disabled && !s.Back }

// String says in one sentence what happened.
func (s *Switched) String() string {
	from := s.From
	if from == "" {
		from = "no volume"
	}
	switch {
	case s.Disabled:
		return "not switched (disabled); " + from + " stays in use"
	case s.Now == nil:
		return "no volume is mounted now; " + from + " was unmounted, and nothing could be mounted"
	case s.Back && s.Failures == nil:
		return "not switched; " + from + " is still mounted"
	case s.Back:
		return "not switched; no other volume could be used, and " + from + " is mounted again"
	case s.Now.Name == s.From:
		return from + " was closed and is in use again; there is no other volume"
	}
	return "switched from " + from + " to " + s.Now.Name
}

// Switch gives the current volume back and mounts the next one. The error says that the volume before could not be given back, and is still in use, or that
// no volume is mounted now; Switched is right in any case. Jobs go on when it returns. Where ctx ends before it is done the error is of the class ErrGoesOn, and
// Switched says how things are at that moment. One that Unmount cuts off leaves no volume mounted.
func (m *Manager) Switch(ctx context.Context, o SwitchOptions) (s Switched, err error) {
	if err := m.allowed(o.To); err != nil {
		return m.unswitched(err)
	}
	if o.Soft && m.o.Jobs != nil && !o.Disabled {
		ctx, end := within(ctx, m.o.Deadlines.Idle, "wait for the queue")
		err := m.o.Jobs.Idle(ctx)
		end()
		if err != nil {
			return m.unswitched(err)
		}
	}
	s, err = own(ctx, m, "switch", func(ctx context.Context) (Switched, error) { return m.turnOver(ctx, o) })
	if errors.Is(err, ErrGoesOn) || errors.Is(err, errTurn) {
		return m.unswitched(err)
	}
	return s, err
}

// turnOver is a switch in its turn.
func (m *Manager) turnOver(ctx context.Context, o SwitchOptions) (s Switched, err error) {
	cur := m.Current()
	if cur != nil {
		s.From, s.Now = cur.Name, cur
	}
	if err := m.allowed(o.To); err != nil { // again: somebody else may have switched meanwhile
		return m.unswitched(err)
	}
	if o.Disabled {
		s.Disabled = true
		m.report(ctx, &s, o, cur)
		return s, nil
	}
	resume, err := m.drain(ctx, cur, o.Now)
	if err != nil {
		s.Back = cur != nil
		return s, err
	}
	defer resume()
	m.report(ctx, &s, o, cur)
	if cur != nil {
		closed, err := m.lower(ctx, cur)
		s.Warnings = append(s.Warnings, closed.Warnings...)
		if err != nil {
			s.Back = true
			return s, err
		}
	}
	s.Now = nil
	err = m.next(ctx, &s, o.To, !o.NoCheck)
	s.Warnings = append(s.Warnings, notes(s.Now)...)
	if ctx.Err() == nil {
		m.putAway(ctx, &s)
	}
	return s, err
}

// allowed tells whether a switch to this volume makes sense.
func (m *Manager) allowed(to string) error {
	if to == "" {
		return nil
	}
	if cur := m.Current(); cur != nil && cur.Name == to {
		return fmt.Errorf("volume %q is in use already", to)
	}
	_, err := m.spec(to)
	return err
}

func notes(cur *Current) []string {
	if cur == nil {
		return nil
	}
	return cur.Notes
}

// unswitched is the result of a switch that has not begun.
func (m *Manager) unswitched(err error) (Switched, error) {
	s := Switched{Now: m.Current()}
	if s.Now != nil {
		s.From, s.Back = s.Now.Name, true
	}
	return s, fmt.Errorf("switch: %w", err)
}

func (m *Manager) report(ctx context.Context, s *Switched, o SwitchOptions, cur *Current) {
	if o.Report == nil || cur == nil {
		return
	}
	if err := o.Report(ctx, cur); err != nil {
		s.Warnings = append(s.Warnings, "report: "+err.Error())
	}
}

// drain waits for the jobs of the current volume.
func (m *Manager) drain(ctx context.Context, cur *Current, now bool) (resume func(), err error) {
	if m.o.Jobs == nil || cur == nil {
		return func() {}, nil
	}
	m.set(cur.Name, Draining, "", nil)
	drainCtx, end := within(ctx, m.o.Deadlines.Drain, "wait for jobs")
	defer end()
	resume, err = m.o.Jobs.Drain(drainCtx, now)
	if err != nil {
		err = fmt.Errorf("switch: jobs still use volume %q: %w", cur.Name, err)
		m.set(cur.Name, Mounted, "", err)
		return nil, err
	}
	return resume, nil
}

// next tries the others in their order, and then the one before. Only a failed mount is followed by the next try; each of them is undone.
func (m *Manager) next(ctx context.Context, s *Switched, to string, check bool) error {
	_, r, _ := m.memory()
	names := r.Next(m.entries(), m.o.Clock.Now())
	if to != "" {
		names = []string{to}
	}
	for _, name := range names {
		cur, err := m.use(ctx, name, check)
		if err == nil {
			s.Now = cur
			return nil
		}
		s.Failures = append(s.Failures, Failure{name, err})
		if ctx.Err() != nil {
			break
		}
	}
	tried := len(s.Failures) > 0 && s.Failures[len(s.Failures)-1].Name == s.From
	if s.From != "" && !tried && ctx.Err() == nil { // it was closed cleanly, so that takes no check
		cur, err := m.use(ctx, s.From, false)
		if err == nil {
			s.Now, s.Back = cur, true
			return nil
		}
		s.Failures = append(s.Failures, Failure{s.From, err})
	}
	var causes []string
	if ctx.Err() != nil {
		causes = append(causes, context.Cause(ctx).Error())
	}
	for _, f := range s.Failures {
		causes = append(causes, f.Err.Error())
	}
	return fmt.Errorf("switch: %w: no volume is mounted: %s", ErrNotUsable, strings.Join(causes, "; "))
}
