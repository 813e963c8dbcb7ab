package index_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/mkfs"
)

// BenchmarkOpen measures what opening a clean volume costs whose index is in the page cache: full tables of 5 and of 290 MB, or of as many entries as
// TRESOR_BENCH_ENTRIES says. recorded is a volume that we closed, looked through one that the original did; read is the index alone, which nobody
// proves; content is its hash, found out afterwards.
func BenchmarkOpen(b *testing.B) {
	large := uint64(7_700_000)
	if text := os.Getenv("TRESOR_BENCH_ENTRIES"); text != "" {
		var err error
		if large, err = strconv.ParseUint(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	for _, blocks := range []uint64{128 << 10, large} {
		b.Run(fmt.Sprint(blocks), func(b *testing.B) { benchmarkOpen(b, blocks) })
	}
}

func benchmarkOpen(b *testing.B, blocks uint64) {
	dir := filepath.Join(b.TempDir(), "v")
	if err := disk.OS().Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: 128 << 10, Size: int64(blocks) << 17, Overflow: 1.3}}); err != nil {
		b.Fatal(err)
	}
	acquire := func() *index.Parent {
		p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	p := acquire()
	x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{})
	if err != nil {
		b.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for a := format.FirstDataAddress; uint64(a) < blocks; a++ {
		e := format.Entry{Addr: a}
		for i := 0; i < 24; i += 8 {
			binary.BigEndian.PutUint64(e.Hash[i:], rnd.Uint64())
		}
		first, last, err := x.Table().Insert(&e)
		if err != nil {
			b.Fatal(err)
		}
		x.MarkSlots(first, last)
		x.Bitmap().Set(uint64(a))
	}
	if err := errors.Join(x.Seal(), x.Close(), p.Close()); err != nil {
		b.Fatal(err)
	}
	for _, recorded := range []string{"looked through", "recorded", "recorded, from the disk"} {
		b.Run(recorded, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if recorded == "looked through" {
					_ = disk.OS().Remove(filepath.Join(dir, indexfile.ProofName))
				}
				if recorded == "recorded, from the disk" {
					dropCache(b, p.IndexPath)
				}
				b.StartTimer()
				v, err := index.Open(acquire(), index.Options{})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
	open := func() *indexfile.File {
		x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		return x
	}
	for _, what := range []string{"read", "read from the disk", "content"} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if what == "read from the disk" {
					dropCache(b, p.IndexPath)
				}
				if what != "content" {
					b.StartTimer()
				}
				x := open()
				b.StartTimer()
				if what == "content" {
					_ = x.Content(nil)
				}
				b.StopTimer()
				if err := x.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
	b.Run("stale", func(b *testing.B) {
		for b.Loop() {
			if stale, err := indexfile.Stale(p.FS, p.Dir, p.IndexPath, p.Config); stale || err != nil {
				b.Fatal(stale, err)
			}
		}
	})
}

func dropCache(b *testing.B, name string) {
	f, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(disk.DropCache(f, 0, 0), f.Close()); err != nil {
		b.Fatal(err)
	}
}
