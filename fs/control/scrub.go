package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tresor/fs/socket"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/scrub"
)

// ScrubArgs are the arguments of the operation scrub. Times are in seconds, the rate in bytes a second; 0 means no limit.
type ScrubArgs struct {
	MaxRate   int64   `json:"max_rate,omitempty"`
	MaxTime   float64 `json:"max_time,omitempty"`
	OlderThan float64 `json:"older_than,omitempty"`
	Reset     bool    `json:"reset,omitempty"`
}

// maxSeconds is the longest time that is taken, some 300 years: more does not fit a time.Duration.
const maxSeconds = 9e9

// Options makes them those of a run; what cannot be is an error of class format.ErrUnsupported.
func (a *ScrubArgs) Options() (scrub.Options, error) {
	bad := func(s float64) bool { return !(s >= 0 && s <= maxSeconds) }
	if a.MaxRate < 0 || bad(a.MaxTime) || bad(a.OlderThan) {
		return scrub.Options{}, format.Mark(format.ErrUnsupported, fmt.Errorf("scrub: a rate or time is out of range: %+v", *a))
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return scrub.Options{MaxRate: a.MaxRate, MaxTime: seconds(a.MaxTime), OlderThan: seconds(a.OlderThan), Reset: a.Reset}, nil
}

// ScrubResult is the answer of the operation scrub.
type ScrubResult struct {
	scrub.Report
	// Joined: a scrub was running already, with options of its own; this is its report.
	Joined bool `json:"joined,omitempty"`
}

// Scrubber runs the scrubs of one mounted volume, one at a time. Who asks for one while another runs joins it; it ends when nobody waits for it
// any more.
type Scrubber struct {
	ctx context.Context // of the mount
	vol *index.Volume
	log func(text string, args ...any) // gets damage that was found
	run func(ctx context.Context, v *index.Volume, o scrub.Options) (*scrub.Report, error)

	// mu guards the run that goes on; no I/O, no other lock but the mailboxes of clients under it.
	mu  sync.Mutex
	cur *scrubRun
}

// scrubRun is one run. report and err are valid when done is closed.
type scrubRun struct {
	cancel  context.CancelFunc
	waiting int // clients
	next    int
	clients map[int]func(v any)
	last    *progress.Stage

	done   chan struct{}
	report *scrub.Report
	err    error
}

// NewScrubber returns the scrubs of a volume that is mounted as long as ctx lives. log gets a line for each damage.
func NewScrubber(ctx context.Context, vol *index.Volume, log func(text string, args ...any)) *Scrubber {
	return &Scrubber{ctx: ctx, vol: vol, log: log, run: scrub.Run}
}

// Operation answers the request scrub.
func (s *Scrubber) Operation(ctx context.Context, r *socket.Request) (any, error) {
	var args ScrubArgs
	if err := r.Decode(&args); err != nil {
		return nil, err
	}
	o, err := args.Options()
	if err != nil {
		return nil, err
	}
	run, id, joined, err := s.join(o, r.Progress)
	if err != nil {
		return nil, err
	}
	select {
	case <-run.done:
	case <-ctx.Done():
		if !s.leave(run, id) { // somebody else still waits: the run goes on
			return nil, ctx.Err()
		}
		run.cancel()
		<-run.done
	}
	return &ScrubResult{Report: *run.report, Joined: joined}, run.err
}

// Status answers the request scrub-status.
func (s *Scrubber) Status(_ context.Context, r *socket.Request) (any, error) {
	if err := r.Decode(&struct{}{}); err != nil {
		return nil, err
	}
	st, err := scrub.ReadStatus(s.vol)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	res := &ScrubStatus{Status: *st}
	if s.cur != nil {
		res.Running = true
		res.Stage = s.cur.last
	}
	return res, nil
}

// ScrubStatus is the answer of scrub-status.
type ScrubStatus struct {
	scrub.Status
	Running bool            `json:"running"`
	Stage   *progress.Stage `json:"stage,omitempty"` // of the run that goes on
}

// join adds a client to the run that goes on, or starts one. A run that was given up is still ending: that is format.ErrBusy.
func (s *Scrubber) join(o scrub.Options, send func(v any)) (run *scrubRun, id int, joined bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if joined = s.cur != nil; !joined {
		s.startLocked(o)
	}
	run = s.cur
	if joined && run.waiting == 0 {
		return nil, 0, false, format.Mark(format.ErrBusy, errors.New("scrub: the one before is just being ended"))
	}
	run.waiting++
	run.next++
	run.clients[run.next] = send
	return run, run.next, joined, nil
}

// startLocked starts a run; mu is held.
func (s *Scrubber) startLocked(o scrub.Options) {
	ctx, cancel := context.WithCancel(s.ctx)
	run := &scrubRun{cancel: cancel, clients: map[int]func(any){}, done: make(chan struct{})}
	s.cur = run
	o.Progress = func(st progress.Stage) {
		s.mu.Lock()
		defer s.mu.Unlock()
		run.last = &st
		for _, send := range run.clients {
			send(st)
		}
	}
	// Somebody waits for done until it is closed: the last client, whom the server waits for when it is closed.
	go func() {
		defer cancel()
		rep := &scrub.Report{}
		err := index.Caught(func() (err error) {
			rep, err = s.run(ctx, s.vol, o)
			s.tell(rep, err)
			return err
		})
		s.mu.Lock()
		s.cur = nil
		s.mu.Unlock()
		run.report, run.err = rep, err
		close(run.done)
	}()
}

// leave takes a client away and tells whether it was the last one, for whom the run was: nobody can join it any more then.
func (s *Scrubber) leave(run *scrubRun, id int) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(run.clients, id)
	run.waiting--
	return run.waiting == 0
}

// maxLogged bounds the lines that one scrub writes into the log.
const maxLogged = 100

func (s *Scrubber) tell(rep *scrub.Report, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log("%v", err)
	}
	if rep == nil || !rep.Damaged() {
		return
	}
	s.log("scrub: %d bad and %d unreadable blocks, %d of them new, in %d files", rep.Bad, rep.Unreadable, rep.New, rep.AffectedFiles)
	for i := range rep.Files {
		if i == maxLogged {
			s.log("scrub: and %d more places", uint64(len(rep.Files)-i)+rep.MoreDamage)
			return
		}
		d := &rep.Files[i]
		s.log("scrub: %s, offset %d: block %d is lost until the same data is written again", d.Path, d.Offset, d.Address)
	}
}
