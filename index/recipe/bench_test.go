package recipe_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

// BenchmarkWalkAndScan reads the addresses of 20 000 entries in each of 100
// files: a tenth of what engine.md section 4 asks of a check.
func BenchmarkWalkAndScan(b *testing.B) {
	const files, each = 100, 20_000
	g := geometry(b, "TIGER")
	root := b.TempDir()
	for i := range files {
		f, err := disk.OS().OpenFile(filepath.Join(root, fmt.Sprint(i)), os.O_RDWR|os.O_CREATE, 0o600)
		must(b, err)
		r := recipe.New(f, g)
		must(b, r.WriteHeader(each*4096))
		must(b, r.WriteEntries(0, entries(g, 0, each)))
		must(b, f.Close())
	}
	b.SetBytes(int64(files * each * g.EntrySize))
	for b.Loop() {
		var n int
		var sum format.Address
		must(b, recipe.Walk(b.Context(), disk.OS(), root, func(e recipe.WalkEntry) error {
			f, err := e.Open()
			if err != nil {
				return err
			}
			defer f.Close()
			return recipe.New(f, g).Scan(b.Context(), 0, func(_ uint64, raw []byte) error {
				for ; len(raw) > 0; raw = raw[g.EntrySize:] {
					sum += g.Addr(raw)
					n++
				}
				return nil
			})
		}, nil))
		if n != files*each {
			b.Fatalf("entries seen: have %d, want %d (sum %d)", n, files*each, sum)
		}
	}
	b.ReportMetric(float64(files*each)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mentries/s")
}
