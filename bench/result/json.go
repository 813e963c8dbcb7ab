package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrFormat says that a record has a form that this program does not know.
var ErrFormat = errors.New("unknown format of benchmark results")

const (
	maxRecord  = 64 << 20 // bytes of a record: a thousand times what a long run writes
	maxSamples = 1 << 20  // of a series
)

// WriteJSON writes the record in the present format, indented.
func (r *Run) WriteJSON(w io.Writer) error {
	out := *r
	out.Format = Format
	if err := out.check(); err != nil {
		return fmt.Errorf("write benchmark results: %w", err)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(&out); err != nil {
		return fmt.Errorf("write benchmark results: %w", err)
	}
	return nil
}

// ReadJSON reads what WriteJSON wrote. A record of another format is ErrFormat with both numbers; one that contradicts itself (a series
// twice, a value that is no positive number, a direction that is not that of the unit) is refused with its place.
func ReadJSON(rd io.Reader) (*Run, error) {
	text, err := io.ReadAll(io.LimitReader(rd, maxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("read benchmark results: %w", err)
	}
	if len(text) > maxRecord {
		return nil, fmt.Errorf("read benchmark results: more than %d bytes", maxRecord)
	}
	// The format comes first: one that is not known may have fields of other types.
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("read benchmark results: %w", err)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("read benchmark results: format %d, want %d: %w", head.Format, Format, ErrFormat)
	}
	r := new(Run)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read benchmark results: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("read benchmark results: %w", err)
	}
	return r, nil
}

// check finds what no run writes.
func (r *Run) check() error {
	if !finite(r.Took) || r.Took < 0 {
		return fmt.Errorf("took_seconds: have %v", r.Took)
	}
	seen := map[[2]string]bool{}
	for i, s := range r.Series {
		if s == nil {
			return fmt.Errorf("series %d: null", i)
		}
		if err := s.check(); err != nil {
			return fmt.Errorf("series %d: %w", i, err)
		}
		name := [2]string{s.Workload, s.Contender}
		if seen[name] {
			return fmt.Errorf("series %d, %s %s: there twice", i, s.Workload, s.Contender)
		}
		seen[name] = true
	}
	return nil
}

func (s *Series) check() error {
	at := s.Workload + " " + s.Contender
	if s.Workload == "" || s.Contender == "" {
		return fmt.Errorf("%q: workload or contender without a name", at)
	}
	if s.Unit.Better() == "" {
		return fmt.Errorf("%s: unknown unit %q", at, s.Unit)
	}
	if s.Better != s.Unit.Better() {
		return fmt.Errorf("%s: better %q, want %q for unit %q", at, s.Better, s.Unit.Better(), s.Unit)
	}
	if len(s.Samples) == 0 || len(s.Samples) > maxSamples {
		return fmt.Errorf("%s: %d samples, want 1 to %d", at, len(s.Samples), maxSamples)
	}
	rounds := make(map[int]bool, len(s.Samples))
	for i, v := range s.Samples {
		switch {
		case v.Round < 0 || rounds[v.Round]:
			return fmt.Errorf("%s, sample %d: round %d is negative or there twice", at, i, v.Round)
		case !finite(v.Value) || v.Value <= 0:
			return fmt.Errorf("%s, sample %d: value %v, want a positive number", at, i, v.Value)
		case !finite(v.CPU) || v.CPU < 0:
			return fmt.Errorf("%s, sample %d: cpu_seconds %v, want 0 or more", at, i, v.CPU)
		}
		rounds[v.Round] = true
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
