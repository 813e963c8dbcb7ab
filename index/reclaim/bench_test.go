package reclaim_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/mkfs"
	"tresor/index/recipe"
	"tresor/index/reclaim"
)

// BenchmarkReclaim looks through a volume of entries without blocks, BENCH_ENTRIES of them (2 million) in a thousand files. What counts on a
// busy machine is the time of the processors.
func BenchmarkReclaim(b *testing.B) {
	n := 2_000_000
	if s := os.Getenv("BENCH_ENTRIES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := filepath.Join(b.TempDir(), "v")
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	must(disk.OS().Mkdir(dir, 0o700))
	_, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: 128 << 10,
		Size: int64(n+1000) << 17, Overflow: 1.3}})
	must(err)
	p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	must(err)
	x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{})
	must(err)
	rnd := rand.New(rand.NewPCG(1, 2))
	list := make([]format.Entry, n/1000)
	a := format.FirstDataAddress
	for i := range 1000 {
		for j := range list {
			list[j] = format.Entry{Addr: a}
			for k := range 24 {
				list[j].Hash[k] = byte(rnd.Uint32())
			}
			first, last, err := x.Table().Insert(&list[j])
			must(err)
			x.MarkSlots(first, last)
			x.Bitmap().Set(uint64(a))
			a++
		}
		f, err := p.FS.OpenFile(filepath.Join(p.Root, strconv.Itoa(i)), os.O_CREATE|os.O_RDWR, 0o600)
		must(err)
		rec := recipe.New(f, p.Geometry)
		must(errors.Join(rec.WriteHeader(uint64(len(list))<<17), rec.WriteEntries(0, list), f.Close()))
	}
	must(errors.Join(x.Seal(), x.Close()))
	v, err := index.Open(p, index.Options{})
	must(err)
	defer v.Close()
	for _, kind := range []string{"dry run", "reclaim"} {
		b.Run(kind, func(b *testing.B) {
			before := cpu()
			for b.Loop() {
				if _, err := reclaim.Run(context.Background(), v, reclaim.Options{DryRun: kind == "dry run"}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N)/float64(n), "cpu-ns/entry")
		})
	}
}

// cpu is the time that processors spent on this process, in nanoseconds.
func cpu() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
