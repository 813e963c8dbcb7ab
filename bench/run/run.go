package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tresor/bench/contender"
	"tresor/bench/result"
	"tresor/bench/workload"
)

// ErrIncomplete is a run of which something could not be measured although it was there. Its record is valid.
var ErrIncomplete = errors.New("not everything could be measured")

// busy is the rate of the null file system's known write below which a machine was busy with something else.
const busy = 3.5e9

// session is a run in progress.
type session struct {
	o      *Options
	record *result.Run
	budget *budget
	base   string
	lab    *workload.Lab
	rows   [][]item
	dead   map[string]bool // items and contenders that failed
	failed []error
	free   uint64 // bytes free on the disk at the start
	used   uint64 // most bytes in use since
}

// Do measures and returns the record. With ErrIncomplete the record is valid as well; with any other error there is none. When it returns nothing is mounted
// or running any more, whatever happened.
func Do(ctx context.Context, o Options) (*result.Run, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	start := time.Now()
	s := &session{o: &o, dead: map[string]bool{}, budget: newBudget(start, o.Time)}
	s.record = &result.Run{Started: start, Machine: Machine(o.Dir), Programs: o.revisions(), Options: maps.Clone(o.Given)}
	s.record.Revision = s.record.Programs[0].Revision
	if s.record.Options == nil {
		s.record.Options = map[string]string{}
	}
	maps.Copy(s.record.Options, o.versions(ctx))
	base, err := os.MkdirTemp(o.Dir, "ddbench-")
	if err != nil {
		return nil, fmt.Errorf("directory to measure in: %w", err)
	}
	if s.base, err = filepath.Abs(base); err == nil {
		err = s.all(ctx)
	}
	err = errors.Join(err, s.end())
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		return nil, err
	}
	s.record.Took = time.Since(start).Seconds()
	s.conclude()
	if len(s.failed) > 0 {
		return s.record, fmt.Errorf("%w: %w", ErrIncomplete, errors.Join(s.failed...))
	}
	return s.record, nil
}

// errTime ends what would take longer than the whole run may.
var errTime = errors.New("the time is up")

