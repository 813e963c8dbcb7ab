package runlog

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tresor/orchestrator/internal/statefile"
)

// Sample is what one run did for one machine.
type Sample struct {
	Run     string        `json:"run"`
	Backup  string        `json:"backup,omitempty"`
	Begun   time.Time     `json:"begun"`
	Took    time.Duration `json:"took_ns"`
	Files   int           `json:"files"`
	Read    int64         `json:"read"`     // bytes of the source
	New     int64         `json:"new"`      // of these, what the volume had not held before: never more
	Written int64         `json:"written"`  // what that takes in whole blocks
	Result  Result        `json:"result"`   // of the copy
	Verdict string        `json:"verdict"`  // an orchestrator.Verdict
	Checked time.Time     `json:"verified"` // when it was verified; zero: it was not
}

// same tells whether two samples are of the same thing.
func (s Sample) same(o Sample) bool {
	if s.Backup != "" || o.Backup != "" {
		return s.Backup == o.Backup
	}
	return s.Run == o.Run
}

// keep is how many samples of a machine are kept: a year of daily runs.
const keep = 400

// Trend is what is kept of one machine. Totals count runs whose samples are gone, too.
type Trend struct {
	Machine string        `json:"machine"`
	Runs    int           `json:"runs"`
	Failed  int           `json:"failed"`
	Took    time.Duration `json:"took_ns"`
	Read    int64         `json:"read"`
	New     int64         `json:"new"`
	Written int64         `json:"written"`
	Samples []Sample      `json:"samples"` // in the order in which they came, the newest last
}

// Verified is when the newest verified backup was verified; zero: there is none.
func (t Trend) Verified() time.Time {
	for _, s := range slices.Backward(t.Samples) {
		if !s.Checked.IsZero() {
			return s.Checked
		}
	}
	return time.Time{}
}

// Ratio is bytes read for each new one, over all runs; 0 if nothing was new.
func (t Trend) Ratio() float64 {
	if t.New <= 0 {
		return 0
	}
	return float64(t.Read) / float64(t.New)
}

// complete gives a trend that was written before new data was told from the blocks that it takes what can be said of it.
func (t *Trend) complete() {
	guess := func(fresh *int64, read, written int64) {
		if *fresh == 0 { // of what takes blocks something is new
			*fresh = min(read, written)
		}
	}
	guess(&t.New, t.Read, t.Written)
	for i := range t.Samples {
		s := &t.Samples[i]
		guess(&s.New, s.Read, s.Written)
	}
}

// Usual is the mean duration of the newest good samples before the last good one, ten at most; 0 if there are none.
func (t Trend) Usual() time.Duration {
	var sum time.Duration
	n := -1 // the last one is what is compared with them
	for _, s := range slices.Backward(t.Samples) {
		if !s.Result.made() {
			continue
		}
		if n++; n > 0 {
			sum += s.Took
		}
		if n == 10 {
			break
		}
	}
	if n <= 0 {
		return 0
	}
	return sum / time.Duration(n)
}

// LastGood returns the newest sample of a backup that was made; false: there is none.
func (t Trend) LastGood() (Sample, bool) {
	for _, s := range slices.Backward(t.Samples) {
		if s.Result.made() {
			return s, true
		}
	}
	return Sample{}, false
}

// Counters are the trends of all machines, a file for each. They may be used concurrently, by one process.
type Counters struct {
	dir string
	mu  sync.Mutex // one update at a time; a file is read, written and synced under it, no other lock is taken
}

// NewCounters are those in a directory, which is made by the first Add.
func NewCounters(dir string) *Counters { return &Counters{dir: dir} }

// path of a machine: any UTF-8 may be its name, and different names have different files.
func (c *Counters) path(machine string) string {
	name := url.PathEscape(machine)
	if len(name) > 200 {
		name = fmt.Sprintf("%%sha256-%x", sha256.Sum256([]byte(machine)))
	}
	return filepath.Join(c.dir, name+".json")
}

// Add adds a sample. One of the same backup, or of the same run where there is none, replaces the earlier one. If the file cannot be decoded it is
// kept beside as .broken and a new one is begun, which the error says; the sample is in it.
func (c *Counters) Add(machine string, s Sample) error {
	if machine == "" {
		return errors.New("counters: a machine without a name")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addLocked(machine, s)
}

// Change applies fn to the sample of a backup, as after a late verification, and does nothing where there is none.
func (c *Counters) Change(machine, backup string, fn func(*Sample)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.read(c.path(machine))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(t.Samples, func(s Sample) bool { return s.Backup == backup })
	if i < 0 || backup == "" {
		return nil
	}
	s := t.Samples[i]
	if fn(&s); s == t.Samples[i] {
		return nil
	}
	return c.addLocked(machine, s)
}

func (c *Counters) addLocked(machine string, s Sample) error {
	t, broken := c.read(c.path(machine))
	switch {
	case errors.Is(broken, os.ErrNotExist):
		broken = nil
	case errors.As(broken, new(*os.PathError)):
		return broken
	case broken != nil:
		if err := os.Rename(c.path(machine), c.path(machine)+".broken"); err != nil {
			return errors.Join(broken, err)
		}
		broken = fmt.Errorf("%w; it is kept as %s.broken and begun anew", broken, c.path(machine))
		t = Trend{}
	}
	t.Machine = machine
	t.add(s)
	return errors.Join(broken, c.write(t))
}

func (t *Trend) add(s Sample) {
	if i := slices.IndexFunc(t.Samples, s.same); i >= 0 {
		t.count(t.Samples[i], -1)
		t.Samples[i] = s
	} else {
		t.Samples = append(t.Samples, s)
	}
	t.count(s, 1)
	t.Samples = t.Samples[max(0, len(t.Samples)-keep):]
}

func (t *Trend) count(s Sample, sign int) {
	t.Runs += sign
	if s.Result != OK {
		t.Failed += sign
	}
	t.Took += s.Took * time.Duration(sign)
	t.Read += s.Read * int64(sign)
	t.New += s.New * int64(sign)
	t.Written += s.Written * int64(sign)
}

// Get returns the trend of a machine; an empty one if nothing is known.
func (c *Counters) Get(machine string) (Trend, error) {
	t, err := c.read(c.path(machine))
	if errors.Is(err, os.ErrNotExist) {
		return Trend{Machine: machine}, nil
	}
	return t, err
}

func (c *Counters) read(path string) (Trend, error) {
	var t Trend
	text, err := os.ReadFile(path)
	if err != nil {
		return t, fmt.Errorf("counters: %w", err)
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return Trend{}, fmt.Errorf("counters %s: %w", path, err)
	}
	if c.path(t.Machine) != path {
		return Trend{}, fmt.Errorf("counters %s: they are of %q, who has another file", path, t.Machine)
	}
	t.complete()
	return t, nil
}

// write replaces the file as a whole.
func (c *Counters) write(t Trend) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("counters of %s: %w", t.Machine, err)
	}
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	err = statefile.ReplaceBytes(root, filepath.Base(c.path(t.Machine)), 0o640, text)
	if err = errors.Join(err, root.Close()); err != nil {
		return fmt.Errorf("counters in %s: %w", c.dir, err)
	}
	return nil
}
