package workload

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tresor/bench/contender"
)

// TestSource: no block of zeros, none twice, neither within a content nor among contents.
func TestSource(t *testing.T) {
	s, err := NewSource(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	seen := map[string]uint64{}
	zero := make([]byte, 4096)
	for _, stamp := range []uint64{0, 1, 2, 1 << 20} {
		data := s.Stamp(stamp)
		for off := 0; off < len(data); off += 4096 {
			b := data[off : off+4096]
			if other, ok := seen[string(b)]; ok || bytes.Equal(b, zero) {
				t.Fatalf("stamp %d, block at %d: zeros, or content of stamp %d as well", stamp, off, other)
			}
			seen[string(b)] = stamp
		}
	}
	first := bytes.Clone(s.Stamp(0))
	s.Stamp(7)
	if !bytes.Equal(s.Stamp(0), first) {
		t.Error("a stamp that comes again has other content")
	}
}

// TestImages: the successor has most blocks of its predecessor, and some of its own.
func TestImages(t *testing.T) {
	i, err := makeImages(context.Background(), t.TempDir(), 8<<20)
	if errors.Is(err, errNoImage) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	known := map[string]bool{}
	for off := 0; off < len(i.first.data); off += 4096 {
		known[string(i.first.data[off:off+4096])] = true
	}
	fresh, blocks := 0, len(i.next.data)/4096
	for off := 0; off < len(i.next.data); off += 4096 {
		if !known[string(i.next.data[off:off+4096])] {
			fresh++
		}
	}
	if fresh < blocks/1000 || fresh > blocks/4 {
		t.Errorf("%d of %d blocks of the successor are new, want a few", fresh, blocks)
	}
	if len(known) < blocks/3 {
		t.Errorf("%d different blocks of %d: the image is empty", len(known), blocks)
	}
}

// lab is one with the disk alone.
func lab(t *testing.T) (*Lab, *contender.Raw) {
	t.Helper()
	raw := contender.NewRaw(filepath.Join(t.TempDir(), "raw"))
	if err := raw.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := &Lab{Scratch: t.TempDir(), Systems: []contender.FileSystem{raw},
		Sizes: Sizes{Data: 4 << 20, Random: 2 << 20, Small: 20, Timed: 10 * time.Millisecond, Hash: time.Millisecond,
			Overwrites: 100, Overwriting: 10 * time.Second}}
	if err := l.Prepare(context.Background(), func(what, why string) { t.Error(what, why) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, raw
}

// TestRandomLoop is what stands in for fio.
func TestRandomLoop(t *testing.T) {
	l, raw := lab(t)
	name := filepath.Join(raw.Dir(), "file")
	if err := l.writeLong(context.Background(), name, l.Sizes.Random); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name)
	if err != nil || int64(len(before)) != l.Sizes.Random {
		t.Fatalf("have %d bytes, %v, want %d", len(before), err, l.Sizes.Random)
	}
	if done, rate, err := l.randomLoop(context.Background(), name, false); err != nil || done < 1 || rate < 1 {
		t.Errorf("read: have %d, %v a second, %v", done, rate, err)
	}
	if done, rate, err := l.randomLoop(context.Background(), name, true); err != nil || done != l.Sizes.Overwrites || rate < 1 {
		t.Errorf("write: have %d, %v a second, %v, want %d", done, rate, err, l.Sizes.Overwrites)
	}
	after, err := os.ReadFile(name)
	if err != nil || len(after) != len(before) || bytes.Equal(after, before) {
		t.Errorf("after random writes: have %d bytes, %v, want %d others", len(after), err, len(before))
	}
}

// slowFile takes its time to bring what was written to the disk.
type slowFile struct {
	sync, close time.Duration
	err         error
	calls       string
}

func (f *slowFile) Sync() error {
	time.Sleep(f.sync)
	f.calls += "s"
	return f.err
}

func (f *slowFile) Close() error {
	time.Sleep(f.close)
	f.calls += "c"
	return nil
}

// TestOverwriteCountsTheEnd: what is still in memory when the last write returns has to reach the disk before the clock stops; an error there is one of the workload.
func TestOverwriteCountsTheEnd(t *testing.T) {
	l, _ := lab(t)
	writes := 0
	do := func(off int64) error {
		if writes++; off < 0 || off >= l.Sizes.Random || off%small != 0 {
			t.Fatalf("write at %d", off)
		}
		return nil
	}
	for name, f := range map[string]*slowFile{"sync": {sync: 100 * time.Millisecond}, "close": {close: 100 * time.Millisecond}} {
		writes = 0
		done, rate, err := l.overwrite(context.Background(), do, f)
		if most := 100 / 0.1; err != nil || writes != 100 || done != 100 || rate <= 0 || rate > most {
			t.Errorf("slow %s: have %v a second, %d writes, %v, want 100 writes and at most %v", name, rate, writes, err, most)
		}
	}
	bad, other := &slowFile{err: errors.New("no space")}, &slowFile{}
	if _, _, err := l.overwrite(context.Background(), do, bad, other); !errors.Is(err, bad.err) || bad.calls != "sc" || other.calls != "c" {
		t.Errorf("have %v, calls %q and %q, want the error and both closed", err, bad.calls, other.calls)
	}
	l.Sizes.Overwriting = time.Millisecond
	l.Sizes.Overwrites = 1 << 40
	writes = 0
	done, rate, err := l.overwrite(context.Background(), do, &slowFile{})
	if err != nil || rate <= 0 || done != writes {
		t.Errorf("until the time is up: have %d, %v a second, %v, want %d", done, rate, err, writes)
	}
	if note := l.lacking(done); !strings.Contains(note, " of 1099511627776 overwrites in 1ms") {
		t.Errorf("stopped by the time: the note is %q", note)
	}
	if note := l.lacking(l.Sizes.Overwrites); note != "" {
		t.Errorf("done in full: the note is %q", note)
	}
}

// cached is how many pages of a file are in the page cache, of how many.
func cached(t *testing.T, name string) (n, of int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(data)
	pages := make([]byte, (len(data)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		n += int(p & 1)
	}
	return n, len(pages)
}

// TestRandomBeginsInThePageCache: overwrites find their file in the page cache in each round, also where something has dropped it between two.
func TestRandomBeginsInThePageCache(t *testing.T) {
	t.Setenv("PATH", "") // no fio: others that drop the machine's caches meanwhile have less time for it
	l, raw := lab(t)
	l.Sizes.Overwrites, l.Sizes.Random = 1, 64<<20 // so that the measurement itself brings little of the file in
	for name, run := range map[string]func() error{
		filepath.Join(raw.Dir(), "random"): func() error {
			_, err := l.randomWith(context.Background(), raw, randomWrite, true)
			return err
		},
		filepath.Join(l.Scratch, "plain-blocks"): func() error { _, err := l.runPlainLoop(context.Background(), randomWrite); return err },
	} {
		var have, of int
		for try := range 11 { // the first has just written the file
			if err := run(); err != nil {
				t.Fatal(err)
			}
			if have, of = cached(t, name); try > 0 && have > of*9/10 {
				break
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if have <= of*9/10 {
			t.Errorf("%s: %d of %d pages in the page cache, want all", filepath.Base(name), have, of)
		}
	}
}

// TestFio: fio is told to bring what it wrote to the disk within its time, and its rate is that of all operations in all of this time.
func TestFio(t *testing.T) {
	l, raw := lab(t)
	writing, reading := l.fioArguments("f", true), l.fioArguments("f", false)
	for _, want := range []string{"--end_fsync=1", "--number_ios=100", "--runtime=10000ms", "--direct=0"} {
		if !slices.Contains(writing, want) {
			t.Errorf("overwrites: %s is missing: %q", want, writing)
		}
	}
	if slices.Contains(writing, "--time_based") || !slices.Contains(reading, "--time_based") || !slices.Contains(reading, "--direct=1") {
		t.Errorf("have %q and %q", writing, reading)
	}
	const report = `{"jobs":[{"error":0,"read":{"iops":7,"total_ios":0,"runtime":0},"write":{"iops":55555.5,"total_ios":1000,"runtime":2091}}]}`
	if done, rate, err := fioRate([]byte(report), true); err != nil || done != 1000 || math.Abs(rate-1000/2.091) > 1e-9 {
		t.Errorf("have %d, %v a second, %v, want 1000, %v", done, rate, err, 1000/2.091)
	}
	for _, bad := range []string{"", "{}", `{"jobs":[{"error":5}]}`, report} {
		if _, _, err := fioRate([]byte(bad), false); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if _, err := exec.LookPath("fio"); err != nil {
		t.Skip(err)
	}
	name := filepath.Join(raw.Dir(), "file")
	if err := l.writeLong(context.Background(), name, l.Sizes.Random); err != nil {
		t.Fatal(err)
	}
	for _, write := range []bool{true, false} {
		done, rate, _, err := l.fio(context.Background(), name, write)
		if err != nil || rate <= 0 || done <= 0 || write && done != l.Sizes.Overwrites {
			t.Errorf("write %v: have %d, %v a second, %v", write, done, rate, err)
		}
	}
}

// TestReadFileCompares: what is not what was written is an error, and so is a wrong length.
func TestReadFileCompares(t *testing.T) {
	l, raw := lab(t)
	ctx, name := context.Background(), filepath.Join(raw.Dir(), "file")
	data := l.source.Stamp(5)
	if err := writeFile(ctx, name, data, false); err != nil {
		t.Fatal(err)
	}
	size := l.Sizes.Data
	if err := readFile(ctx, name, 0, data, size); err != nil {
		t.Error(err)
	}
	if err := readFile(ctx, name, 0, nil, size+1); err == nil {
		t.Error("a short file went unnoticed")
	}
	data[size/2]++
	if err := readFile(ctx, name, 0, data, size); err == nil {
		t.Error("a wrong byte went unnoticed")
	}
}

// TestSmallFilesOfTheDisk runs one workload of several steps; those that drop caches need root.
func TestSmallFilesOfTheDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("dropping caches needs root")
	}
	l, raw := lab(t)
	values, err := l.runSmall(context.Background(), raw)
	if err != nil || len(values) != 5 {
		t.Fatalf("have %v, %v, want five values", values, err)
	}
	if left, err := os.ReadDir(raw.Dir()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.runSmall(ctx, raw); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: have %v", err)
	}
}
