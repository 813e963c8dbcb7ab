package fsck_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"testing"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/table"
)

// benchEntries is how many entries the files of the benchmarked volume have in all; TRESOR_BENCH_ENTRIES replaces it.
const benchEntries = 1 << 20

// manyEntries makes a volume with n entries in files, two for each block, and no block content: what reads only index and files
// cannot tell.
func manyEntries(b *testing.B, n uint64) *indextest.Volume {
	b.Helper()
	blocks := n / 2
	v := indextest.New(b, indextest.Options{Blocks: blocks * 5 / 4, BlockSize: 128 << 10, Hash: "BLAKE3"})
	entries := make([]format.Entry, blocks)
	for i := range entries {
		e := &entries[i]
		e.Addr = format.Address(i + 2)
		x := uint64(i)
		for at := 0; at < 24; at += 8 {
			x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
			x = (x^x>>27)*0x94d049bb133111eb + 1
			binary.BigEndian.PutUint64(e.Hash[at:], x)
		}
	}
	v.WithIndex(func(t *table.Table, used *bitmap.Bitmap) {
		for i := range entries {
			if _, _, err := t.Insert(&entries[i]); err != nil {
				b.Fatal(err)
			}
			used.Set(uint64(entries[i].Addr))
		}
	})
	const files = 1000
	for f := range uint64(files) {
		from := f * blocks / files
		part := entries[from : (f+1)*blocks/files]
		part = append(part[:len(part):len(part)], part...)
		v.WriteRecipe(fmt.Sprintf("d%d/f%d", f%10, f), uint64(len(part))*128<<10, part)
	}
	return v
}

func BenchmarkCheck(b *testing.B) {
	n := uint64(benchEntries)
	if text := os.Getenv("TRESOR_BENCH_ENTRIES"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	v := manyEntries(b, n)
	// One hole: nobody reads it, and a repair refuses a block file that is shorter than what files name.
	if err := os.Truncate(v.BlocksPath, v.Geometry.Offset(format.Address(n/2+2))); err != nil {
		b.Fatal(err)
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			sum, err := fsck.Check(context.Background(), v.Reload().Volume, fsck.CheckOptions{})
			if err != nil || sum.Status() != fsck.OK {
				b.Fatalf("check: have %+v (%v)", sum, err)
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mentries/s")
	})
	b.Run("repair", func(b *testing.B) {
		for b.Loop() {
			v.Repair(fsck.RepairOptions{})
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mentries/s")
	})
}
