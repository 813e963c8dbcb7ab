package workload

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"tresor/bench/contender"
)

const (
	perDirectory = 1000
	contents     = 256 // different small files: what is measured is names and attributes, not the storing of data
)

func (l *Lab) smallFiles() []Workload {
	if l.Sizes.Small == 0 {
		return nil
	}
	return []Workload{{Name: "small", Series: []string{"small-create", "small-list", "small-stat", "small-read", "small-delete"}, Rank: 1,
		Contenders: l.systems(keeps), Run: func(ctx context.Context, c contender.Contender) ([]Value, error) {
			return l.runSmall(ctx, c.(contender.FileSystem))
		}}}
}

// smallSet is a set of small files.
type smallSet struct {
	root  string
	names []string
	data  []byte
}

func (l *Lab) newSmallSet(c contender.FileSystem) (*smallSet, error) {
	s := &smallSet{root: filepath.Join(c.Dir(), "small"), data: l.source.Stamp(known)[:small]}
	if err := os.Mkdir(s.root, 0o755); err != nil {
		return nil, err
	}
	for i := range l.Sizes.Small {
		dir := filepath.Join(s.root, fmt.Sprint(i/perDirectory))
		if i%perDirectory == 0 {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return nil, err
			}
		}
		s.names = append(s.names, filepath.Join(dir, fmt.Sprintf("file-%06d", i)))
	}
	return s, nil
}

// each does something to all files.
func (s *smallSet) each(ctx context.Context, do func(i int, name string) error) func() error {
	return func() error {
		for i, name := range s.names {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := do(i, name); err != nil {
				return err
			}
		}
		return nil
	}
}

// content of file i; its length is one of 256 as well.
func (s *smallSet) content(i int) []byte {
	n := i % contents
	binary.LittleEndian.PutUint64(s.data, uint64(n)+1)
	return s.data[:small/contents*(n+1)]
}

func (s *smallSet) list() error {
	seen := 0
	for i := 0; i < len(s.names); i += perDirectory {
		list, err := os.ReadDir(filepath.Dir(s.names[i]))
		if err != nil {
			return err
		}
		seen += len(list)
	}
	if seen != len(s.names) {
		return fmt.Errorf("list %s: %d names, want %d", s.root, seen, len(s.names))
	}
	return nil
}

func (s *smallSet) look(i int, name string) error {
	info, err := os.Lstat(name)
	if err == nil && info.Size() != int64(len(s.content(i))) {
		err = fmt.Errorf("stat %s: %d bytes, want %d", name, info.Size(), len(s.content(i)))
	}
	return err
}

func (s *smallSet) read(i int, name string) error {
	have, err := os.ReadFile(name)
	if err == nil && string(have) != string(s.content(i)) {
		err = fmt.Errorf("read %s: what was read is not what was written", name)
	}
	return err
}

func (l *Lab) runSmall(ctx context.Context, c contender.FileSystem) (list []Value, err error) {
	s, err := l.newSmallSet(c)
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		series, drop string
		do           func() error
	}{
		{"small-create", "", s.each(ctx, func(i int, name string) error { return os.WriteFile(name, s.content(i), 0o644) })},
		{"small-list", dropNames, s.list},
		{"small-stat", dropNames, s.each(ctx, s.look)},
		{"small-read", dropAll, s.each(ctx, s.read)},
		{"small-delete", dropNames, s.each(ctx, func(_ int, name string) error { return os.Remove(name) })},
	} {
		if step.drop != "" {
			if err := l.drop(step.drop); err != nil {
				return nil, err
			}
		}
		t, err := l.measure(c, alone(step.do))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step.series, err)
		}
		list = append(list, t.operations(step.series, float64(len(s.names))))
	}
	if err := os.RemoveAll(s.root); err != nil {
		return nil, err
	}
	return list, c.GiveBack(ctx)
}
