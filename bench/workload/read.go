package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/bench/contender"
)

func (l *Lab) reads() []Workload {
	return []Workload{
		l.readWorkload("read-direct/128k/1", 0, l.systems(notRawDisk), l.readDirect),
		l.readWorkload("read-warm/128k/1", 0, l.systems(func(c contender.FileSystem) bool { return keeps(c) || isNull(c) }), l.readWarm),
		l.readWorkload("read-cold/128k/1", 0, l.systems(keeps), l.readCold),
	}
}

func (l *Lab) readWorkload(series string, rank int, list []contender.Contender, run func(context.Context, contender.FileSystem) (timing, error)) Workload {
	return Workload{Name: series, Series: []string{series}, Rank: rank, Contenders: list,
		Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
			t, err := run(ctx, c.(contender.FileSystem))
			if err != nil {
				return nil, err
			}
			return []Value{t.rate(series, l.Sizes.Data)}, nil
		}}
}

// readFile reads to the end in requests. What is not want, unless that is nil, is an error.
func readFile(ctx context.Context, name string, flag int, want []byte, size int64) (err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|flag, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf, err := pages(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Munmap(buf)) }()
	off := int64(0)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if want != nil && (off+int64(n) > int64(len(want)) || !bytes.Equal(buf[:n], want[off:off+int64(n)])) {
			return fmt.Errorf("read %s: what was read at %d is not what was written", name, off)
		}
		if off += int64(n); err != nil || n == 0 {
			break
		}
	}
	if off != size {
		return fmt.Errorf("read %s: %d bytes, want %d", name, off, size)
	}
	return nil
}

// haveFile stores the known file and compares it once; the comparison has gone past the kernel's cache of a volume.
func (l *Lab) haveFile(ctx context.Context, c contender.FileSystem) (name string, err error) {
	data, err := l.haveKnown(ctx, c, 1)
	if err != nil {
		return "", err
	}
	name = filepath.Join(c.Dir(), "known")
	if !c.Keeps() {
		return name, nil
	}
	return name, l.once(c, "comparison", func() error {
		if err := c.Refresh(ctx); err != nil {
			return err
		}
		return readFile(ctx, name, 0, data, l.Sizes.Data)
	})
}

// read reads the known file.
func (l *Lab) read(ctx context.Context, name string, flag int) error {
	return readFile(ctx, name, flag, nil, l.Sizes.Data)
}

func (l *Lab) readDirect(ctx context.Context, c contender.FileSystem) (timing, error) {
	return l.readTwice(ctx, c, unix.O_DIRECT)
}

func (l *Lab) readWarm(ctx context.Context, c contender.FileSystem) (timing, error) {
	return l.readTwice(ctx, c, 0)
}

// readTwice times the second of two passes.
func (l *Lab) readTwice(ctx context.Context, c contender.FileSystem, flag int) (timing, error) {
	name, err := l.haveFile(ctx, c)
	if err == nil {
		err = l.read(ctx, name, flag)
	}
	if err != nil {
		return timing{}, err
	}
	return l.measure(c, alone(func() error { return l.read(ctx, name, flag) }))
}

func (l *Lab) readCold(ctx context.Context, c contender.FileSystem) (timing, error) {
	name, err := l.haveFile(ctx, c)
	if err == nil {
		err = c.Refresh(ctx)
	}
	if err == nil {
		err = l.drop(dropAll)
	}
	if err != nil {
		return timing{}, err
	}
	return l.measure(c, alone(func() error { return l.read(ctx, name, 0) }))
}
