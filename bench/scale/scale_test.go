package scale

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"tresor/bench/result"
	"tresor/bench/run"
)

// TestScale measures a volume of TRESOR_ENTRIES entries. Without that it is so small that only what does not depend on the size is seen: that
// everything comes to its end, finds what is there, and frees what nobody has.
func TestScale(t *testing.T) {
	n := uint64(200_000)
	long := os.Getenv("TRESOR_ENTRIES")
	if long != "" {
		var err error
		if n, err = strconv.ParseUint(long, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	f, err := measure(dir, n)
	if err != nil {
		t.Fatal(err)
	}
	rec := record{Machine: run.Machine(dir), Revision: run.Sources(), Figures: f}
	t.Logf("\n%s, revision %s\n%s", rec.Machine, rec.Revision, f.table())
	t.Logf("for docs/performance.md:\n%s", rec.row())
	text, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + string(text))
	if name := os.Getenv("TRESOR_JSON"); name != "" {
		if err := os.WriteFile(name, append(text, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var nobodys uint64
	for i := uint64(0); i < files; i += 10 {
		nobodys += (i+1)*n/files - i*n/files
	}
	if want := nobodys + f.PutBlocks; f.Freed != want {
		t.Errorf("blocks freed: have %d, want %d", f.Freed, want)
	}
	if long == "" {
		return
	}
	for _, miss := range f.misses() {
		t.Error(miss)
	}
}

// record is what is kept of a run: the figures, and what they were measured on.
type record struct {
	Machine  result.Machine `json:"machine"`
	Revision string         `json:"revision"` // of the sources
	*Figures
}

// table is the figures as text.
func (f *Figures) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, value string) { _, _ = w.Write([]byte(name + "\t" + value + "\n")) }
	num := func(v float64, unit string) string { return strconv.FormatFloat(v, 'f', 2, 64) + " " + unit }
	line("entries", strconv.FormatUint(f.Entries, 10))
	line("blocks", strconv.FormatUint(f.Blocks, 10)+" of "+f.size())
	line("index", num(float64(f.Index)/1e9, "GB"))
	line("filled in", num(f.Fill, "s"))
	line("index read in", num(f.ReadIndex, "s"))
	line("mount", num(f.Mount, "s")+", "+num(f.MountCPU, "s of processors"))
	line("mount, empty", num(f.MountEmpty, "s")+", "+num(f.MountEmptyCPU, "s of processors"))
	line("memory", num(float64(f.Memory)/1e9, "GB"))
	line("look-up, found", num(f.Hit, "ns"))
	line("look-up, absent", num(f.Miss, "ns"))
	line("insert, 90 % full", num(f.Insert, "ns"))
	line("insert, empty", num(f.InsertEmpty, "ns"))
	line("store a block of "+f.size()+", 90 % full", f.passText(true))
	line("store a block of "+f.size()+", empty", f.passText(false))
	line("speed of that, full by empty", f.ratioText())
	line("check", num(f.Check, "s")+", "+num(f.CheckCPU, "s of processors"))
	line("reclaim", num(f.Reclaim, "s")+", "+num(f.ReclaimCPU, "s of processors"))
	_ = w.Flush()
	return b.String()
}

// size is that of a block as text.
func (f *Figures) size() string { return strconv.Itoa(f.BlockSize>>10) + " KiB" }

// passText is the median of one volume's passes, and how far they lie apart.
func (f *Figures) passText(full bool) string {
	list := f.cpu(full)
	e := result.Summarize(list)
	return fmt.Sprintf("%.2f us of processors (%.2f to %.2f; all %d passes %.2f to %.2f)", e.Median/1e3, e.Lo/1e3, e.Hi/1e3,
		e.N, slices.Min(list)/1e3, slices.Max(list)/1e3)
}

// ratioText is the ratio of the medians, and the interval of those of the rounds.
func (f *Figures) ratioText() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", f.PutRatio.Median, f.PutRatio.Lo, f.PutRatio.Hi)
}

// row is a line for the table of docs/performance.md.
func (r *record) row() string {
	m, f := r.Machine, r.Figures
	return fmt.Sprintf("| %d cores of %s, %.0f GiB, %s | %s | %s | %s | scale (`make bench-scale ENTRIES=%d`), 90 %% full, blocks of %s: memory; mount full, empty, index read once; "+
		"look-up found, absent; insert full, empty; store a block at 90 %% against empty (processors, medians of %d passes each in turn, interval of the rounds); "+
		"check, processors; reclaim, processors | %.2f GB; %.2f, %.2f, %.2f s; %.0f, %.0f ns; %.0f, %.0f ns; %s x (must %g); %.1f, %.1f s; %.1f, %.1f s |",
		m.Cores, m.CPU, float64(m.Memory)/(1<<30), m.FileSystem, m.Kernel, strings.TrimPrefix(m.Go, "go"), r.Revision, f.Entries, f.size(), f.PutRatio.N,
		float64(f.Memory)/1e9, f.Mount, f.MountEmpty, f.ReadIndex, f.Hit, f.Miss, f.Insert, f.InsertEmpty, f.ratioText(), leastRatio,
		f.Check, f.CheckCPU, f.Reclaim, f.ReclaimCPU)
}
