package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tresor/bench/contender"
)

func archiveSeries() []string {
	return []string{"archive-create", "archive-next", "archive-verify", "archive-extract"}
}

func (l *Lab) archives() []Workload {
	if l.images == nil {
		return nil
	}
	var list []contender.Contender
	for _, a := range l.Archives {
		list = append(list, a)
	}
	return []Workload{{Name: "archive", Series: archiveSeries(), Rank: 3,
		Contenders: list, Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
			return l.runArchive(ctx, c.(contender.Archive))
		}}}
}

// runArchive stores both images in a new archive, proves it, and takes the second one out again.
func (l *Lab) runArchive(ctx context.Context, a contender.Archive) (list []Value, err error) {
	defer func() { err = errors.Join(err, a.Stop()) }()
	if err := a.Start(ctx); err != nil {
		return nil, err
	}
	out, err := os.MkdirTemp(l.Scratch, "extract-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	first, next := l.images.first, l.images.next
	var file string
	for i, step := range []struct {
		bytes int
		do    func() (time.Duration, error)
	}{
		{len(first.data), func() (time.Duration, error) { return a.Create(ctx, first.path, "first") }},
		{len(next.data), func() (time.Duration, error) { return a.Create(ctx, next.path, "next") }},
		{len(first.data) + len(next.data), func() (time.Duration, error) { return a.Verify(ctx) }},
		{len(next.data), func() (cpu time.Duration, err error) {
			file, cpu, err = a.Extract(ctx, "next", out)
			return cpu, err
		}},
	} {
		series := archiveSeries()[i]
		t, err := l.measure(a, step.do)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", series, err)
		}
		list = append(list, t.rate(series, int64(step.bytes)))
	}
	have, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(have, next.data) {
		err = fmt.Errorf("compare %s: not what was stored", filepath.Base(file))
	}
	return list, err
}
