package mount

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/fs"
	"tresor/index/format"
	"tresor/index/mkfs"
)

const (
	request  = 1 << 20
	fileSize = 256 << 20
)

// mountVolume returns the path of a file in a mounted volume of the given kind, and its mount point.
func mountVolume(b *testing.B, hash string, blockSize int) (file, point string) {
	b.Helper()
	unix.Umask(0)
	parent, point := b.TempDir(), b.TempDir()
	if _, err := mkfs.Make(mkfs.Options{Parent: parent, CreateOptions: format.CreateOptions{Hash: hash, Size: 16 << 30, BlockSize: blockSize, Overflow: 1.3}}); err != nil {
		b.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	o := fs.DefaultOptions()
	o.Parent, o.MountPoint = parent, point
	m, err := fs.Mount(context.Background(), o, log)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Unmount(); err != nil {
			b.Error(err)
		}
		if err := m.Wait(); err != nil {
			b.Error(err)
		}
	})
	return filepath.Join(point, "file"), point
}

// source is data without zero blocks or repetitions, larger than the processor's caches.
type source struct {
	data  []byte
	round uint64
}

func newSource() *source {
	s := &source{data: make([]byte, fileSize)}
	r := rand.NewChaCha8([32]byte{7})
	r.Read(s.data)
	return s
}

// renew makes every 4 KiB different from all before at next to no cost.
func (s *source) renew() {
	s.round++
	for off := 0; off < len(s.data); off += 4096 {
		binary.LittleEndian.PutUint64(s.data[off:], s.round<<32|uint64(off>>12))
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// writeFile writes the data in requests to a new or an old file and, if asked, syncs it.
func writeFile(b *testing.B, name string, data []byte, sync bool) {
	b.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	must(b, err)
	for off := 0; off < len(data); off += request {
		_, err := f.WriteAt(data[off:off+request], int64(off))
		must(b, err)
	}
	if sync {
		must(b, f.Sync())
	}
	must(b, f.Close())
}

func target(b *testing.B, kind string) string {
	b.Helper()
	switch kind {
	case "raw":
		return filepath.Join(b.TempDir(), "file")
	case "null":
		return mountNull(b)
	case "blake3":
		name, _ := mountVolume(b, "BLAKE3", 128<<10)
		return name
	case "tiger":
		name, _ := mountVolume(b, "TIGER", 128<<10)
		return name
	case "sha1":
		name, _ := mountVolume(b, "SHA1", 128<<10)
		return name
	}
	b.Fatal("unknown target " + kind)
	return ""
}

// BenchmarkWriteKnown writes what the volume holds already.
func BenchmarkWriteKnown(b *testing.B) {
	for _, kind := range []string{"null", "blake3", "sha1", "tiger"} {
		b.Run(kind, func(b *testing.B) {
			name, src := target(b, kind), newSource()
			writeFile(b, name, src.data, false)
			b.SetBytes(fileSize)
			for b.Loop() {
				writeFile(b, name, src.data, false)
			}
		})
	}
}

// BenchmarkWriteUnique writes new data and syncs it.
func BenchmarkWriteUnique(b *testing.B) {
	for _, kind := range []string{"raw", "blake3"} {
		b.Run(kind, func(b *testing.B) {
			name, src := target(b, kind), newSource()
			b.SetBytes(fileSize)
			for b.Loop() {
				b.StopTimer()
				src.renew()
				unix.Sync() // the removal of the last round's file is not to be paid for by this one
				b.StartTimer()
				writeFile(b, name, src.data, true)
				b.StopTimer()
				must(b, os.Remove(name))
				b.StartTimer()
			}
		})
	}
}

// BenchmarkWriters has several writers of one file, out of order, each through a descriptor of its own, with known data.
func BenchmarkWriters(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("blake3-%d", writers), func(b *testing.B) {
			name, src := target(b, "blake3"), newSource()
			writeFile(b, name, src.data, false)
			order := rand.New(rand.NewPCG(1, 2)).Perm(fileSize / request)
			b.SetBytes(fileSize)
			for b.Loop() {
				var group sync.WaitGroup
				for w := range writers {
					f, err := os.OpenFile(name, os.O_WRONLY, 0)
					must(b, err)
					group.Go(func() {
						for i := w; i < len(order); i += writers {
							off := order[i] * request
							if _, err := f.WriteAt(src.data[off:off+request], int64(off)); err != nil {
								b.Error(err)
							}
						}
						if err := f.Close(); err != nil {
							b.Error(err)
						}
					})
				}
				group.Wait()
			}
		})
	}
}

// readFile reads to the end in requests.
func readFile(b *testing.B, name string, flag int, buf []byte) {
	b.Helper()
	f, err := os.OpenFile(name, os.O_RDONLY|flag, 0)
	must(b, err)
	defer f.Close()
	for off := int64(0); off < fileSize; off += request {
		_, err := f.ReadAt(buf, off)
		must(b, err)
	}
}

// BenchmarkReadDirect reads past the kernel's cache of the mount, from the page cache below.
func BenchmarkReadDirect(b *testing.B) {
	for _, kind := range []string{"null", "blake3"} {
		b.Run(kind, func(b *testing.B) { benchmarkRead(b, kind, unix.O_DIRECT, false) })
	}
}

// BenchmarkReadCached reads through the kernel's cache, second pass.
func BenchmarkReadCached(b *testing.B) {
	for _, kind := range []string{"raw", "blake3"} {
		b.Run(kind, func(b *testing.B) { benchmarkRead(b, kind, 0, false) })
	}
}

// BenchmarkReadCold drops all caches before each pass. The volume is not opened anew: what was proved before is not hashed again.
func BenchmarkReadCold(b *testing.B) {
	for _, kind := range []string{"raw", "blake3"} {
		b.Run(kind, func(b *testing.B) { benchmarkRead(b, kind, 0, true) })
	}
}

func benchmarkRead(b *testing.B, kind string, flag int, cold bool) {
	name, src := target(b, kind), newSource()
	writeFile(b, name, src.data, true)
	buf, err := unix.Mmap(-1, 0, request, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned
	must(b, err)
	defer unix.Munmap(buf)
	readFile(b, name, flag, buf)
	b.SetBytes(fileSize)
	for b.Loop() {
		if cold {
			b.StopTimer()
			must(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0))
			b.StartTimer()
		}
		readFile(b, name, flag, buf)
	}
}
