package workload

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tresor/bench/contender"
	"tresor/bench/result"
	"tresor/index/blockhash"
	"tresor/index/cores"
	"tresor/index/disk"
)

// BlockSizes are those of the volumes that are compared, HashNames their hashes.
func BlockSizes() []int { return []int{4 << 10, 64 << 10, 128 << 10, 1 << 20} }

// HashNames are the hashes that are compared.
func HashNames() []string { return []string{"BLAKE3", "SHA1", "TIGER"} }

func (l *Lab) hashes() (list []Workload) {
	var kinds []contender.Contender
	for _, name := range HashNames() {
		kinds = append(kinds, label(name))
	}
	for _, size := range BlockSizes() {
		series := "hash/" + short(size)
		list = append(list, Workload{Name: series, Series: []string{series}, Contenders: kinds,
			Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
				return l.hashRate(ctx, c.Name(), series, size)
			}})
	}
	return list
}

// hashRate hashes the data on one core, once block by block and once in pairs, as the engine may do both.
func (l *Lab) hashRate(ctx context.Context, name, series string, size int) ([]Value, error) {
	kind, err := blockhash.Lookup(name)
	if err != nil {
		return nil, err
	}
	data, best := l.source.data, Value{Series: series, Unit: result.BytesPerSecond}
	for _, pair := range []bool{false, true} {
		n, off, own, start := 0, 0, ownCPU(), time.Now()
		for time.Since(start) < l.Sizes.Hash && ctx.Err() == nil {
			if off+2*size > len(data) {
				off = 0
			}
			x, y := data[off:off+size], data[off+size:off+2*size]
			if pair {
				kind.SumPair(x, y)
			} else {
				kind.Sum(x)
				kind.Sum(y)
			}
			off += 2 * size
			n += 2 * size
		}
		rate := float64(n) / time.Since(start).Seconds()
		if rate > best.Value {
			best.Value, best.CPU = rate, (ownCPU() - own).Seconds()
		}
	}
	return []Value{best}, context.Cause(ctx)
}

// hashCores hashes the data of a file once, on all cores at the same time and with nothing else to do: what the hash allows there. Cores that share a memory, and a part of each other, are
// slower together than one of them times their number.
func (l *Lab) hashCores(ctx context.Context, name, series string) (Value, error) {
	kind, err := blockhash.Lookup(name)
	if err != nil {
		return Value{}, err
	}
	data := l.source.data
	return l.onAllCores(ctx, series, kind, request, func(off, n int64, hash func(p []byte)) error {
		hash(data[off : off+n])
		return nil
	})
}

// mappedWindow is how much of a file is mapped at once, as `ddumbfs cp` does.
const mappedWindow = 2 << 20

// hashMapped is hashCores over a file in the page cache, mapped as `ddumbfs cp` maps it: what is left of the hash where data lies in small pages that are mapped first. Reading it into a
// buffer would cost more (docs/performance.md).
func (l *Lab) hashMapped(ctx context.Context, name, series string) (v Value, err error) {
	kind, err := blockhash.Lookup(name)
	if err != nil {
		return v, err
	}
	file, err := l.knownFile(ctx)
	if err != nil {
		return v, err
	}
	f, err := disk.OS().OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return l.onAllCores(ctx, series, kind, mappedWindow, func(off, n int64, hash func(p []byte)) error {
		window, err := disk.MapShared(f, off, int(n))
		if err != nil {
			return err
		}
		if err = disk.Populate(window); err == nil {
			for at := 0; at < len(window) && err == nil; at += request {
				piece := window[at:min(at+request, len(window))]
				if err = disk.Populate(piece); err == nil {
					hash(piece)
				}
			}
		}
		return errors.Join(err, disk.Unmap(window))
	})
}

// onAllCores has each core take so many bytes of the data of a file at a time, until none are left.
func (l *Lab) onAllCores(ctx context.Context, series string, kind blockhash.Kind, window int64, take func(off, n int64, hash func(p []byte)) error) (Value, error) {
	var next atomic.Int64
	errs := make([]error, cores.Count())
	var g sync.WaitGroup
	own, start := ownCPU(), time.Now()
	for i := range errs {
		g.Go(func() {
			sums := make([]blockhash.Hash, window/block)
			hash := func(p []byte) {
				n := len(p) / block
				kind.SumAll(p[:n*block], block, sums[:n], func(int, []byte) bool { return true })
			}
			for off := next.Add(window) - window; off < l.Sizes.Data && ctx.Err() == nil && errs[i] == nil; off = next.Add(window) - window {
				errs[i] = take(off, min(window, l.Sizes.Data-off), hash)
			}
		})
	}
	g.Wait()
	took := time.Since(start).Seconds()
	return Value{Series: series, Unit: result.BytesPerSecond, Value: float64(l.Sizes.Data) / took, CPU: (ownCPU() - own).Seconds()}, errors.Join(append(errs, context.Cause(ctx))...)
}
