package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"tresor/bench/contender"
)

const vmFirst, vmNext = "vm-first/128k/1", "vm-next/128k/1"

// ImageSeries are the series that the file system images are stored in.
func ImageSeries() []string { return append([]string{vmFirst, vmNext}, archiveSeries()...) }

const known = 0 // stamp of the data that every contender holds

func (l *Lab) writes() []Workload {
	w := []Workload{
		l.writeWorkload("write-known/128k/1", 0, l.systems(notRawDisk), 1, l.writeKnown),
		l.writeWorkload("write-known/128k/4", 0, l.systems(notRawDisk), 4, l.writeKnown),
		l.writeWorkload("write-unique/128k/1", 0, l.systems(keeps), 1, l.writeUnique),
		l.writeWorkload("write-unique/128k/4", 3, l.systems(keeps), 4, l.writeUnique),
		l.writeWorkload("write-shuffled/128k/8", 2, l.systems(notRawDisk), 8, l.writeShuffled),
	}
	if l.images == nil {
		return w
	}
	return append(w, Workload{Name: "vm", Series: []string{vmFirst, vmNext}, Rank: 2, Contenders: l.systems(keeps),
		Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
			return l.writeImages(ctx, c.(contender.FileSystem))
		}})
}

func (l *Lab) writeWorkload(series string, rank int, list []contender.Contender, writers int,
	run func(context.Context, contender.FileSystem, int) (timing, error)) Workload {
	return Workload{Name: series, Series: []string{series}, Rank: rank, Contenders: list,
		Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
			t, err := run(ctx, c.(contender.FileSystem), writers)
			if err != nil {
				return nil, err
			}
			return []Value{t.rate(series, l.Sizes.Data)}, nil
		}}
}

// writeFile writes data in requests to a new or an old file.
func writeFile(ctx context.Context, name string, data []byte, sync bool) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for off := 0; off < len(data); off += request {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := f.WriteAt(data[off:min(off+request, len(data))], int64(off)); err != nil {
			return err
		}
	}
	if sync {
		return f.Sync()
	}
	return nil
}

// fan does something in several goroutines and waits for all of them.
func fan(n int, do func(i int) error) error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = do(i) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// part i of n of the data, and the name of the file for it.
func part(c contender.FileSystem, stem string, data []byte, i, n int) (string, []byte) {
	if n == 1 {
		return filepath.Join(c.Dir(), stem), data
	}
	size := len(data) / n
	return filepath.Join(c.Dir(), fmt.Sprintf("%s-%d-of-%d", stem, i+1, n)), data[i*size : (i+1)*size]
}

// writeParts writes the data to n files by n writers.
func writeParts(ctx context.Context, c contender.FileSystem, stem string, data []byte, n int, sync bool) error {
	return fan(n, func(i int) error {
		name, data := part(c, stem, data, i, n)
		return writeFile(ctx, name, data, sync)
	})
}

// haveKnown stores the known data in the files that will be written again.
func (l *Lab) haveKnown(ctx context.Context, c contender.FileSystem, writers int) ([]byte, error) {
	data := l.source.Stamp(known)
	return data, l.once(c, fmt.Sprint("known data of ", writers), func() error {
		return writeParts(ctx, c, "known", data, writers, true)
	})
}

func (l *Lab) writeKnown(ctx context.Context, c contender.FileSystem, writers int) (timing, error) {
	data, err := l.haveKnown(ctx, c, writers)
	if err != nil {
		return timing{}, err
	}
	return l.measure(c, alone(func() error { return writeParts(ctx, c, "known", data, writers, false) }))
}

// stampUnique returns data that no contender has seen.
func (l *Lab) stampUnique() []byte {
	l.unique++
	return l.source.Stamp(l.unique)
}

func (l *Lab) writeUnique(ctx context.Context, c contender.FileSystem, writers int) (timing, error) {
	data := l.stampUnique()
	t, err := l.measure(c, alone(func() error { return writeParts(ctx, c, "unique", data, writers, true) }))
	if err != nil {
		return t, err
	}
	for i := range writers {
		name, _ := part(c, "unique", data, i, writers)
		if err := os.Remove(name); err != nil {
			return t, err
		}
	}
	return t, c.GiveBack(ctx)
}

// writeShuffled is what a host does that writes one file over several connections.
func (l *Lab) writeShuffled(ctx context.Context, c contender.FileSystem, writers int) (timing, error) {
	data, err := l.haveKnown(ctx, c, 1)
	if err != nil {
		return timing{}, err
	}
	name := filepath.Join(c.Dir(), "known")
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(data) / request)
	return l.measure(c, alone(func() error {
		return fan(writers, func(w int) (err error) {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			for i := w; i < len(order); i += writers {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				off := order[i] * request
				if _, err := f.WriteAt(data[off:off+request], int64(off)); err != nil {
					return err
				}
			}
			return nil
		})
	}))
}

func (l *Lab) writeImages(ctx context.Context, c contender.FileSystem) (list []Value, err error) {
	for _, step := range []struct {
		series string
		image  image
	}{{vmFirst, l.images.first}, {vmNext, l.images.next}} {
		name := filepath.Join(c.Dir(), filepath.Base(step.image.path))
		t, err := l.measure(c, alone(func() error { return writeFile(ctx, name, step.image.data, true) }))
		if err != nil {
			return nil, err
		}
		list = append(list, t.rate(step.series, int64(len(step.image.data))))
	}
	for _, i := range []image{l.images.first, l.images.next} {
		if err := os.Remove(filepath.Join(c.Dir(), filepath.Base(i.path))); err != nil {
			return nil, err
		}
	}
	return list, c.GiveBack(ctx)
}
