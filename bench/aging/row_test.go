package aging

import (
	"fmt"
	"runtime"
	"strings"

	"tresor/bench/run"
)

// row is a line for the table of docs/performance.md: the generations that were read cold, in their order.
func (h *history) row(name string, rounds int, cold []Cold) string {
	m := run.Machine(h.o.Dir)
	var numbers, runs, rates, writes []string
	for _, c := range cold {
		g := h.list[c.Generation-1]
		numbers = append(numbers, fmt.Sprint(c.Generation))
		runs = append(runs, fmt.Sprintf("%.0f", g.RunsPerGiB))
		rates = append(rates, fmt.Sprintf("%.2f (%.2f)", c.Rate/1e9, c.Ratio))
		writes = append(writes, fmt.Sprintf("%.2f", g.WriteRate/1e9))
	}
	return fmt.Sprintf("| %d cores of %s, %.0f GiB, %s | %s | %s | %s | aging (%s, %d generations of %.0f MiB, %.0f %% changed each, blocks of %d KiB), generation %s: "+
		"runs per GiB; cold read through a mount (of generation 1), medians of %d passes in turn; write without FUSE, with the fsync | %s; %s GB/s (must 0.8); %s GB/s |",
		m.Cores, m.CPU, float64(m.Memory)/(1<<30), m.FileSystem, m.Kernel, strings.TrimPrefix(runtime.Version(), "go"), run.Sources(), name, h.o.Generations,
		float64(int64(h.o.Images)*h.o.ImageSize)/(1<<20), 100*h.o.Share, h.o.BlockSize>>10, strings.Join(numbers, ", "), rounds,
		strings.Join(runs, ", "), strings.Join(rates, ", "), strings.Join(writes, ", "))
}
