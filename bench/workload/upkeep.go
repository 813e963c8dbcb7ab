package workload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"tresor/bench/contender"
)

func (l *Lab) upkeep() []Workload {
	volumes, ours := l.systems(isVolume), l.systems(isOurs)
	of := func(series string, rank int, list []contender.Contender,
		run func(ctx context.Context, v *contender.Volume, series string) (Value, error)) Workload {
		return Workload{Name: series, Series: []string{series}, Rank: rank, Contenders: list,
			Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
				v, err := run(ctx, c.(*contender.Volume), series)
				return []Value{v}, err
			}}
	}
	return []Workload{
		of("check/128k", 2, volumes, l.check),
		l.besideRaw("check-hashes/128k", volumes, (*contender.Volume).CheckHashes),
		l.besideRaw("scrub/128k", ours, (*contender.Volume).Scrub),
		of("reclaim/128k", 2, volumes, l.reclaim),
		of("mount-full/128k", 2, volumes, l.mountFull),
		of("mount-empty/128k", 2, asContenders(l.Empty), l.mountEmpty),
		of("ingest-known/128k/offline", 0, volumes, l.ingestOffline),
		of("ingest-known/128k/mounted", 0, ours, l.ingestMounted),
		of("hash-cores/128k", 0, ours, func(ctx context.Context, v *contender.Volume, series string) (Value, error) {
			return l.hashCores(ctx, v.Hash(), series)
		}),
		of("hash-mapped/128k", 0, ours, func(ctx context.Context, v *contender.Volume, series string) (Value, error) {
			return l.hashMapped(ctx, v.Hash(), series)
		}),
		{Name: memoryHuge, Series: []string{memoryHuge, indexHuge}, Rank: 2, Once: true, Contenders: asContenders(l.Huge), Run: l.memory},
	}
}

// atRest does something while the volume is not mounted.
func (l *Lab) atRest(ctx context.Context, v *contender.Volume, do func() error) (err error) {
	if _, err := l.haveFile(ctx, v); err != nil {
		return err
	}
	if err := v.Unmount(); err != nil {
		return err
	}
	err = do()
	if ctx.Err() != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return errors.Join(err, v.Mount(ctx))
}

func (l *Lab) check(ctx context.Context, v *contender.Volume, series string) (t Value, err error) {
	err = l.atRest(ctx, v, func() error {
		took, err := l.measure(v, func() (time.Duration, error) { return v.Check(ctx, false) })
		t = took.seconds(series)
		return err
	})
	return t, err
}

// proof reads all blocks of a volume that is not mounted, and returns the CPU time of the command.
type proof func(v *contender.Volume, ctx context.Context) (time.Duration, error)

// besideRaw has the bare disk read as much at the same time of a round as volumes prove: disks are faster in one minute than in another.
func (l *Lab) besideRaw(series string, volumes []contender.Contender, run proof) Workload {
	if len(volumes) == 0 {
		return Workload{}
	}
	return Workload{Name: series, Series: []string{series}, Contenders: append(l.systems(isRaw), volumes...),
		Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
			if v, ok := c.(*contender.Volume); ok {
				value, err := l.prove(ctx, v, series, run)
				return []Value{value}, err
			}
			t, err := l.readCold(ctx, c.(contender.FileSystem))
			return []Value{t.rate(series, l.Sizes.Data)}, err
		}}
}

// prove times a proof after dropped caches, by the bytes that the volume has on the disk.
func (l *Lab) prove(ctx context.Context, v *contender.Volume, series string, run proof) (t Value, err error) {
	err = l.atRest(ctx, v, func() error {
		if err := l.drop(dropAll); err != nil {
			return err
		}
		stored, err := v.Stored()
		if err != nil {
			return err
		}
		took, err := l.measure(v, func() (time.Duration, error) { return run(v, ctx) })
		t = took.rate(series, stored)
		return err
	})
	return t, err
}

func (l *Lab) reclaim(ctx context.Context, v *contender.Volume, series string) (Value, error) {
	if _, err := l.haveFile(ctx, v); err != nil {
		return Value{}, err
	}
	name := filepath.Join(v.Dir(), "to-be-removed")
	data := l.stampUnique()
	if err := writeFile(ctx, name, data[:len(data)/4], true); err != nil {
		return Value{}, err
	}
	if err := os.Remove(name); err != nil {
		return Value{}, err
	}
	t, err := l.measure(v, func() (time.Duration, error) { return v.Reclaim(ctx) })
	return t.seconds(series), err
}

func (l *Lab) mountFull(ctx context.Context, v *contender.Volume, series string) (Value, error) {
	if _, err := l.haveFile(ctx, v); err != nil {
		return Value{}, err
	}
	return l.mount(ctx, v, series)
}

func (l *Lab) mountEmpty(ctx context.Context, v *contender.Volume, series string) (t Value, err error) {
	defer func() { err = errors.Join(err, v.Stop()) }()
	if err := v.Start(ctx); err != nil {
		return t, err
	}
	return l.mount(ctx, v, series)
}

// mount unmounts the volume, drops the caches and times the mount.
func (l *Lab) mount(ctx context.Context, v *contender.Volume, series string) (Value, error) {
	if err := v.Unmount(); err != nil {
		return Value{}, err
	}
	if err := l.drop(dropAll); err != nil {
		return Value{}, err
	}
	t, err := l.measure(v, alone(func() error { return v.Mount(ctx) }))
	return t.seconds(series), err
}

// knownFile is the known data in a file of the disk's file system, in the page cache.
func (l *Lab) knownFile(ctx context.Context) (string, error) {
	name := filepath.Join(l.Scratch, "known")
	data := l.source.Stamp(known)
	if err := l.once(label("disk"), "known data", func() error { return writeFile(ctx, name, data, true) }); err != nil {
		return "", err
	}
	return name, readFile(ctx, name, 0, nil, l.Sizes.Data)
}

func (l *Lab) ingestOffline(ctx context.Context, v *contender.Volume, series string) (t Value, err error) {
	err = l.atRest(ctx, v, func() error {
		name, err := l.knownFile(ctx)
		if err != nil {
			return err
		}
		took, err := l.measure(v, func() (time.Duration, error) { return v.CopyIn(ctx, name, "ingested") })
		t = took.rate(series, l.Sizes.Data)
		return err
	})
	return t, err
}

func (l *Lab) ingestMounted(ctx context.Context, v *contender.Volume, series string) (Value, error) {
	if _, err := l.haveFile(ctx, v); err != nil {
		return Value{}, err
	}
	name, err := l.knownFile(ctx)
	if err != nil {
		return Value{}, err
	}
	t, err := l.measure(v, func() (time.Duration, error) { return v.CopyIn(ctx, name, "ingested-mounted") })
	return t.rate(series, l.Sizes.Data), err
}
