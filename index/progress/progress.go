// Package progress carries how far a long work is from the engine to whoever shows it: stages with a name, a unit, what is done
// and what there is to do. It shows nothing itself.
package progress

import (
	"fmt"
	"math"
	"strconv"
	"sync"

	"tresor/index/format"
)

// Unit is what a stage counts.
type Unit string

const (
	// Bytes of data read, hashed or moved: a rate in bytes a second is shown.
	Bytes Unit = "bytes"
	// Files of the volume.
	Files Unit = "files"
	// Entries of index or files.
	Entries Unit = "entries"
)

// Stage is the state of one stage of a work.
type Stage struct {
	Name  string `json:"stage"`
	Unit  Unit   `json:"unit"`
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"` // 0: not known
}

// String is the name with what is done, as "hash blocks 12.5% (1 GiB of 8 GiB)".
func (s Stage) String() string {
	show := func(n uint64) string { return strconv.FormatUint(n, 10) }
	unit := " " + string(s.Unit)
	if s.Unit == Bytes {
		show, unit = func(n uint64) string { return format.FormatSize(int64(min(n, math.MaxInt64))) }, ""
	}
	if s.Total == 0 {
		return s.Name + " " + show(s.Done) + unit
	}
	return fmt.Sprintf("%s %.1f%% (%s of %s%s)", s.Name, 100*float64(s.Done)/float64(s.Total), show(s.Done), show(s.Total), unit)
}

// Func takes the state of a stage. Calls do not overlap; it must be quick and must not block.
type Func func(Stage)

// Meter counts what a stage has done and reports it. Add may be called from several goroutines.
type Meter struct {
	report Func

	// mu guards stage and is held during report. Nothing of ours is taken under it but the lock of the display.
	mu    sync.Mutex
	stage Stage
}

// New starts a stage of total units, 0 if that is not known; report may be nil.
func New(report Func, name string, unit Unit, total uint64) *Meter {
	m := &Meter{report: report, stage: Stage{Name: name, Unit: unit, Total: total}}
	m.Add(0)
	return m
}

// Add counts n more units and reports the new state.
func (m *Meter) Add(n uint64) {
	if m.report == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stage.Done += n
	m.report(m.stage)
}
