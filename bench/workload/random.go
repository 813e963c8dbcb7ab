package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"tresor/bench/contender"
	"tresor/bench/result"
	"tresor/index/blockhash"
)

// Overwrites are counted to their end: up to 40 MiB of pages that the engine gathers before it hashes and stores their blocks, and what lies in the page cache, have to be on the disk when the
// clock stops. (rand-write/4k/1, of revisions up to 5193f2c, stopped it at the last write.)
const (
	randomWrite = "rand-overwrite/4k/1"
	randomRead  = "rand-read/4k/1"
)

const (
	small     = 4 << 10   // bytes of a random request
	block     = 128 << 10 // of the plain loop, and of the volumes that it stands beside
	entrySize = 28        // of the plain loop: as long as a volume's
	plainLoop = label("plain-loop")
)

func (l *Lab) random() []Workload {
	list := l.systems(keeps)
	if len(list) == 0 {
		return nil
	}
	return []Workload{
		{Name: randomWrite, Series: []string{randomWrite}, Rank: 0, Contenders: append(slices.Clone(list), plainLoop),
			Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
				if c == plainLoop {
					return l.runPlainLoop(ctx, randomWrite)
				}
				return l.randomWith(ctx, c.(contender.FileSystem), randomWrite, true)
			}},
		{Name: randomRead, Series: []string{randomRead}, Rank: 2, Contenders: list,
			Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
				return l.randomWith(ctx, c.(contender.FileSystem), randomRead, false)
			}},
	}
}

// writeLong writes so many bytes of unique data to a new file and brings it to rest.
func (l *Lab) writeLong(ctx context.Context, name string, size int64) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for off := int64(0); off < size; {
		data := l.stampUnique()
		data = data[:min(int64(len(data)), size-off)]
		for at := 0; at < len(data); at += request {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if _, err := f.WriteAt(data[at:min(at+request, len(data))], off+int64(at)); err != nil {
				return err
			}
		}
		off += int64(len(data))
	}
	return f.Sync()
}

func (l *Lab) randomWith(ctx context.Context, c contender.FileSystem, series string, write bool) ([]Value, error) {
	name := filepath.Join(c.Dir(), "random")
	if err := l.once(c, "file for random requests", func() error { return l.writeLong(ctx, name, l.Sizes.Random) }); err != nil {
		return nil, err
	}
	if err := l.inPageCache(ctx, c, name); err != nil {
		return nil, err
	}
	var rate float64
	done := 0
	t, err := l.measure(c, func() (cpu time.Duration, err error) {
		if _, err := exec.LookPath("fio"); err != nil {
			done, rate, err = l.randomLoop(ctx, name, write)
			return 0, err
		}
		done, rate, cpu, err = l.fio(ctx, name, write)
		return cpu, err
	})
	if err != nil {
		return nil, err
	}
	if write { // blocks that were overwritten would fill the disk
		err = c.GiveBack(ctx)
	}
	v := Value{Series: series, Unit: result.OperationsPerSecond, Value: rate, CPU: t.cpu}
	if write {
		v.Note = l.lacking(done)
	}
	return []Value{v}, err
}

// lacking says that overwrites were stopped by the time: the sync at the end had less to do then than that of others. "" if not.
func (l *Lab) lacking(done int) string {
	if done >= l.Sizes.Overwrites {
		return ""
	}
	return fmt.Sprintf("%d of %d overwrites in %s: not the same work as that of others", done, l.Sizes.Overwrites, l.Sizes.Overwriting)
}

// inPageCache reads the file, so that all rounds find it in the page cache of the disk, not only the one that has just written it. A mount of ours is read past its own
// cache: that is what has the pages of its block file kept (docs/decisions/0012), and its blocks proved.
func (l *Lab) inPageCache(ctx context.Context, c contender.FileSystem, name string) error {
	flag := 0
	if isVolume(c) {
		flag = unix.O_DIRECT
	}
	if err := readFile(ctx, name, flag, nil, l.Sizes.Random); err != nil {
		return fmt.Errorf("read into the page cache: %w", err)
	}
	return nil
}

// fio returns how many operations were done, and how many a second: of overwrites until everything is on the disk.
func (l *Lab) fio(ctx context.Context, name string, write bool) (done int, rate float64, cpu time.Duration, err error) {
	out, cpu, err := contender.Command(ctx, append([]string{"fio"}, l.fioArguments(name, write)...)...)
	if err != nil {
		return 0, 0, cpu, err
	}
	done, rate, err = fioRate(out, write)
	return done, rate, cpu, err
}

