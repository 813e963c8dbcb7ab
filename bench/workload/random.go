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

const (
	small     = 4 << 10   // bytes of a random request
	block     = 128 << 10 // of the plain loop, and of the volumes that it stands beside
	entrySize = 28        // of the plain loop: as long as a volume's
	plainLoop = label("plain-loop")
)

func (l *Lab) random() []Workload {
	const write, read = "rand-write/4k/1", "rand-read/4k/1"
	list := l.systems(keeps)
	if len(list) == 0 {
		return nil
	}
	return []Workload{
		{Name: write, Series: []string{write}, Rank: 0, Contenders: append(slices.Clone(list), plainLoop),
			Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
				if c == plainLoop {
					return l.runPlainLoop(ctx, write)
				}
				return l.randomWith(ctx, c.(contender.FileSystem), write, true)
			}},
		{Name: read, Series: []string{read}, Rank: 2, Contenders: list,
			Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
				return l.randomWith(ctx, c.(contender.FileSystem), read, false)
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
	var rate float64
	t, err := l.measure(c, func() (cpu time.Duration, err error) {
		if _, err := exec.LookPath("fio"); err != nil {
			rate, err = l.randomLoop(ctx, name, write)
			return 0, err
		}
		rate, cpu, err = l.fio(ctx, name, write)
		return cpu, err
	})
	if err != nil {
		return nil, err
	}
	if write { // blocks that were overwritten would fill the disk
		err = c.GiveBack(ctx)
	}
	return []Value{{Series: series, Unit: result.OperationsPerSecond, Value: rate, CPU: t.cpu}}, err
}

// fio returns operations per second.
func (l *Lab) fio(ctx context.Context, name string, write bool) (rate float64, cpu time.Duration, err error) {
	mode, direct := "randread", "1"
	if write {
		mode, direct = "randwrite", "0"
	}
	out, cpu, err := contender.Command(ctx, "fio", "--name=random", "--filename="+name, "--rw="+mode, "--bs=4k", "--ioengine=psync", "--direct="+direct,
		"--size="+strconv.FormatInt(l.Sizes.Random, 10), "--time_based", "--runtime="+strconv.FormatInt(l.Sizes.Timed.Milliseconds(), 10)+"ms",
		"--invalidate=0", "--randrepeat=0", "--refill_buffers", "--output-format=json", "--thread")
	if err != nil {
		return 0, cpu, err
	}
	type side struct {
		IOPS float64 `json:"iops"`
	}
	var report struct {
		Jobs []struct {
			Error       int `json:"error"`
			Read, Write side
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Jobs) != 1 || report.Jobs[0].Error != 0 {
		return 0, cpu, fmt.Errorf("read the report of fio: %w: %.200s", errors.Join(err, errors.New("want one job without an error")), out)
	}
	if write {
		return report.Jobs[0].Write.IOPS, cpu, nil
	}
	return report.Jobs[0].Read.IOPS, cpu, nil
}

// randomLoop does the same as fio where there is none.
func (l *Lab) randomLoop(ctx context.Context, name string, write bool) (rate float64, err error) {
	flag := os.O_RDWR
	if !write {
		flag = os.O_RDONLY | unix.O_DIRECT
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf, err := pages(small)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(buf)) }()
	noise := rand.NewChaCha8([32]byte{byte(l.unique), 1})
	return timed(ctx, l.Sizes.Timed, func(r *rand.Rand) error {
		off := r.Int64N(l.Sizes.Random/small) * small
		if write {
			noise.Read(buf)
			_, err := f.WriteAt(buf, off)
			return err
		}
		_, err := f.ReadAt(buf, off)
		return err
	})
}

// timed repeats something and returns how often a second.
func timed(ctx context.Context, limit time.Duration, do func(r *rand.Rand) error) (float64, error) {
	r := rand.New(rand.NewPCG(3, uint64(limit)))
	start := time.Now()
	for n := 1.0; ; n++ {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err := do(r); err != nil {
			return 0, err
		}
		if took := time.Since(start); took >= limit {
			return n / took.Seconds(), nil
		}
	}
}

// runPlainLoop is what an overwrite of 4 KiB costs a store of whole hashed blocks that does nothing clever.
func (l *Lab) runPlainLoop(ctx context.Context, series string) (list []Value, err error) {
	name := filepath.Join(l.Scratch, "plain-blocks")
	if err := l.once(plainLoop, "file", func() error { return l.writeLong(ctx, name, l.Sizes.Random) }); err != nil {
		return nil, err
	}
	blocks, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	entries, err := os.OpenFile(filepath.Join(l.Scratch, "plain-entries"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, entries.Close()) }()
	buf, entry := make([]byte, block), make([]byte, entrySize)
	kind, noise := blockhash.Default(), rand.NewChaCha8([32]byte{byte(l.unique), 2})
	rate := 0.0
	t, err := l.measure(plainLoop, alone(func() error {
		rate, err = timed(ctx, l.Sizes.Timed, func(r *rand.Rand) error {
			off := r.Int64N(l.Sizes.Random/small) * small
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
		})
		return err
	}))
	return []Value{{Series: series, Unit: result.OperationsPerSecond, Value: rate, CPU: t.cpu}}, err
}
