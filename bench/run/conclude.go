package run

import (
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"tresor/bench/result"
	"tresor/bench/workload"
)

// noteSizes has the record say what was chosen for this machine.
func (s *session) noteSizes(z workload.Sizes) {
	for name, value := range map[string]string{
		"data-bytes": fmt.Sprint(z.Data), "image-bytes": fmt.Sprint(z.Image), "random-bytes": fmt.Sprint(z.Random), "small-files": fmt.Sprint(z.Small), "overwrites": fmt.Sprint(z.Overwrites),
		"last-level-cache-bytes": fmt.Sprint(workload.LastLevelCache()),
	} {
		s.record.Options[name] = value
	}
}

// conclude notes what has fewer samples than rounds, how much of the disk was used, and whether the machine was busy.
func (s *session) conclude() {
	s.record.Options["disk-bytes-used"] = strconv.FormatUint(s.used, 10)
	for _, row := range s.rows {
		few := s.o.Rounds
		for _, i := range row {
			if i.w.Once || s.dead[i.name()] || s.dead[i.c.Name()] {
				continue
			}
			for _, series := range i.w.Series {
				if s.o.wants(series, i.c.Name()) {
					few = min(few, s.samples(series, i.c.Name()))
				}
			}
		}
		if few < s.o.Rounds {
			s.record.Skip(row[0].w.Name, fmt.Sprintf("%d of %d rounds: no time for more", few, s.o.Rounds))
		}
	}
	if n := s.record.Find("write-known/128k/1", "null"); n != nil {
		if rate := n.Estimate().Median; rate < busy {
			s.record.Void = fmt.Sprintf("busy machine: the null file system's write reached %.2f GB/s, less than %.1f", rate/1e9, busy/1e9)
		}
	} else if !s.o.Quick && slices.ContainsFunc(s.record.Series, func(x *result.Series) bool { return x.Unit == result.BytesPerSecond }) {
		s.record.Skip("whether the machine was busy", "write-known/128k/1 null was not measured")
	}
}

func (s *session) samples(workload, contender string) int {
	if series := s.record.Find(workload, contender); series != nil {
		return len(series.Samples)
	}
	return 0
}

// freeBytes of the disk, 0 if unknown.
func freeBytes(dir string) uint64 {
	var disk unix.Statfs_t
	if unix.Statfs(dir, &disk) != nil {
		return 0
	}
	return disk.Bfree * uint64(disk.Bsize)
}
