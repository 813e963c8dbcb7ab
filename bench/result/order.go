package result

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Ceiling is the contender that the others of a workload are held against: the slower one of the bare disk ("raw") and of a file
// system of the same library that does nothing ("null"), as far as they are there; else the library's own example ("loopback"); nil if there
// is none of them. Those have no blocks of their own and are measured once, beside volumes with blocks of 128 KiB: that stands for other
// sizes as well. Random reads have none: with O_DIRECT the bare disk reads from the disk, and a volume from the page cache of its block file.
func (r *Run) Ceiling(workload string) *Series {
	if Kind(workload) == "rand-read" {
		return nil
	}
	for _, w := range []string{workload, atUsualSize(workload)} {
		raw, null := r.Find(w, "raw"), r.Find(w, "null")
		switch {
		case raw != nil && null != nil && raw.Unit == null.Unit:
			if raw.Times(null) < 1 {
				return raw
			}
			return null
		case null != nil:
			return null
		case raw != nil:
			return raw
		}
		if s := r.Find(w, "loopback"); s != nil {
			return s
		}
	}
	return nil
}

// atUsualSize is the same workload with blocks of 128 KiB.
func atUsualSize(workload string) string {
	parts := strings.Split(workload, "/")
	if len(parts) > 1 {
		parts[1] = "128k"
	}
	return strings.Join(parts, "/")
}

// Times is how many times as good as the other series this one is, by medians: 0.5 is half the rate, or twice the time.
func (s *Series) Times(other *Series) float64 {
	q := s.Estimate().Median / other.Estimate().Median
	if s.Unit.Better() == Lower {
		return 1 / q
	}
	return q
}

// Workloads lists the names of the workloads in the order in which they were first measured, those of a kind (the name up to the first
// slash) together, by numbers of threads and sizes of blocks.
func (r *Run) Workloads() []string {
	var kinds, list []string
	for _, s := range r.Series {
		if k := Kind(s.Workload); !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
		if !slices.Contains(list, s.Workload) {
			list = append(list, s.Workload)
		}
	}
	slices.SortStableFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, Kind(a)), slices.Index(kinds, Kind(b))), slices.Compare(numbers(a), numbers(b)))
	})
	return list
}

// numbers of a name are that of threads, then the size of blocks in bytes: 0 where there is none.
func numbers(workload string) []int64 {
	list := []int64{0, 0}
	for f := range strings.SplitSeq(workload, "/") {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil {
			list[0] = n
			continue
		}
		for i, unit := range []string{"k", "M", "G", "T"} {
			digits, ok := strings.CutSuffix(f, unit)
			if n, err := strconv.ParseInt(digits, 10, 20); ok && err == nil {
				list[1] = n << (10 * (i + 1))
			}
		}
	}
	return list
}

// Kind is the name of a workload up to the first slash.
func Kind(workload string) string {
	kind, _, _ := strings.Cut(workload, "/")
	return kind
}

// Of lists the series of a workload: ceilings first, then ours, then all others by name.
func (r *Run) Of(workload string) (list []*Series) {
	for _, s := range r.Series {
		if s.Workload == workload {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b *Series) int { return ByContender(a.Contender, b.Contender) })
	return list
}

// ByContender orders contenders: ceilings first, then ours, then all others by name; the two sides of a comparison with the same hash beside each other.
func ByContender(a, b string) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(sideKind(a), sideKind(b)), cmp.Compare(a, b))
}

// sideKind is what two sides of a comparison have in common, "" for all others.
func sideKind(contender string) string {
	if !strings.HasPrefix(contender, "A:") && !strings.HasPrefix(contender, "B:") {
		return ""
	}
	return contender[strings.LastIndexByte(contender, '-')+1:]
}

func rank(contender string) int {
	if i := slices.Index([]string{"raw", "null", "loopback"}, contender); i >= 0 {
		return i
	}
	if strings.HasPrefix(contender, "ours") {
		return 3
	}
	return 4
}