func (l *Lab) fioArguments(name string, write bool) []string {
	list := []string{"--name=random", "--filename=" + name, "--bs=4k", "--ioengine=psync", "--size=" + strconv.FormatInt(l.Sizes.Random, 10),
		"--invalidate=0", "--randrepeat=0", "--norandommap", "--refill_buffers", "--output-format=json", "--thread"}
	if !write {
		return append(list, "--rw=randread", "--direct=1", "--time_based", "--runtime="+milliseconds(l.Sizes.Timed))
	}
	return append(list, "--rw=randwrite", "--direct=0", "--end_fsync=1", "--number_ios="+strconv.Itoa(l.Sizes.Overwrites), "--runtime="+milliseconds(l.Sizes.Overwriting))
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

// fioRate reads fio's report. Its time includes the fsync at the end (end_fsync): with fio 3.33, 16 384 writes into a file of 256 MiB on ext4 have a runtime of 55 and 47 ms
// without it, of 143 and 147 ms with it.
func fioRate(out []byte, write bool) (done int, rate float64, err error) {
	type side struct {
		Operations   float64 `json:"total_ios"`
		Milliseconds float64 `json:"runtime"`
	}
	var report struct {
		Jobs []struct {
			Error       int `json:"error"`
			Read, Write side
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Jobs) != 1 || report.Jobs[0].Error != 0 {
		return 0, 0, fmt.Errorf("read the report of fio: %w: %.200s", errors.Join(err, errors.New("want one job without an error")), out)
	}
	s := report.Jobs[0].Read
	if write {
		s = report.Jobs[0].Write
	}
	if s.Operations <= 0 || s.Milliseconds <= 0 {
		return 0, 0, fmt.Errorf("read the report of fio: have %v operations in %v ms, want some", s.Operations, s.Milliseconds)
	}
	return int(s.Operations), s.Operations / s.Milliseconds * 1000, nil
}

// randomLoop does the same as fio where there is none.
func (l *Lab) randomLoop(ctx context.Context, name string, write bool) (done int, rate float64, err error) {
	flag := os.O_RDWR
	if !write {
		flag = os.O_RDONLY | unix.O_DIRECT
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return 0, 0, err
	}
	buf, err := pages(small)
	if err != nil {
		return 0, 0, errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, unix.Munmap(buf)) }()
	if write {
		noise := rand.NewChaCha8([32]byte{byte(l.unique), 1})
		return l.overwrite(ctx, func(off int64) error {
			noise.Read(buf)
			_, err := f.WriteAt(buf, off)
			return err
		}, f)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p := pace{limit: l.Sizes.Timed}
	err = p.repeat(ctx, func(r *rand.Rand) error {
		_, err := f.ReadAt(buf, r.Int64N(l.Sizes.Random/small)*small)
		return err
	})
	return p.n, p.rate(), err
}

// written is a file as far as the end of a series of overwrites goes.
type written interface {
	Sync() error
	Close() error
}

// overwrite does something at random places until it was done often enough, syncs and closes the files, and returns how often it was done, and how often a second, the end included. What is very
// slow is stopped by the time.
func (l *Lab) overwrite(ctx context.Context, do func(off int64) error, files ...written) (done int, rate float64, err error) {
	p := pace{limit: l.Sizes.Overwriting, most: l.Sizes.Overwrites}
	err = p.repeat(ctx, func(r *rand.Rand) error { return do(r.Int64N(l.Sizes.Random/small) * small) })
	for _, f := range files {
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	p.stop()
	return p.n, p.rate(), err
}

// pace counts operations and the time that they take.
type pace struct {
	limit time.Duration
	most  int // operations, 0: as many as the time has room for
	n     int
	start time.Time
	took  time.Duration
}

// repeat does something until the limit.
func (p *pace) repeat(ctx context.Context, do func(r *rand.Rand) error) error {
	r := rand.New(rand.NewPCG(3, uint64(p.limit)))
	p.start = time.Now()
	for p.took < p.limit && (p.most == 0 || p.n < p.most) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := do(r); err != nil {
			return err
		}
		p.n++
		p.stop()
	}
	return nil
}

func (p *pace) stop()         { p.took = time.Since(p.start) }
func (p *pace) rate() float64 { return float64(p.n) / max(p.took, 1).Seconds() }

// runPlainLoop is what an overwrite of 4 KiB costs a store of whole hashed blocks that does nothing clever. It ends as the others do: with everything on the disk.
func (l *Lab) runPlainLoop(ctx context.Context, series string) (list []Value, err error) {
	name := filepath.Join(l.Scratch, "plain-blocks")
	if err := l.once(plainLoop, "file", func() error { return l.writeLong(ctx, name, l.Sizes.Random) }); err != nil {
		return nil, err
	}
	if err := readFile(ctx, name, 0, nil, l.Sizes.Random); err != nil { // as inPageCache
		return nil, err
	}
	blocks, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	entries, err := os.OpenFile(filepath.Join(l.Scratch, "plain-entries"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, errors.Join(err, blocks.Close())
	}
	buf, entry := make([]byte, block), make([]byte, entrySize)
	kind, noise := blockhash.Default(), rand.NewChaCha8([32]byte{byte(l.unique), 2})
	done, rate := 0, 0.0
	t, err := l.measure(plainLoop, alone(func() error {
		done, rate, err = l.overwrite(ctx, func(off int64) error {
			n := off / block
			if _, err := blocks.ReadAt(buf, n*block); err != nil {
				return err
			}
			noise.Read(buf[off%block : off%block+small])
			h := kind.Sum(buf)
			copy(entry, h[:kind.Size()])
			if _, err := blocks.WriteAt(buf, n*block); err != nil {
				return err
			}
			_, err := entries.WriteAt(entry, n*entrySize)
			return err
		}, blocks, entries)
		return err
	}))
	return []Value{{Series: series, Unit: result.OperationsPerSecond, Value: rate, CPU: t.cpu, Note: l.lacking(done)}}, err
}
