package service

import (
	"context"
	"slices"

	"tresor/orchestrator"
)

type fakeBuffer struct {
	w    *world
	life int
}

func (f fakeBuffer) Free(context.Context) (int64, int, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.w.free, f.w.used, nil
}

func (f fakeBuffer) List(context.Context) ([]orchestrator.Backup, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return slices.Clone(f.w.buffer), nil
}

func (f fakeBuffer) Make(ctx context.Context, name string, m Machine, _ []orchestrator.Root) (r orchestrator.Record, err error) {
	if err := f.w.hold(ctx, "make", func() chan struct{} { return f.w.making }); err != nil {
		return r, err
	}
	err = f.w.op(f.life, func() error {
		if f.w.full != nil {
			return f.w.full
		}
		r = orchestrator.Record{Name: name, Machine: m.Name, Bytes: 2e6}
		f.w.buffer = append(f.w.buffer, orchestrator.Backup{Record: r, Dir: f.Dir(name)})
		f.w.free -= 2e6
		return nil
	})
	return r, err
}

func (f fakeBuffer) Discard(_ context.Context, name string) error {
	return f.w.op(f.life, func() error { f.w.discarded = append(f.w.discarded, name); return nil })
}

func (f fakeBuffer) Dir(name string) string { return "/buffer/" + name }

func (f fakeBuffer) Release(_ context.Context, name string, v orchestrator.Verdict) error {
	return f.w.op(f.life, func() error {
		for i := range f.w.buffer {
			if f.w.buffer[i].Name == name {
				f.w.buffer[i].Verdict = v
			}
		}
		return nil
	})
}

func (f fakeBuffer) Remove(_ context.Context, name string) error {
	return f.w.op(f.life, func() error {
		for _, b := range f.w.buffer {
			if b.Name == name && b.Verdict != orchestrator.Verified && b.Verdict != orchestrator.Skipped {
				f.w.t.Errorf("%s is removed from the buffer with verdict %q", name, b.Verdict)
			}
		}
		f.w.buffer = slices.DeleteFunc(f.w.buffer, func(b orchestrator.Backup) bool { return b.Name == name })
		f.w.free += 2e6
		return nil
	})
}

// Plan keeps one of each machine.
func (f fakeBuffer) Plan(_ context.Context, list []orchestrator.Backup) (remove []string, err error) {
	seen := map[string]bool{}
	for _, b := range slices.Backward(list) {
		if seen[b.Machine] {
			remove = append(remove, b.Name)
		}
		seen[b.Machine] = true
	}
	return remove, nil
}

func (f fakeBuffer) Full() int { return 95 }
