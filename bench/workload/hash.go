package workload

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tresor/bench/contender"
	"tresor/bench/result"
	"tresor/index/blockhash"
	"tresor/index/cores"
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
	data := l.source.data[:l.Sizes.Data]
	var next atomic.Int64
	var g sync.WaitGroup
	own, start := ownCPU(), time.Now()
	for range cores.Count() {
		g.Go(func() {
			sums := make([]blockhash.Hash, request/block)
			for off := next.Add(request) - request; off < int64(len(data)) && ctx.Err() == nil; off = next.Add(request) - request {
				part := data[off:min(off+request, int64(len(data)))]
				n := len(part) / block
				kind.SumAll(part[:n*block], block, sums[:n], func(int, []byte) bool { return true })
			}
		})
	}
	g.Wait()
	took := time.Since(start).Seconds()
	return Value{Series: series, Unit: result.BytesPerSecond, Value: float64(len(data)) / took, CPU: (ownCPU() - own).Seconds()}, context.Cause(ctx)
}
