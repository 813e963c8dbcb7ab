package result

import "fmt"

// Spread is what the intervals of two estimates (Lo to Hi) say about each other.
type Spread string

// Disjoint intervals have no value in common: the two do not agree within the spread that they state themselves. One sample states none.
const (
	Overlapping Spread = "overlapping"
	Disjoint    Spread = "disjoint"
	NoSpread    Spread = "none"
)

func spreadOf(a, b Estimate) Spread {
	switch {
	case a.N < 2 || b.N < 2:
		return NoSpread
	case a.Hi < b.Lo || b.Hi < a.Lo:
		return Disjoint
	}
	return Overlapping
}

// intervals says so where they are disjoint.
func (d Delta) intervals() string {
	if d.Spread == Disjoint {
		return string(Disjoint)
	}
	return ""
}

// Agreement is how many of some series agree within their stated spread: of those that state one on both sides.
type Agreement struct {
	Agree int `json:"agree"`
	Of    int `json:"of"`
}

// String is "n of m".
func (a Agreement) String() string { return fmt.Sprintf("%d of %d", a.Agree, a.Of) }

// Agreements are those of ours, of the ceilings (raw, null, loopback), and of all others: hashes (hash-cores, too), the plain loop and the programs of others.
type Agreements struct {
	All      Agreement `json:"all"`
	Ours     Agreement `json:"ours"`
	Ceilings Agreement `json:"ceilings"`
	Others   Agreement `json:"others"`
}

// Agreements counts the series whose intervals are not disjoint.
func (c Comparison) Agreements() (a Agreements) {
	for _, d := range c.Deltas {
		part := &a.Others
		switch {
		case d.ours():
			part = &a.Ours
		case isCeiling(d.Contender):
			part = &a.Ceilings
		}
		for _, p := range []*Agreement{part, &a.All} {
			if d.Spread != NoSpread {
				p.Of++
			}
			if d.Spread == Overlapping {
				p.Agree++
			}
		}
	}
	return a
}

func isCeiling(contender string) bool {
	return contender == raw || contender == null || contender == "loopback"
}
