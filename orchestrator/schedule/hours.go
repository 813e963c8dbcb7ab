package schedule

import (
	"fmt"
	"time"
)

// Hours are the hours of a day in which a machine is left alone, both ends included. From 24 with Till -1 blocks nothing, as the
// predecessor's default; the zero value is the hour after midnight.
type Hours struct {
	From int // 0 to 24
	Till int // -1 to 23; smaller than From: over midnight
}

// NoHours blocks nothing.
func NoHours() Hours { return Hours{From: 24, Till: -1} }

// Check reports bounds that no day has.
func (h Hours) Check() error {
	if h.From < 0 || h.From > 24 || h.Till < -1 || h.Till > 23 {
		return fmt.Errorf("blocked hours from %d till %d: want from 0 to 24 and till -1 to 23", h.From, h.Till)
	}
	return nil
}

// BlockedHour tells whether an hour from 0 to 23 is among them. From equal to Till is exactly that hour.
func (h Hours) BlockedHour(hour int) bool {
	if h.Till < h.From {
		return hour >= h.From || hour <= h.Till
	}
	return h.From <= hour && hour <= h.Till
}

// Blocked tells whether t is among them, by the clock on the wall in t's own zone.
func (h Hours) Blocked(t time.Time) bool { return h.BlockedHour(t.Hour()) }