func (s *session) all(ctx context.Context) error {
	ctx, stop := context.WithDeadlineCause(ctx, s.budget.last, errTime)
	defer stop()
	sizes, err := s.o.sizes(s.record.Skip)
	if err != nil {
		return err
	}
	s.free = freeBytes(s.o.Dir)
	s.say("data %d MiB, image of %d MiB of files, %d small files; preparing", sizes.Data>>20, sizes.Image>>20, sizes.Small)
	if s.lab, err = s.o.field(s.base, sizes, s.record.Skip); err != nil {
		return err
	}
	if !s.o.wantsImages(s.lab) {
		s.lab.Sizes.Image = 0
	}
	if err := s.lab.Prepare(ctx, s.record.Skip); err != nil {
		return err
	}
	for _, note := range s.record.Skipped {
		s.say("skipped: %s: %s", note.What, note.Why)
	}
	s.noteSizes(sizes)
	s.rows = s.o.items(s.lab.Workloads())
	if len(s.rows) == 0 {
		return errors.New("choose what to measure: nothing matches")
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.rounds(ctx)
}

// start mounts what is used; one that cannot be started is left out.
func (s *session) start(ctx context.Context) error {
	for _, c := range s.lab.Systems {
		if !s.mounts(c) {
			continue
		}
		if err := c.Start(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.fail(c.Name(), err)
		}
	}
	return nil
}

func (s *session) mounts(c contender.Contender) bool {
	return slices.ContainsFunc(s.rows, func(row []item) bool {
		return slices.ContainsFunc(row, func(i item) bool { return i.c == c })
	})
}

func (s *session) rounds(ctx context.Context) error {
	for round := range s.o.Rounds {
		rows := s.budget.first(s.rows)
		if round > 0 {
			rows = s.budget.round(s.rows, s.o.Rounds-round, time.Now())
		}
		for _, row := range rows {
			if round == 0 && !s.budget.affords(row, s.rows, s.o.Rounds-1, time.Now()) {
				continue
			}
			row = slices.Clone(row)
			if round%2 == 1 {
				slices.Reverse(row)
			}
			for _, i := range row {
				s.do(ctx, i, round)
				if cause := context.Cause(ctx); errors.Is(cause, errTime) {
					s.record.Skip(i.name(), "interrupted in round "+fmt.Sprint(round+1)+": "+cause.Error())
					return nil
				} else if cause != nil {
					return cause
				}
			}
		}
	}
	return nil
}

// do has a contender do a workload and records what comes out.
func (s *session) do(ctx context.Context, i item, round int) {
	if s.dead[i.name()] || s.dead[i.c.Name()] || i.w.Once && s.budget.known(i) || !s.budget.fits(i, time.Now()) {
		return
	}
	start, once := time.Now(), s.lab.Prepared()
	values, err := insist(ctx, i)
	took := time.Since(start) - (s.lab.Prepared() - once)
	s.budget.note(i, took)
	if free := freeBytes(s.o.Dir); free < s.free {
		s.used = max(s.used, s.free-free)
	}
	for _, v := range values {
		if err != nil || !s.o.wants(v.Series, i.c.Name()) {
			continue
		}
		err = s.record.AddSample(v.Series, i.c.Name(), v.Unit, result.Sample{Round: round, Value: v.Value, CPU: v.CPU})
		if v.Note != "" {
			s.record.Skip(v.Series+" "+i.c.Name(), fmt.Sprintf("round %d: %s", round+1, v.Note))
		}
		scale := result.ScaleOf(v.Unit, v.Value)
		s.say("round %d of %d: %s %s: %s %s (%.1f s in all)", round+1, s.o.Rounds, v.Series, i.c.Name(), scale.Format(v.Value), scale.Name, took.Seconds())
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, contender.ErrLacks):
		s.say("skipped: %s: %v", i.name(), err)
		s.record.Skip(i.name(), err.Error())
		s.dead[i.name()] = true
	default:
		s.fail(i.name(), err)
		s.revive(ctx, i.c)
	}
}

// fail notes what could not be measured and leaves it out from now on.
func (s *session) fail(what string, err error) {
	s.say("failed: %s: %v", what, err)
	s.dead[what] = true
	s.record.Skip(what, "failed: "+err.Error())
	s.failed = append(s.failed, fmt.Errorf("%s: %w", what, err))
}

// revive brings a contender back that a failed workload may have left without its mount: what others write there must not land on the bare disk.
func (s *session) revive(ctx context.Context, c contender.Contender) {
	f, ok := c.(contender.FileSystem)
	if !ok || !slices.Contains(s.lab.Systems, f) {
		return
	}
	if err := f.Refresh(ctx); err != nil && ctx.Err() == nil {
		s.fail(c.Name(), err)
	}
}

// patience is how long an interrupted workload may take to notice.
const patience = 20 * time.Second

// insist runs a workload to its end. A contender that keeps an interrupted one waiting is killed: calls that a process never answers return when it is
// gone.
func insist(ctx context.Context, i item) (values []workload.Value, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		values, err = i.w.Run(ctx, i.c)
	}()
	select {
	case <-done:
		return values, err
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		if k, ok := i.c.(interface{ Kill() }); ok {
			k.Kill()
		}
		<-done
	}
	return values, err
}

// end takes everything away.
func (s *session) end() error {
	var errs []error
	if s.lab != nil {
		var list []contender.Contender
		for _, c := range s.lab.Systems {
			list = append(list, c)
		}
		for _, v := range slices.Concat(s.lab.Visitors, s.lab.Empty, s.lab.Huge) {
			list = append(list, v)
		}
		for _, c := range s.lab.Archives {
			list = append(list, c)
		}
		for _, c := range slices.Backward(list) {
			if err := c.Stop(); err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", c.Name(), err))
			}
		}
		errs = append(errs, s.lab.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.base))...)
}

func (s *session) say(format string, args ...any) {
	if s.o.Progress != nil {
		fmt.Fprintf(s.o.Progress, "ddbench: "+format+"\n", args...)
	}
}
