package scale

import (
	"encoding/json"
	"os"
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
	if want := nobodys + uint64(putBytes(n)/f.BlockSize); f.Freed != want {
		t.Errorf("blocks freed: have %d, want %d", f.Freed, want)
	}
	if long == "" {
		return
	}
	// In time of the processors, so that a busy machine does not decide.
	if f.Put > f.PutEmpty/0.8 {
		t.Errorf("a new block in an index that is %.0f %% full: have %.0f ns, in an empty one %.0f, want 0.8 of its speed", 100*fillPart, f.Put, f.PutEmpty)
	}
	if most := 1.25 * (f.MountEmptyCPU + f.ReadIndex); f.MountCPU > most { // a quarter for the noise of single mounts
		t.Errorf("mount of a volume that is %.0f %% full: have %.2f s, want %.2f (an empty one, and the index read once, and a quarter)", 100*fillPart, f.MountCPU, most)
	}
	if most := float64(f.Index) + 128<<20; float64(f.Memory) > most {
		t.Errorf("memory after the mount: have %d MB, want %.0f (the index and 128 MiB)", f.Memory>>20, most/(1<<20))
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
	line("blocks", strconv.FormatUint(f.Blocks, 10)+" of "+strconv.Itoa(f.BlockSize>>10)+" KiB")
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
	line("store a block, 90 % full", num(f.Put/1e3, "us of processors"))
	line("store a block, empty", num(f.PutEmpty/1e3, "us of processors"))
	line("check", num(f.Check, "s")+", "+num(f.CheckCPU, "s of processors"))
	line("reclaim", num(f.Reclaim, "s")+", "+num(f.ReclaimCPU, "s of processors"))
	_ = w.Flush()
	return b.String()
}
