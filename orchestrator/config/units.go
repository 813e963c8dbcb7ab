package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseSize reads bytes: a number, with one of k, M, G, T (powers of 1024, in either case) behind it.
func parseSize(s string) (int64, error) {
	digits, shift := s, 0
	if n := len(s); n > 0 {
		if i := strings.IndexByte("KMGT", s[n-1]&^0x20); i >= 0 {
			digits, shift = s[:n-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("size %q: want a number and k, M, G or T", s)
	}
	return n << shift, nil
}

// formatSize is the shortest text that parseSize reads back as n.
func formatSize(n int64) string {
	for i := 4; i > 0; i-- {
		if unit := int64(1) << (10 * i); n >= unit && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + "kMGT"[i-1:i]
		}
	}
	return strconv.FormatInt(n, 10)
}

const day = 24 * time.Hour

// parseDuration reads what time.ParseDuration reads, and whole days: 2d, 1d12h.
func parseDuration(s string) (int64, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("time %q: want whole days before the d", s)
	}
	var d time.Duration
	if rest != "" || !ok {
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, fmt.Errorf("time %q: want 90s, 5m, 4h or 2d", s)
		}
	}
	if d > math.MaxInt64-time.Duration(n)*day {
		return 0, fmt.Errorf("time %q: more than 290 years", s)
	}
	return int64(time.Duration(n)*day + d), nil
}

// formatDuration is a short text that parseDuration reads back as d.
func formatDuration(d time.Duration) string {
	if d >= day && d%time.Hour == 0 {
		text := strconv.FormatInt(int64(d/day), 10) + "d"
		if rest := d % day; rest > 0 {
			text += strconv.FormatInt(int64(rest/time.Hour), 10) + "h"
		}
		return text
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
