package workload

import (
	"context"
	"errors"
	"slices"

	"tresor/bench/contender"
	"tresor/bench/result"
)

// visits has volumes of other hashes and block sizes, which are made anew each round.
func (l *Lab) visits() (list []Workload) {
	for _, size := range BlockSizes() {
		names := []string{"write-unique", "write-known", "read-direct", "read-cold"}
		ingest, bare := "ingest-known/"+short(size)+"/offline", "hash-cores/"+short(size)
		for i := range names {
			names[i] += "/" + short(size) + "/1"
		}
		w := Workload{Name: "volume/" + short(size), Series: names, Rank: 3}
		if size == block {
			w.Rank = 1 // other hashes are in the table of figures
		}
		for _, v := range l.Visitors {
			if v.BlockSize() == size {
				w.Contenders = append(w.Contenders, v)
			}
		}
		if size == block {
			w.Series = append(slices.Clip(names), ingest, bare)
		}
		w.Run = func(ctx context.Context, c contender.Contender) ([]Value, error) {
			return l.visit(ctx, c.(*contender.Volume), names, ingest, bare)
		}
		list = append(list, w)
	}
	return list
}

func (l *Lab) visit(ctx context.Context, v *contender.Volume, names []string, ingest, bare string) (list []Value, err error) {
	defer func() { err = errors.Join(err, v.Stop()) }()
	defer l.forget(v)
	if err := v.Start(ctx); err != nil {
		return nil, err
	}
	one := func(run func(context.Context, contender.FileSystem, int) (timing, error)) func(context.Context, contender.FileSystem) (timing, error) {
		return func(ctx context.Context, c contender.FileSystem) (timing, error) { return run(ctx, c, 1) }
	}
	steps := []func(context.Context, contender.FileSystem) (timing, error){one(l.writeUnique), one(l.writeKnown), l.readDirect, l.readCold}
	for i, run := range steps {
		t, err := run(ctx, v)
		if err != nil {
			return nil, err
		}
		list = append(list, t.rate(names[i], l.Sizes.Data))
	}
	if v.BlockSize() == block {
		for _, step := range []func() (Value, error){
			func() (Value, error) { return l.ingestOffline(ctx, v, ingest) },
			func() (Value, error) { return l.hashCores(ctx, v.Hash(), bare) },
		} {
			value, err := step()
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
	}
	return slices.Clip(list), nil
}

const memoryHuge, indexHuge = "memory/1T", "memory-index/1T"

// memory is measured once: what a daemon holds does not depend on how busy the machine is. It is the most that it had, after everything that fills its buffers: large writes, reads
// past the kernel's cache and past the page cache, and random overwrites, whose blocks wait to be whole.
func (l *Lab) memory(ctx context.Context, c contender.Contender) (list []Value, err error) {
	v := c.(*contender.Volume)
	defer func() { err = errors.Join(err, v.Stop()) }()
	defer l.forget(v)
	if err := v.Start(ctx); err != nil {
		return nil, err
	}
	if _, err := l.writeUnique(ctx, v, 4); err != nil {
		return nil, err
	}
	for _, read := range []func(context.Context, contender.FileSystem) (timing, error){l.readDirect, l.readCold} {
		if _, err := read(ctx, v); err != nil {
			return nil, err
		}
	}
	if _, err := l.randomWith(ctx, v, randomWrite, true); err != nil {
		return nil, err
	}
	peak, err := v.PeakMemory()
	if err != nil {
		return nil, err
	}
	index, err := v.IndexSize()
	return []Value{{Series: "memory/1T", Unit: result.Bytes, Value: float64(peak)},
		{Series: "memory-index/1T", Unit: result.Bytes, Value: float64(index)}}, err
}
