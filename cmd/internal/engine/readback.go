package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/orchestrator"
)

// pipeBytes is how much a pipe holds: the serving process reads on while the caller works.
const pipeBytes = 1 << 20

// ReadBack implements orchestrator.Store.
func (s *Store) ReadBack(ctx context.Context, path string, w io.Writer, list []orchestrator.Blocks) (orchestrator.ReadBack, error) {
	var r orchestrator.ReadBack
	var err error
	if w != nil {
		r, err = s.whole(ctx, path, w)
	} else {
		r, err = s.list(ctx, path, list)
	}
	if err != nil {
		return r, fmt.Errorf("read back %s of volume %s: %w", path, s.parent, err)
	}
	return r, nil
}

// list reads blocks of a list, in as many requests as it takes. Bad ones do not end it.
func (s *Store) list(ctx context.Context, path string, list []orchestrator.Blocks) (r orchestrator.ReadBack, err error) {
	var bad error
	for first := true; first || len(list) > 0; first = false {
		a := control.ReadBackArgs{Path: control.Path(path), Count: first}
		part := list[:min(len(list), control.MaxRuns)]
		for _, b := range part {
			a.Runs = append(a.Runs, [2]uint64{b.First, b.Count})
		}
		list = list[len(part):]
		var res control.ReadBackResult
		err := s.call(ctx, control.OpReadBack, nil, &a, &res)
		if err != nil && res.BadBlocks == 0 {
			return r, err
		}
		bad = errors.Join(bad, err)
		if first {
			r.Known, r.Scrubbed = res.Known, seconds(res.Scrubbed)
		} else {
			r.Known -= min(r.Known, res.Blocks+res.BadBlocks)
		}
		add(&r, &res)
	}
	return r, bad
}

// add adds what one request has found.
func add(r *orchestrator.ReadBack, res *control.ReadBackResult) {
	r.Blocks += res.Blocks
	for _, b := range res.Bad {
		r.Bad = addRun(r.Bad, b)
	}
}

// whole reads all of a file into w.
func (s *Store) whole(ctx context.Context, path string, w io.Writer) (r orchestrator.ReadBack, err error) {
	rd, wr, err := os.Pipe()
	if err != nil {
		return r, err
	}
	widen(rd)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &draining{w: w, rd: rd, done: make(chan struct{})}
	go d.drain(cancel)
	var res control.ReadBackResult
	err = s.callHeld(ctx, control.OpReadBack, wr, &control.ReadBackArgs{Path: control.Path(path), Whole: true}, &res, func() bool { return d.holds(s.e.o.Stall) })
	_ = wr.Close() // nothing was written here
	// What lies in the pipe is good, also beside an error. Its end comes when the serving process has closed it.
	d.finish(ctx, s.e.o.Rest)
	<-d.done
	r.Scrubbed, r.Known = seconds(res.Scrubbed), res.Known
	add(&r, &res)
	switch {
	case d.err != nil:
		return r, fmt.Errorf("hand out at offset %d: %w", d.n, d.err)
	case err == nil && d.n != res.Size:
		return r, fmt.Errorf("want %d bytes, have %d: %w", res.Size, d.n, io.ErrUnexpectedEOF)
	}
	return r, err
}

// widen makes a pipe hold more; a smaller one does too.
func widen(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
}

// draining copies a pipe to the caller's writer. n and err are valid when done is closed.
type draining struct {
	w    io.Writer
	rd   *os.File
	done chan struct{}
	n    int64
	err  error // of the writer
	// held: the writer has the data, and may keep it for as long as it likes, as in a pause. gave is when it gave it back last, in nanoseconds.
	held atomic.Bool
	gave atomic.Int64
	// ended: nothing more is sent, and rest is how long each wait for the pipe may be; set before.
	ended atomic.Bool
	rest  time.Duration
}

// holds tells whether the writer has kept the data within the last while.
func (d *draining) holds(while time.Duration) bool {
	return d.held.Load() || time.Since(time.Unix(0, d.gave.Load())) < while
}

// finish is called when everything was sent: from then on each wait for the pipe is short. What the writer takes is no wait for the pipe.
func (d *draining) finish(ctx context.Context, rest time.Duration) {
	if ctx.Err() == nil {
		d.rest = rest
	}
	d.ended.Store(true)
	_ = d.rd.SetReadDeadline(time.Now().Add(d.rest)) // fails only where it is closed
}

// drain ends with the pipe, or with an error of the writer, which stop is told.
func (d *draining) drain(stop context.CancelCauseFunc) {
	defer close(d.done)
	defer d.rd.Close() // opened for reading; the other side notices
	buf := make([]byte, pipeBytes)
	for {
		k, err := d.rd.Read(buf)
		if k > 0 {
			d.held.Store(true)
			n, werr := d.w.Write(buf[:k])
			d.gave.Store(time.Now().UnixNano())
			d.held.Store(false)
			d.n += int64(n)
			if werr == nil && n < k {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				d.err = werr
				stop(werr)
				return
			}
			if d.ended.Load() {
				_ = d.rd.SetReadDeadline(time.Now().Add(d.rest))
			}
		}
		if err != nil {
			return // the end, or nobody waits any longer: the length tells
		}
	}
}
