package workload

import (
	"context"
	"time"

	"tresor/bench/contender"
	"tresor/bench/result"
	"tresor/index/blockhash"
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
