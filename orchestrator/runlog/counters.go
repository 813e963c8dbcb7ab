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
	"strings"
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
	Written int64         `json:"written"`  // bytes that the volume had not held before
	Result  Result        `json:"result"`   // of the copy
	Verdict string        `json:"verdict"`  // an orchestrator.Verdict
	Checked time.Time     `json:"verified"` // when it was verified; zero: it was not
}

// Ratio is bytes read for each byte written, 0 if nothing was written.
func (s Sample) Ratio() float64 {
	if s.Written <= 0 {
		return 0
	}
	return float64(s.Read) / float64(s.Written)
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
	Written int64         `json:"written"`
	Samples []Sample      `json:"samples"` // in the order in which they came, the newest last
}

// VerifiedAge is how long ago the newest verified backup was verified; false: there is none.
func (t Trend) VerifiedAge(now time.Time) (time.Duration, bool) {
	for _, s := range slices.Backward(t.Samples) {
		if !s.Checked.IsZero() {
			return now.Sub(s.Checked), true
		}
	}
	return 0, false
}

// LastGood returns the newest sample with result OK; false: there is none.
func (t Trend) LastGood() (Sample, bool) {
	for _, s := range slices.Backward(t.Samples) {
		if s.Result == OK {
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

// OpenCounters opens the directory, which is made if it is missing.
func OpenCounters(dir string) (*Counters, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open counters: %w", err)
	}
	return &Counters{dir: dir}, nil
}

// path of a machine: any UTF-8 may be its name, and different names have different files.
func (c *Counters) path(machine string) string {
	name := url.PathEscape(machine)
	if len(name) > 200 {
		name = fmt.Sprintf("%%sha256-%x", sha256.Sum256([]byte(machine)))
	}
	return filepath.Join(c.dir, name+".json")
}

// Add adds a sample. A sample with the run and the backup of an earlier one replaces it, as after a late verification. If the file cannot be decoded it is
// kept beside as .broken and a new one is begun, which the error says; the sample is in it.
func (c *Counters) Add(machine string, s Sample) error {
	if machine == "" {
		return errors.New("counters: a machine without a name")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
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
	if i := slices.IndexFunc(t.Samples, func(o Sample) bool { return o.Run == s.Run && o.Backup == s.Backup }); i >= 0 {
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

// All returns the trends of all machines that can be read, in the order of their names; the error has the others.
func (c *Counters) All() ([]Trend, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	var all []Trend
	var errs []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") || !e.Type().IsRegular() {
			continue
		}
		t, err := c.read(filepath.Join(c.dir, e.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Trend) int { return strings.Compare(a.Machine, b.Machine) })
	return all, errors.Join(errs...)
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
	return t, nil
}

// write replaces the file as a whole.
func (c *Counters) write(t Trend) error {
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("counters of %s: %w", t.Machine, err)
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
