package result

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// compared is the JSON form of a comparison.
type compared struct {
	Format       int        `json:"format"` // that of the records
	A            side       `json:"a"`
	B            side       `json:"b"`
	SameMachine  bool       `json:"same_machine"`
	Series       []Delta    `json:"series"`
	OnlyA        []string   `json:"only_a,omitempty"` // "workload contender"
	OnlyB        []string   `json:"only_b,omitempty"`
	GainOfOurs   float64    `json:"gain_of_ours,omitempty"`  // geometric mean of all gains of ours, less 1
	OthersDiffer bool       `json:"others_differ,omitempty"` // contenders that are the same in both changed significantly
	Agreements   Agreements `json:"agree_within_their_stated_spread"`
}

type side struct {
	Started  time.Time `json:"started"`
	Machine  Machine   `json:"machine"`
	Revision Revision  `json:"revision"`
	Programs []Program `json:"programs,omitempty"` // of that side
	DDBench  string    `json:"ddbench,omitempty"`  // revision of the program that measured
	Void     string    `json:"void,omitempty"`
}

// WriteJSON writes what WriteText prints, indented.
func (c Comparison) WriteJSON(w io.Writer) error {
	of := func(r *Run) side {
		return side{r.Started, r.Machine, r.Revision, r.Programs, r.Options["ddbench-revision"], r.Void}
	}
	out := compared{Format: Format, A: of(c.A), B: of(c.B), SameMachine: c.A.Machine == c.B.Machine, Series: c.Deltas, OnlyA: c.OnlyA, OnlyB: c.OnlyB,
		OthersDiffer: c.drifted(), Agreements: c.Agreements()}
	if m, ok := c.geometricMean(); ok {
		out.GainOfOurs = m - 1
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(&out); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}
