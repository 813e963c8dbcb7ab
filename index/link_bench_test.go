package index_test

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// BenchmarkLink stores known data on one processor, the block file in the page cache: without a proof, with one for each link, and with
// blocks that were proved before.
func BenchmarkLink(b *testing.B) {
	const size, blocks = 128 << 10, 512
	must, dir := made(b, size, 1024)
	var data []byte
	for n := range uint64(blocks) {
		data = append(data, block(size, n+1)...)
	}
	out := make([]format.Entry, blocks)
	open := func(verify bool) *index.Volume { return opened(must, dir, index.Options{VerifyLinks: verify}) }
	put := func(v *index.Volume) {
		t := v.Enter()
		defer v.Leave(t)
		must(v.NewWriter().Put(data, out))
	}
	v := open(false)
	put(v)
	must(v.Close())
	for _, kind := range []string{"unproved", "proved at each link", "proved before"} {
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			before := cpuTime()
			v := open(kind != "unproved")
			put(v)
			for b.Loop() {
				if kind == "proved at each link" {
					b.StopTimer()
					must(v.Close())
					v = open(true)
					before = cpuTime()
					b.StartTimer()
				}
				put(v)
			}
			if kind != "proved at each link" {
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N+1)/blocks/1000, "cpu-us/block")
			} else {
				b.ReportMetric(float64(cpuTime()-before)/blocks/1000, "cpu-us/block") // of the last round
			}
			must(v.Close())
		})
	}
}

// BenchmarkKnown looks blocks up by their hashes, 256 in a batch as those of 1 MiB in blocks of 4 KiB, a million of them all over an index of 0.7 GB: each look-up waits for memory.
func BenchmarkKnown(b *testing.B) {
	const size, batch, batches = 512, 256, 4096
	must, dir := made(b, size, 20_000_000)
	v := opened(must, dir, index.Options{})
	w, all := v.NewWriter(), make([]format.Entry, batch*batches)
	t := v.Enter()
	var data []byte
	for n := range all {
		if data = append(data, block(size, uint64(n+1))...); len(data) == batch*size {
			must(w.Put(data, all[n+1-batch:n+1]))
			data = data[:0]
		}
	}
	out := make([]format.Entry, batch)
	for n := 0; b.Loop(); n++ {
		copy(out, all[n%batches*batch:])
		if !w.Link(out) {
			b.Fatal("not known")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/block")
	v.Leave(t)
	must(v.Close())
}

// made makes a volume of so many blocks of size bytes.
func made(b *testing.B, size int, blocks int64) (must func(err error), dir string) {
	b.Helper()
	must = func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir = filepath.Join(b.TempDir(), "v")
	must(disk.OS().Mkdir(dir, 0o700))
	_, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: size, Size: blocks * int64(size), Overflow: 1.3}})
	must(err)
	return must, dir
}

func opened(must func(err error), dir string, o index.Options) *index.Volume {
	p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	must(err)
	v, err := index.Open(p, o)
	must(err)
	return v
}

// cpuTime is the time that processors spent on this process, in nanoseconds: what counts on a busy machine.
func cpuTime() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
