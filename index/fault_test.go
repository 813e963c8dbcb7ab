package index_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/reclaim"
)

// faultRun is a short life of a volume: opened, written, synced, checkpointed, read, reclaimed, closed.
type faultRun struct {
	r        *rig
	acked    map[string][]uint64 // files that were synced, by the blocks in them
	reported error
}

// step runs one step unless one before has failed, and keeps the error.
func (f *faultRun) step(name string, do func() error) {
	if f.reported == nil && f.r.vol != nil {
		if err := do(); err != nil {
			f.reported = fmt.Errorf("%s: %w", name, err)
		}
	}
}

// run does what can be done; after an error only the close.
func (f *faultRun) run() {
	r := f.r
	p, err := index.Acquire(index.Location{FS: r.m, Parent: volumeDir}, index.Write)
	if err == nil {
		r.vol, err = index.Open(p, r.opts)
	}
	if err != nil {
		r.vol, f.reported = nil, err
		return
	}
	f.step("read", func() error { return f.readAcked() })
	f.create("new", 10, 11, 0, 12)
	f.step("checkpoint", r.vol.Checkpoint)
	f.create("more", 13, 1, 14)
	f.step("remove", func() error { return r.m.Remove(r.root("old")) })
	if f.reported == nil {
		delete(f.acked, "old")
	}
	f.step("reclaim", func() error {
		_, err := reclaim.Run(context.Background(), r.vol, reclaim.Options{})
		return err
	})
	f.create("reuse", 20, 21, 22, 23)
	f.step("rest", func() error { _, err := r.vol.Quiesce(0, nothing); return err })
	f.step("read", func() error { return f.readAcked() })
	if err := r.vol.Close(); f.reported == nil {
		f.reported = err
	}
	r.vol = nil
}

func (f *faultRun) create(name string, blocks ...uint64) {
	f.step("put "+name, func() error {
		out, err := f.r.put(blocks...)
		if err == nil {
			err = f.r.tryWriteFile(name, uint64(len(blocks)*f.r.geo.BlockSize), out)
		}
		return err
	})
	f.step("sync "+name, func() error {
		err := f.r.syncFile(name)
		if err == nil {
			f.acked[name] = blocks
		}
		return err
	})
}

// readAcked reads what was synced: right or an error, never wrong.
func (f *faultRun) readAcked() error {
	for name, blocks := range f.acked {
		list, err := f.r.tryEntries(name)
		if err != nil {
			return err
		}
		p, err := f.r.read(list)
		if err != nil {
			return err
		}
		if string(p) != string(f.r.blocks(blocks...)) {
			f.r.t.Errorf("%s: wrong content", name)
		}
	}
	return nil
}

// TestFaults fails every disk call of a volume's life in turn, once and from then on. The error is reported, or harmless; whatever was synced
// is right after the repair; and nothing stays open.
func TestFaults(t *testing.T) {
	base := newRig(t, smallVolume(), index.Options{})
	first := map[string][]uint64{"kept": {1, 2, 3}, "old": {4, 5, 6, 7}}
	for name, blocks := range first {
		base.mustPut(name, blocks...)
	}
	base.close()
	start := base.m.Clone()
	life := func(m *disktest.FS) *faultRun {
		f := &faultRun{r: base.over(m), acked: maps.Clone(first)}
		f.r.t = t
		m.ResetCalls()
		return f
	}
	whole := life(start.Clone())
	whole.run()
	if whole.reported != nil {
		t.Fatalf("without a fault: %v", whole.reported)
	}
	calls := whole.r.m.Calls()
	cases, silent := 0, 0
	for _, call := range whole.r.m.SortedCalls() {
		for _, fault := range kinds(call) {
			for n := range calls[call] {
				if n > 2 && n < calls[call]-1 && !long() {
					continue
				}
				fault.N = n
				m := start.Clone()
				f := life(m)
				f.r.t = t
				m.Inject(fault)
				f.run()
				what := fmt.Sprintf("%s in %s, call %d, %v, repeat %v", call.Kind, call.Site, n, fault.Err, fault.Repeat)
				if m.Fired() == 0 {
					t.Errorf("%s: never happened", what)
				}
				m.Heal()
				m.CheckLeaks(t)
				cases++
				if f.reported == nil {
					silent++
				}
				f.afterwards(what)
				if t.Failed() {
					t.Fatalf("%s (reported: %v)", what, f.reported)
				}
			}
		}
	}
	t.Logf("%d faults, %d of them harmless", cases, silent)
}

// kinds are the faults that a call can have.
func kinds(call disktest.Call) []disktest.Fault {
	list := []disktest.Fault{{Call: call, Err: unix.EIO}, {Call: call, Err: unix.EIO, Repeat: true}}
	switch call.Kind {
	case disktest.Write:
		list = append(list, disktest.Fault{Call: call, Err: unix.ENOSPC, Partial: 700}, disktest.Fault{Call: call, Err: io.ErrShortWrite, Partial: 100})
	case disktest.Read:
		list = append(list, disktest.Fault{Call: call, Partial: 100})
	case disktest.Open, disktest.Allocate, disktest.Mkdir, disktest.Rename:
		list = append(list, disktest.Fault{Call: call, Err: unix.ENOSPC})
	}
	return list
}

// afterwards opens the volume as the next mount does and looks at what was acknowledged.
func (f *faultRun) afterwards(what string) {
	r := f.r
	r.t.Helper()
	p := r.acquire()
	dirty, err := p.Dirty()
	r.must(errors.Join(err, p.Close()))
	if dirty {
		r.repair()
	} else {
		r.open()
	}
	for name, blocks := range f.acked {
		r.assertRead(r.entries(name), blocks...)
	}
	r.close()
	if sum, found := r.check(); sum.Status() != 0 && sum.Status() != 2 {
		r.t.Errorf("%s: status %d: %q", what, sum.Status(), found)
	}
}
