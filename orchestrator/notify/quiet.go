package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// quietFile has what was told lately, so that a service that is started again and again does not send the same mail each time.
const quietFile = "quiet"

// told is an event that was told lately, without its texts but the subject.
type told struct {
	Event orchestrator.Event `json:"event"`
	At    time.Time          `json:"at"`
	Wait  time.Duration      `json:"wait_ns"` // until an equal one is told
}

// keepQuiet is how many are remembered.
const keepQuiet = 100

// longestQuiet is how long equal events wait at most: what goes wrong all day long is told a few times, with its count.
const longestQuiet = 4 * time.Hour

// calmLocked notes that an event was told.
func (n *Notifier) calmLocked(e orchestrator.Event, now time.Time) error {
	if single(e.Kind) || n.options.Quiet < 0 {
		return nil
	}
	e.Body, e.Advice = "", ""
	t := told{e, now, n.options.Quiet}
	n.quiet = slices.DeleteFunc(n.lately(now), func(old told) bool {
		same := equal(old.Event, e)
		if same { // once more: the next one waits longer
			t.Wait = max(t.Wait, min(2*old.Wait, longestQuiet))
		}
		return same
	})
	n.quiet = append(n.quiet[max(0, len(n.quiet)-keepQuiet+1):], t)
	// While many go out the file is not written for each: a crash then tells a few of them again.
	if d := now.Sub(n.written); d >= 0 && d < time.Second && len(n.queue.list) > 1 {
		return nil
	}
	n.written = now
	return n.queue.writeQuiet(n.quiet)
}

// afterLocked is the end of the quiet time of an event; zero if it is told at once.
func (n *Notifier) afterLocked(e orchestrator.Event, now time.Time) time.Time {
	if single(e.Kind) || n.options.Quiet < 0 {
		return time.Time{}
	}
	n.quiet = n.lately(now)
	for _, t := range n.quiet {
		if until := t.At.Add(t.Wait); equal(t.Event, e) && until.After(now) {
			return until
		}
	}
	return time.Time{}
}

// lately is what was told within twice its quiet time. What lies in the future is of a clock that was set back.
func (n *Notifier) lately(now time.Time) []told {
	return slices.DeleteFunc(slices.Clone(n.quiet), func(t told) bool { return now.Sub(t.At) >= 2*t.Wait || t.At.After(now) })
}

// maxQuiet bounds the file in bytes.
const maxQuiet = 16 << 20

// readQuiet reads what earlier processes have told. Without the file, or with a broken one, it is told again.
func (q *queue) readQuiet() (list []told, err error) {
	if q.root == nil {
		return nil, nil
	}
	text, err := statefile.Read(q.root, quietFile, maxQuiet)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("what was told lately, in %s: %w", q.dir, err)
	}
	return list, nil
}

func (q *queue) writeQuiet(list []told) error {
	if q.root == nil {
		return nil
	}
	text, err := json.Marshal(list)
	if err == nil {
		err = statefile.ReplaceBytes(q.root, quietFile, 0o600, text)
	}
	if err != nil {
		return fmt.Errorf("what was told lately, in %s: %w", q.dir, err)
	}
	return nil
}
