package runlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

// Limits say what is kept. Zero values are no limit.
type Limits struct {
	Runs  int           // the newest ones
	Age   time.Duration // by the time in the id
	Bytes int64         // of all logs, the newest first
}

// Collect removes what is beyond a limit and returns the ids. A run in use stays, by whichever process, and so do the newest run and those that are still
// needed, for a message that waits; all of these count. So does everything that is no log of a run. What cannot be removed is in the error, and the others
// are removed still.
func (l *Logs) Collect(limits Limits, needed []string) ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("collect logs of runs: %w", err)
	}
	now := l.clock.Now()
	var removed []string
	var errs []error
	runs, bytes := 0, int64(0)
	for _, e := range slices.Backward(entries) {
		id, ok := isRun(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			errs = append(errs, notMissing(err))
			continue
		}
		parsed, err := ulid.ParseStrict(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		runs, bytes = runs+1, bytes+info.Size()
		if runs == 1 || slices.Contains(needed, id) {
			continue
		}
		old := limits.Age > 0 && now.Sub(ulid.Time(parsed.Time())) > limits.Age
		if !old && (limits.Runs <= 0 || runs <= limits.Runs) && (limits.Bytes <= 0 || bytes <= limits.Bytes) {
			continue
		}
		gone, err := l.remove(id)
		errs = append(errs, err)
		if gone {
			removed = append(removed, id)
			runs, bytes = runs-1, bytes-info.Size()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("collect logs of runs: %w", err)
	}
	return removed, nil
}

// remove removes a log that nobody has in use. The lock is held meanwhile, so that no run begins in a file that is about to vanish.
func (l *Logs) remove(id string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs[id] != nil {
		return false, nil
	}
	path := filepath.Join(l.dir, id+suffix)
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, notMissing(err)
	}
	defer f.Close()
	if lock(f) != nil {
		return false, nil
	}
	if err := os.Remove(path); err != nil {
		return false, notMissing(err)
	}
	return true, nil
}

func notMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
