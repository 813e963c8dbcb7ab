package faults

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
)

// counts are cases that were run.
type counts struct{ faults, silent, crashes, repairs, seconds, lost atomic.Int64 }

func (c *counts) add(o *counts) {
	c.faults.Add(o.faults.Load())
	c.silent.Add(o.silent.Load())
	c.crashes.Add(o.crashes.Load())
	c.repairs.Add(o.repairs.Load())
	c.seconds.Add(o.seconds.Load())
	c.lost.Add(o.lost.Load())
}

func (c *counts) String() string {
	return fmt.Sprintf("%d cases: %d failing calls (%d of them harmless), %d power cuts; %d needed a repair, %d had a second fault in it, %d lost unsynced blocks",
		c.faults.Load()+c.crashes.Load(), c.faults.Load(), c.silent.Load(), c.crashes.Load(), c.repairs.Load(), c.seconds.Load(), c.lost.Load())
}

// faults lists all failures of all calls, shuffled, the first call of each site in front.
func (x *matrix) faults() (list []disktest.Fault) {
	for _, call := range x.sorted {
		for n := range x.calls[call] {
			for _, f := range kinds(call) {
				f.N = n
				list = append(list, f)
			}
		}
	}
	x.rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	seen := map[disktest.Call]bool{}
	slices.SortStableFunc(list, func(a, b disktest.Fault) int { return min(b.N, 0) - min(a.N, 0) })
	var first, rest []disktest.Fault
	for _, f := range list {
		if f.N == 0 && !seen[f.Call] {
			seen[f.Call] = true
			first = append(first, f)
			continue
		}
		rest = append(rest, f)
	}
	return append(first, rest...)
}

// kinds are the ways in which a call can fail.
func kinds(call disktest.Call) []disktest.Fault {
	list := []disktest.Fault{{Call: call, Err: unix.EIO}, {Call: call, Err: unix.EIO, Repeat: true}}
	switch call.Kind {
	case disktest.Write:
		list = append(list, disktest.Fault{Call: call, Err: unix.ENOSPC, Partial: 700}, disktest.Fault{Call: call, Err: io.ErrShortWrite, Partial: 100},
			disktest.Fault{Call: call, Err: unix.ENOSPC, Repeat: true})
	case disktest.Read:
		list = append(list, disktest.Fault{Call: call, Partial: 100}, disktest.Fault{Call: call})
	case disktest.Open, disktest.Allocate, disktest.Mkdir, disktest.Rename, disktest.Truncate, disktest.Punch, disktest.SyncDir:
		list = append(list, disktest.Fault{Call: call, Err: unix.ENOSPC})
	}
	return list
}

func describe(f disktest.Fault) string {
	return fmt.Sprintf("%s in %s, call %d, %v after %d bytes, repeat %v", f.Kind, f.Site, f.N, f.Err, f.Partial, f.Repeat)
}

// fault runs the operation with one failing call.
func (x *matrix) fault(f disktest.Fault) {
	l := x.begin()
	l.d.Inject(f)
	x.op.run(l)
	l.unmount()
	fired := l.d.Fired()
	l.d.Heal()
	if fired == 0 {
		if x.v.workers == 0 && !x.op.tool && !x.op.uneven { // several goroutines share the calls, and some runs make one fewer
			x.t.Errorf("%s: never happened", describe(f))
		}
		return
	}
	for _, open := range l.d.OpenFiles() { // CheckLeaks would keep the disk of every case until the end
		x.t.Errorf("%s: left open: %s", describe(f), open)
	}
	x.n.faults.Add(1)
	if l.err == nil {
		x.n.silent.Add(1)
	}
	o := &outcome{files: l.files, k: never, exact: l.err == nil}
	x.judge(o, l.d, fmt.Sprintf("%s (reported: %v)", describe(f), l.err))
}

// cut is a power cut.
type cut struct {
	k    int
	how  disktest.Unsynced
	seed uint64
}

// crashes lists the power cuts after each change, shuffled.
func (x *matrix) crashes() (list []cut) {
	for k := range x.whole.ops() + 1 {
		for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn, disktest.Torn} {
			list = append(list, cut{k: k, how: how, seed: x.rnd.Uint64()})
		}
	}
	x.rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// crash looks at the disk as a power cut in the operation leaves it.
func (x *matrix) crash(c cut) {
	x.n.crashes.Add(1)
	o := &outcome{files: x.whole.files, k: c.k, how: c.how}
	x.judge(o, x.whole.d.Crash(c.k, c.how, c.seed), fmt.Sprintf("power cut after %d changes of %d, the unsynced rest %v (%d)", c.k, x.whole.ops(), c.how, c.seed))
}
