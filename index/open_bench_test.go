package index_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/mkfs"
)

// BenchmarkOpen measures what opening a clean volume costs beside reading its index: a table of 290 MB, full.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "v")
	if err := disk.OS().Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	const blocks = 7_700_000
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: 128 << 10, Size: blocks << 17, Overflow: 1.3}}); err != nil {
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
		for i := range 24 {
			e.Hash[i] = byte(rnd.Uint32())
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
	for _, recorded := range []string{"looked through", "recorded"} {
		b.Run(recorded, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if recorded == "looked through" {
					_ = disk.OS().Remove(filepath.Join(dir, indexfile.ProofName))
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
	b.Run("content", func(b *testing.B) {
		x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		defer x.Close()
		for b.Loop() {
			_ = x.Content(nil)
		}
	})
	b.Run("stale", func(b *testing.B) {
		for b.Loop() {
			if stale, err := indexfile.Stale(p.FS, p.Dir, p.IndexPath, p.Config); stale || err != nil {
				b.Fatal(stale, err)
			}
		}
	})
}
