package openfile_test

import (
	"math/rand/v2"
	"testing"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// benchVolume is a volume on the real disk with one file open.
func benchVolume(b *testing.B, bs, workers int) (*index.Volume, *openfile.Manager, *openfile.Handle) {
	b.Helper()
	dir := b.TempDir()
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", Size: 8 << 30, BlockSize: bs, Overflow: 1.3}}); err != nil {
		b.Fatal(err)
	}
	p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	if err != nil {
		b.Fatal(err)
	}
	v, err := index.Open(p, index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	m := openfile.NewManager(openfile.Config{Volume: v, Workers: workers})
	b.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.Error(err)
		}
		if err := v.Abandon(); err != nil {
			b.Error(err)
		}
	})
	f, err := m.Open(7, openUnder(p.Root+"/file"))
	if err != nil {
		b.Fatal(err)
	}
	h := f.NewHandle()
	return v, m, h
}

// BenchmarkWriteKnown writes data that the volume has, in requests of 1 MiB: the cost of hashing and look-up alone.
func BenchmarkWriteKnown(b *testing.B) {
	for _, c := range []struct {
		name        string
		bs, workers int
	}{{"128k-0", 128 << 10, 0}, {"128k-1", 128 << 10, 1}, {"128k-2", 128 << 10, 2}, {"4k-2", 4 << 10, 2}} {
		b.Run(c.name, func(b *testing.B) {
			_, _, h := benchVolume(b, c.bs, c.workers)
			const size = 64 << 20
			data := make([]byte, size)
			r := rand.NewChaCha8([32]byte{1})
			r.Read(data)
			write := func() {
				for off := 0; off < size; off += 1 << 20 {
					if _, err := h.WriteAt(data[off:off+1<<20], int64(off)); err != nil {
						b.Fatal(err)
					}
				}
				if err := h.Flush(); err != nil {
					b.Fatal(err)
				}
			}
			write()
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				write()
			}
		})
	}
}

// BenchmarkRead reads in requests of 1 MiB what was proved before: page cache, entries, look-ups.
func BenchmarkRead(b *testing.B) {
	for _, bs := range []int{128 << 10, 4 << 10} {
		b.Run(format.FormatSize(int64(bs)), func(b *testing.B) {
			_, _, h := benchVolume(b, bs, 2)
			const size = 64 << 20
			data := make([]byte, size)
			r := rand.NewChaCha8([32]byte{1})
			r.Read(data)
			if _, err := h.WriteAt(data, 0); err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 1<<20)
			read := func() {
				for off := int64(0); off < size; off += 1 << 20 {
					if _, err := h.ReadAt(buf, off); err != nil {
						b.Fatal(err)
					}
				}
			}
			read()
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				read()
			}
		})
	}
}
