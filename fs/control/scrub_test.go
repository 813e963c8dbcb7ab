package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"tresor/fs/socket"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/reclaim"
	"tresor/index/scrub"
)

// stage is a scrubber whose runs are played by the test.
type stage struct {
	*Scrubber
	started chan scrub.Options
	finish  chan *scrub.Report // nil: the run waits for its end

	mu    sync.Mutex // guards lines
	lines []string
}

func newStage(t *testing.T) *stage {
	s := &stage{started: make(chan scrub.Options, 10), finish: make(chan *scrub.Report)}
	s.Scrubber = NewScrubber(t.Context(), nil, func(text string, args ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, fmt.Sprintf(text, args...))
	})
	s.run = func(ctx context.Context, _ *index.Volume, o scrub.Options) (*scrub.Report, error) {
		s.started <- o
		select {
		case rep := <-s.finish:
			return rep, nil
		case <-ctx.Done():
			return &scrub.Report{Stopped: "interrupted"}, ctx.Err()
		}
	}
	return s
}

// client asks for a scrub and keeps what it gets.
type client struct {
	cancel context.CancelFunc
	seen   chan any
	res    *ScrubResult
	err    error
	done   chan struct{}
}

func (s *stage) client(t *testing.T, args string) *client {
	ctx, cancel := context.WithCancel(t.Context())
	c := &client{cancel: cancel, seen: make(chan any, 100), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		res, err := s.Operation(ctx, &socket.Request{Args: json.RawMessage(args), Progress: func(v any) { c.seen <- v }})
		if res != nil {
			c.res = res.(*ScrubResult)
		}
		c.err = err
	}()
	return c
}

// waiting waits until so many clients wait.
func (s *stage) waiting(t *testing.T, n int) {
	t.Helper()
	for {
		s.Scrubber.mu.Lock()
		have := 0
		if s.cur != nil {
			have = s.cur.waiting
		}
		s.Scrubber.mu.Unlock()
		if have == n {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("the test is over")
		}
	}
}

// TestScrubIsShared: the second client joins the first one's run, sees its progress, and gets the same report; a client that leaves does not
// end the run while another waits, the last one does.
func TestScrubIsShared(t *testing.T) {
	s := newStage(t)
	a := s.client(t, `{"max_rate":1000,"max_time":1.5,"older_than":86400}`)
	o := <-s.started
	if o.MaxRate != 1000 || o.MaxTime.Seconds() != 1.5 || o.OlderThan.Hours() != 24 || o.Reset {
		t.Errorf("options: have %+v", o)
	}
	b := s.client(t, "")
	s.waiting(t, 2)
	o.Progress(progress.Stage{Name: "x", Done: 7})
	for _, c := range []*client{a, b} {
		if v := <-c.seen; v.(progress.Stage).Done != 7 {
			t.Errorf("progress: have %v", v)
		}
	}
	a.cancel()
	<-a.done
	if !errors.Is(a.err, context.Canceled) || a.res != nil {
		t.Errorf("who left: have %+v, %v", a.res, a.err)
	}
	s.finish <- &scrub.Report{Blocks: 42, Bad: 1, AffectedFiles: 1, Files: []scrub.Damage{{Path: "f", Offset: 4096, Address: 9}}}
	<-b.done
	if b.err != nil || b.res.Blocks != 42 || !b.res.Joined {
		t.Errorf("who stayed: have %+v, %v, want the report", b.res, b.err)
	}
	if text := strings.Join(s.lines, "\n"); !strings.Contains(text, "1 bad") || !strings.Contains(text, "f, offset 4096: block 9") {
		t.Errorf("log: have %q", text)
	}
	c := s.client(t, "{}")
	<-s.started
	s.waiting(t, 1)
	c.cancel()
	<-c.done
	if !errors.Is(c.err, context.Canceled) || c.res == nil || c.res.Stopped != "interrupted" || c.res.Joined {
		t.Errorf("the last one: have %+v, %v, want the run ended and its report", c.res, c.err)
	}
	s.waiting(t, 0)
}

func TestScrubArguments(t *testing.T) {
	s := newStage(t)
	for _, args := range []string{`{"max_rate":-1}`, `{"max_time":-1}`, `{"older_than":1e300}`, `{"max_rate":"x"}`, `{"rate":1}`, `[]`, `7`} {
		c := s.client(t, args)
		<-c.done
		if !errors.Is(c.err, format.ErrUnsupported) {
			t.Errorf("%s: have %v, want ErrUnsupported", args, c.err)
		}
	}
	if len(s.started) != 0 {
		t.Error("a run was started")
	}
}

func (f *fakeSource) ReclaimWith(ctx context.Context, o reclaim.Options) (*reclaim.Report, error) {
	o.Progress(progress.Stage{Name: "walk", Done: 3})
	rep, err := f.Reclaim(ctx)
	rep.DryRun = o.DryRun
	return rep, err
}

// TestOperations asks for everything in the table that needs no volume.
func TestOperations(t *testing.T) {
	src := &fakeSource{stats: index.Stats{Allocated: 12, Hash: "SHA1"}}
	ops := Operations(src, src, newStage(t).Scrubber)
	var seen any
	ask := func(op, args string) (string, error) {
		res, err := ops[op](t.Context(), &socket.Request{Args: json.RawMessage(args), Progress: func(v any) { seen = v }})
		data, e := json.Marshal(res)
		return string(data), errors.Join(err, e)
	}
	if have, err := ask(OpStats, ""); err != nil || !strings.Contains(have, `"block_allocated":12`) || !strings.Contains(have, `"next_reclaim":97`) {
		t.Errorf("stats: have %s, %v", have, err)
	}
	have, err := ask(OpReclaim, `{"dry_run":true}`)
	if err != nil || !strings.Contains(have, `"block_in_use":7`) || !strings.Contains(have, `"dry_run":true`) || !strings.Contains(have, "fragmentation") || seen == nil {
		t.Errorf("reclaim: have %s, %v, progress %v", have, err, seen)
	}
	for _, op := range []string{OpStats, OpReclaim, OpScrubStatus} {
		if _, err := ask(op, `{"x":1}`); !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("%s with an unknown argument: have %v", op, err)
		}
	}
	src.err = index.ErrReclaimRuns
	if _, err := ask(OpReclaim, ""); !errors.Is(err, format.ErrBusy) {
		t.Errorf("a second reclaim: have %v, want ErrBusy", err)
	}
}

// TestScrubThatPanics is the error of all who wait for it, and hinders no later one.
func TestScrubThatPanics(t *testing.T) {
	s := newStage(t)
	run := s.run
	s.run = func(context.Context, *index.Volume, scrub.Options) (*scrub.Report, error) {
		panic("a bug for the test")
	}
	c := s.client(t, "{}")
	<-c.done
	if index.PanicOf(c.err) == nil || c.res == nil {
		t.Errorf("have %+v, %v", c.res, c.err)
	}
	s.run = run
	c = s.client(t, "{}")
	<-s.started
	s.finish <- &scrub.Report{Blocks: 1}
	<-c.done
	if c.err != nil || c.res.Blocks != 1 || c.res.Joined {
		t.Errorf("the next one: have %+v, %v", c.res, c.err)
	}
}
