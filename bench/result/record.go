package result

import (
	"fmt"
	"time"
)

// Format is the version of the JSON form that this package writes; ReadJSON refuses every other.
const Format = 1

// Unit is what a sample counts, in base units. It decides whether more is better.
type Unit string

// The units that exist.
const (
	BytesPerSecond      Unit = "B/s"
	OperationsPerSecond Unit = "op/s"
	Seconds             Unit = "s"
	Bytes               Unit = "B"
)

// Better tells which of two values of a unit is the better one.
type Better string

// The two directions.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// Better is Higher for rates, Lower for times and sizes, "" for a unit that does not exist.
func (u Unit) Better() Better {
	switch u {
	case BytesPerSecond, OperationsPerSecond:
		return Higher
	case Seconds, Bytes:
		return Lower
	}
	return ""
}

// Run is the record of one run of the benchmark.
type Run struct {
	Format   int               `json:"format"`
	Started  time.Time         `json:"started"`
	Took     float64           `json:"took_seconds"`
	Machine  Machine           `json:"machine"`
	Revision Revision          `json:"revision"`           // of the first program
	Programs []Program         `json:"programs,omitempty"` // all that were measured, in the order given
	Options  map[string]string `json:"options"`            // of the run, as given and by default: name without dashes, value; sizes that were chosen; versions of ddbench and of programs of others
	Void     string            `json:"void,omitempty"`
	Series   []*Series         `json:"series"` // in the order in which they were first measured
	Skipped  []Skipped         `json:"skipped,omitempty"`
}

// Machine is what a run was measured on. Empty and 0 where it cannot be found out.
type Machine struct {
	CPU        string `json:"cpu"`    // model name of /proc/cpuinfo
	Cores      int    `json:"cores"`  // that the process may use
	Memory     int64  `json:"memory"` // bytes
	Kernel     string `json:"kernel"` // release
	Go         string `json:"go"`     // version, such as "go1.26.8"
	GoFuse     string `json:"go_fuse"`
	FileSystem string `json:"file_system"` // type of that of the directory, such as "ext4"
	Device     string `json:"device"`      // below it, as mountinfo says
}

// Program is a ddumbfs program that was measured: its contenders are LABEL-HASH.
type Program struct {
	Label    string   `json:"label"`
	Path     string   `json:"path"`
	Revision Revision `json:"revision"`
}

// Revision is what was measured.
type Revision struct {
	Git      string `json:"git"`      // full hash, "" if unknown
	Modified bool   `json:"modified"` // the work tree had changes that no revision has
}

// Series is what one contender reached in one workload.
type Series struct {
	Workload  string   `json:"workload"`  // kind/request or block size/writers, such as "write-known/128k/1"
	Contender string   `json:"contender"` // such as "null", "raw", "loopback", "ours-BLAKE3"
	Unit      Unit     `json:"unit"`
	Better    Better   `json:"better"`
	Samples   []Sample `json:"samples"` // in the order of measurement
}

// Sample is one measured value. Samples of one round were measured one soon after another: only those are divided by each other.
type Sample struct {
	Round int     `json:"round"` // from 0
	Value float64 `json:"value"` // in the unit of the series, greater than 0
	CPU   float64 `json:"cpu_seconds,omitempty"`
}

// Skipped is something that was asked for and not measured.
type Skipped struct {
	What string `json:"what"` // a contender, a workload, or "workload contender"
	Why  string `json:"why"`
}

// AddSample adds to the series of a workload and a contender, which begins with its first sample. CPU is user and system time of all
// processes that did the work, 0 if unknown.
//
// It is an error if the series has another unit, if the round has a sample already, or if a value is not a positive, finite number.
func (r *Run) AddSample(workload, contender string, unit Unit, s Sample) error {
	series := r.Find(workload, contender)
	if series == nil {
		series = &Series{Workload: workload, Contender: contender, Unit: unit, Better: unit.Better()}
	}
	grown := *series
	grown.Samples = append(grown.Samples, s)
	if series.Unit != unit {
		return fmt.Errorf("add sample %s %s: unit %q, have %q", workload, contender, unit, series.Unit)
	}
	if err := grown.check(); err != nil {
		return fmt.Errorf("add sample: %w", err)
	}
	if len(series.Samples) == 0 {
		r.Series = append(r.Series, series)
	}
	series.Samples = grown.Samples
	return nil
}

// Skip notes that something was not measured, and why.
func (r *Run) Skip(what, why string) {
	r.Skipped = append(r.Skipped, Skipped{What: what, Why: why})
}

// Find returns the series of a workload and a contender, nil if there is none.
func (r *Run) Find(workload, contender string) *Series {
	for _, s := range r.Series {
		if s.Workload == workload && s.Contender == contender {
			return s
		}
	}
	return nil
}

// Values returns the samples as bare numbers, in the order of measurement.
func (s *Series) Values() []float64 {
	list := make([]float64, len(s.Samples))
	for i, v := range s.Samples {
		list[i] = v.Value
	}
	return list
}

// Round returns the value of a round.
func (s *Series) Round(n int) (value float64, ok bool) {
	for _, v := range s.Samples {
		if v.Round == n {
			return v.Value, true
		}
	}
	return 0, false
}
