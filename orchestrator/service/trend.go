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
	Written     int64         `json:"written"`            // bytes that the volume had not held before, the last one
	Ratio       float64       `json:"ratio,omitempty"`    // bytes read for each byte written, over all of them
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
			fmt.Fprintf(b, "  %s: %d backups, %d failed; the last one took %s (usually %s), %.1f MB read, %.1f MB new; read to new %s; verified %s\n", m.Name, t.Backups, t.Failed,
				t.Took.Round(time.Second), t.Usual.Round(time.Second), float64(t.Read)/1e6, float64(t.Written)/1e6, t.RatioText(), when(t.Verified))
		}
	}
}
