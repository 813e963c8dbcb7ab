package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/format"
	"tresor/index/progress"
)

// handout reads a stored file with several workers, each of which writes what it has read: to a stream when it is its turn, else at once.
type handout struct {
	*crew
	h     *openfile.Handle
	to    *foreign
	o     OutOptions
	meter *progress.Meter
	bs    int64
	size  int64

	// claiming guards at, what was handed to workers. Holes of the file are looked for under it, with the locks that a read takes, and I/O.
	claiming sync.Mutex
	at       int64
	data     int64 // up to here there is no hole

	// Guarded by the crew's mu.
	sent int64 // what a stream has got
	r    *Read
}

// handOut copies the file of h to f; r says what was found, also beside an error.
func (s *Served) handOut(ctx context.Context, h *openfile.Handle, f *foreign, o OutOptions, r *Read) error {
	bs := int64(s.Volume.Geometry().BlockSize)
	size := h.File().Size()
	if f.device && size > f.size {
		return format.Mark(format.ErrNoSpace, fmt.Errorf("the device has %d bytes, the file %d", f.size, size))
	}
	g := &handout{crew: newCrew(ctx), h: h, to: f, o: o, bs: bs, size: size, r: r, meter: progress.New(o.Progress, "read", progress.Bytes, uint64(size))}
	r.Bytes, r.Blocks = size, s.Volume.Geometry().Entries(uint64(size))
	f.Hold()
	err := g.work(workersOf(), f.Drop, func() func() { return g.worker })
	if err == nil && !f.stream && !f.device {
		err = whileWaiting(ctx, f, func() error { return unix.Ftruncate(f.FD(), size) })
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r.Bad = joinRanges(r.Bad)
	// Workers that were left behind have a result of their own.
	g.r = &Read{}
	return err
}

// whileWaiting does a call on a descriptor that may hang, for as long as ctx lives.
func whileWaiting(ctx context.Context, f *foreign, call func() error) error {
	f.Hold()
	done := make(chan error, 1)
	go func() {
		defer f.Drop()
		done <- call()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *handout) worker() {
	buf := make([]byte, max(pieceIn, g.bs))
	for !g.stopped() {
		s, err := g.take(buf)
		if s.n > 0 && (err == nil || g.to.stream) && !g.send(buf[:s.n], s.off) {
			return
		}
		if err != nil && !errors.Is(err, io.EOF) {
			g.fail(err)
		}
		if err != nil {
			return
		}
	}
}

// take reads the next range; io.EOF: there is none, or the copy has ended. Beside another error the range is what is good before it.
func (g *handout) take(buf []byte) (s span, err error) {
	if !g.enter() {
		return s, io.EOF
	}
	defer g.exit(nil)
	if s, err = g.claim(int64(len(buf))); err != nil {
		return span{}, err
	}
	for done := int64(0); done < s.n; {
		n, err := g.h.ReadAt(buf[done:s.n], s.off+done)
		done += int64(n)
		if errors.Is(err, format.ErrIO) {
			done, err = g.bad(buf[:s.n], s.off, done, err)
		} else if err == nil && n == 0 {
			err = fmt.Errorf("the file became shorter: want %d bytes, have %d", g.size, s.off+done)
		}
		if err != nil {
			s.n = done
			return s, err
		}
	}
	g.meter.Add(uint64(s.n))
	return s, nil
}

// claim takes the next range, and steps over holes where they may stay holes.
func (g *handout) claim(most int64) (span, error) {
	g.claiming.Lock()
	defer g.claiming.Unlock()
	if g.at >= g.data && g.at < g.size {
		if err := g.skip(); err != nil {
			return span{}, err
		}
	}
	if g.at >= g.size {
		return span{}, io.EOF
	}
	s := span{off: g.at, n: min(most, g.data-g.at)}
	g.at += s.n
	return s, nil
}

// skip steps over a hole, and finds out how far there is none then. A stream and a device get zeros.
func (g *handout) skip() error {
	g.data = g.size
	if g.to.stream || g.to.device {
		return nil
	}
	next, err := g.h.File().Seek(g.at, unix.SEEK_DATA)
	if errors.Is(err, syscall.ENXIO) {
		next, err = g.size, nil
	}
	if err != nil {
		return err
	}
	if next = min(next/g.bs*g.bs, g.size); next > g.at {
		g.skipped(next - g.at)
		g.at = next
	}
	if g.at >= g.size {
		return nil
	}
	end, err := g.h.File().Seek(g.at, unix.SEEK_HOLE)
	if err != nil && !errors.Is(err, syscall.ENXIO) {
		return err
	}
	if err == nil && end > g.at {
		g.data = min((end+g.bs-1)/g.bs*g.bs, g.size)
	}
	return nil
}

// skipped counts a hole of n bytes.
func (g *handout) skipped(n int64) {
	g.mu.Lock()
	g.r.Zero += uint64((n + g.bs - 1) / g.bs)
	g.mu.Unlock()
	g.meter.Add(uint64(n))
}

// bad is a block that is not to be had, done bytes into a piece that begins at off. It returns where to go on, or the error.
func (g *handout) bad(p []byte, off, done int64, cause error) (int64, error) {
	begin := (off + done) / g.bs * g.bs
	end := min(begin+g.bs, off+int64(len(p)))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.r.BadBlocks++
	g.r.Bad = append(g.r.Bad, Range{Offset: begin, Length: end - begin, Reason: cause.Error()})
	if !g.o.Force {
		return begin - off, cause
	}
	clear(p[begin-off : end-off])
	return end - off, nil
}

// send writes a piece; a stream gets them in order. It returns false at the end of the work.
func (g *handout) send(p []byte, off int64) bool {
	if g.to.stream && !g.turn(off) {
		return false
	}
	for done := 0; done < len(p); {
		n, err := g.to.WriteAt(p[done:], off+int64(done))
		done += n
		if errors.Is(err, unix.EAGAIN) { // somebody has set the pipe to not waiting
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(g.to.FD()), Events: unix.POLLOUT}}, pollMilliseconds)
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			g.fail(fmt.Errorf("write at offset %d: %w", off+int64(done), room(err)))
		}
		if g.stopped() {
			return false
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent += int64(len(p))
	g.change.Broadcast()
	return true
}

// turn waits until a stream has got everything before off.
func (g *handout) turn(off int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.sent != off && g.failed == nil && !g.left {
		g.change.Wait()
	}
	return g.failed == nil && !g.left
}
