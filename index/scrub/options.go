package scrub

import (
	"context"
	"time"

	"tresor/index/progress"
)

const (
	// chunkBytes is how much is read with one call where blocks are neighbours.
	chunkBytes = 1 << 20
	// defaultRegion is the size in bytes of the parts of the block file of which is known when they were last verified.
	defaultRegion = 1 << 30
	// maxRegions bounds the state: regions of larger volumes are larger.
	maxRegions = 1 << 16
	// saveEvery is how often the state is written, and so what a kill costs.
	saveEvery = 30 * time.Second
	// segmentTime is how long blocks are read before those in doubt are judged.
	segmentTime = time.Second
	// maxBad and maxFiles bound what is listed; what is beyond is counted.
	maxBad   = 10_000
	maxFiles = 10_000
	// maxPaths bounds the paths of them in bytes: a report has to fit into one answer of a control socket, where a byte may take six.
	maxPaths = 2 << 20
)

// Options of a run. The zero value proves everything at full speed.
type Options struct {
	// MaxRate is the most that is read, in bytes a second; 0: no limit.
	MaxRate int64
	// MaxTime ends the run after so long, in good order; 0: no limit.
	MaxTime time.Duration
	// OlderThan leaves out the regions that were verified within this time; 0: none.
	OlderThan time.Duration
	// Reset forgets what is known of earlier runs, except which blocks were bad.
	Reset bool
	// Progress is called with bytes, and while files are looked through with files; nil drops it.
	Progress progress.Func
	// Clock is the time; nil: the system's.
	Clock Clock

	// What follows is for tests: the size of a region in bytes (0: 1 GiB), how often the state is written (0: every 30 seconds), and how
	// many chunks are worked on at once (0: some more than there are processors).
	region    int64
	saveEvery time.Duration
	workers   int
}

// Clock is a source of time that can be waited for.
type Clock interface {
	Now() time.Time
	// Sleep waits for d or the end of ctx, whose error it returns then.
	Sleep(ctx context.Context, d time.Duration) error
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limiter spreads bytes evenly over time. It is used by one goroutine.
type limiter struct {
	clock Clock
	rate  int64 // bytes a second, 0: no limit
	next  time.Time
}

// delay is how long to wait before n bytes more may be read; they count as read then.
func (l *limiter) delay(n int) time.Duration {
	if l.rate <= 0 {
		return 0
	}
	now := l.clock.Now()
	if l.next.Before(now) {
		l.next = now // what was not used is lost: no bursts
	}
	wait := l.next.Sub(now)
	l.next = l.next.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return wait
}

// chunk is how many bytes to read at once so that the rate is even: a tenth of a second's share.
func (l *limiter) chunk() int64 {
	if l.rate <= 0 {
		return chunkBytes
	}
	return min(chunkBytes, l.rate/10)
}
