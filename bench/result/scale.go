package result

import (
	"fmt"
	"math"
)

// Scale is how values of a unit are printed: divided by Divisor, with Name as their unit.
type Scale struct {
	Divisor float64
	Name    string
}

// ScaleOf chooses the prefix with which the value has one to three digits before the point, as far as there are prefixes.
func ScaleOf(u Unit, value float64) Scale {
	list := map[Unit][]Scale{
		BytesPerSecond:      {{1e9, "GB/s"}, {1e6, "MB/s"}, {1e3, "kB/s"}, {1, "B/s"}},
		OperationsPerSecond: {{1e6, "M op/s"}, {1e3, "k op/s"}, {1, "op/s"}},
		Seconds:             {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}},
		Bytes:               {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}},
	}[u]
	for _, s := range list {
		if math.Abs(value) >= s.Divisor {
			return s
		}
	}
	if len(list) == 0 {
		return Scale{1, string(u)}
	}
	return list[len(list)-1]
}

// Format prints a value with three digits, without the unit: 1234, 123, 12.3, 1.23, 0.012.
func (s Scale) Format(value float64) string { return digits(value / s.Divisor) }

// digits prints three significant digits, but never more than three behind the point.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e6: // beyond all prefixes
		return fmt.Sprintf("%.3g", v)
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.0995:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
