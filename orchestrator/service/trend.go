package service

import (
	"fmt"
	"strings"
	"time"
)

// Trend is what the backups of a machine took and gave.
type Trend struct {
	Backups     int           `json:"backups"` // that were tried
	Failed      int           `json:"failed"`
	Took        time.Duration `json:"took_ns"`            // the last one
	Usual       time.Duration `json:"usual_ns,omitempty"` // those before it, on average
	Read        int64         `json:"read"`               // bytes of the source, the last one
	New         int64         `json:"new"`                // of these, what the volume had not held before
	Written     int64         `json:"written"`            // what that takes in whole blocks
	Ratio       float64       `json:"ratio,omitempty"`    // bytes read for each new one, over all of them
	Verified    time.Time     `json:"verified,omitzero"`  // when the newest verified one was verified
	VerifiedAge time.Duration `json:"verified_age_ns,omitempty"`
}

// RatioText is the ratio for people.
func (t *Trend) RatioText() string {
	if t.Ratio <= 0 {
		return "nothing new"
	}
	return fmt.Sprintf("%.1f : 1", t.Ratio)
}

// newText says how much was new data, and what that takes in whole blocks: the content of small files takes a block each.
func newText(data, blocks int64) string {
	return fmt.Sprintf("%.1f MB new (in whole blocks %.1f MB)", float64(data)/1e6, float64(blocks)/1e6)
}

// trends is the part of a report about them.
func (s *Service) trends(b *strings.Builder) {
	sn := s.snapshot()
	if sn.Trend == nil {
		return
	}
	b.WriteString("\nMachines\n")
	for _, m := range sn.Machines {
		t, err := sn.Trend(m.Name)
		switch {
		case err != nil:
			fmt.Fprintf(b, "  %s: %v\n", m.Name, err)
		case t == nil:
			fmt.Fprintf(b, "  %s: no backup yet\n", m.Name)
		default:
			fmt.Fprintf(b, "  %s: %d backups, %d failed; the last one took %s (usually %s), %.1f MB read, %s; read to new %s; verified %s\n", m.Name, t.Backups, t.Failed,
				t.Took.Round(time.Second), t.Usual.Round(time.Second), float64(t.Read)/1e6, newText(t.New, t.Written), t.RatioText(), when(t.Verified))
		}
	}
}
