package faults

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
)

// judge holds what came out against what may.
func (x *matrix) judge(o *outcome, d *disktest.FS, what string) {
	what = fmt.Sprintf("%s: %s", x.op.name, what)
	if x.rnd.IntN(8) == 0 {
		var then string
		d, then = x.second(d)
		what += then
		if x.op.tool {
			o = x.twice(o)
		}
	}
	if x.op.tool {
		x.judgeTool(o, d, what)
	} else {
		x.judgeData(o, d, what)
	}
	if x.t.Failed() {
		x.t.Log(what)
	}
}

// judgeData mounts the volume as the next mount does, compares, runs the operation again, and compares with an undisturbed run.
func (x *matrix) judgeData(o *outcome, d *disktest.FS, what string) {
	l := newLife(x.t, x.v, d, nil)
	if x.dirty(d) {
		x.n.repairs.Add(1)
	}
	if err := l.mount(); err != nil {
		x.t.Errorf("%s: mount afterwards: %v", what, err)
		return
	}
	o.compare(l, what)
	if o.lost > 0 {
		x.n.lost.Add(1)
	}
	if x.t.Failed() {
		l.kill()
		return
	}
	l.settle(o, x.files)
	if !x.op.open {
		l.unmount()
	}
	x.op.run(l)
	l.unmount()
	if l.err != nil {
		x.t.Errorf("%s: run again: %v", what, l.err)
		return
	}
	verdicts := x.verdicts()
	if o.how != disktest.Keep {
		verdicts = append(verdicts, fsck.Lost)
	}
	l.status(what+": after another run", verdicts...)
	if x.op.loose {
		return
	}
	l.assertFinal(what+": after another run", x.final)
	l = newLife(x.t, x.v, d, x.whole.files)
	if l.step(l.mount); l.err != nil {
		x.t.Errorf("%s: mount at the end: %v", what, l.err)
		return
	}
	// A file that was never synced may have come without a header; then it lies in the quarantine, and keeps its blocks.
	_, err := d.Lstat(filepath.Join(volumeDir, format.QuarantineName))
	if used := l.tidy(what); used != x.used && !(o.how != disktest.Keep && err == nil) {
		x.t.Errorf("%s: %d blocks are in use after another run and a reclaim, want %d", what, used, x.used)
	}
}

func (x *matrix) dirty(d *disktest.FS) bool {
	p, err := index.Acquire(index.Location{FS: d, Parent: volumeDir}, index.Write)
	if err != nil {
		return true
	}
	dirty, err := p.Dirty()
	return errors.Join(err, p.Close()) != nil || dirty
}

// twice is the outcome of an operation that was begun once more after it had been interrupted.
func (x *matrix) twice(o *outcome) *outcome {
	both := &outcome{files: map[string]*story{}, k: never, how: o.how, twice: true}
	for name := range x.whole.files {
		s := &story{versions: []version{{durable: -1}}}
		if old := o.files[name]; old != nil {
			s.versions = nil
			for _, p := range old.allowed(o.k) {
				s.add(p, 0)
			}
		}
		s.add(x.whole.files[name].now(), 0)
		both.files[name] = s
	}
	return both
}

// second has a call of the recovery fail, or the power go in it, and returns the disk that this leaves, and what it did.
func (x *matrix) second(d *disktest.FS) (left *disktest.FS, what string) {
	img := d.Clone()
	img.Record()
	recover := func(img *disktest.FS) {
		l := newLife(x.t, x.v, img, x.files)
		if x.op.tool {
			x.op.run(l)
			return
		}
		if err := l.mount(); err == nil {
			l.kill()
		}
	}
	switch x.n.seconds.Add(1); x.rnd.IntN(2) {
	case 0:
		f := disktest.Fault{N: x.rnd.IntN(150), Err: []error{unix.EIO, unix.ENOSPC, nil}[x.rnd.IntN(3)]}
		img.Inject(f)
		recover(img)
		img.Heal()
		return img.Clone(), fmt.Sprintf(", and in the recovery call %d fails with %v", f.N, f.Err)
	default:
		recover(img)
		c := cut{k: x.rnd.IntN(len(img.Ops()) + 1), how: disktest.Unsynced(x.rnd.IntN(3)), seed: x.rnd.Uint64()}
		return img.Crash(c.k, c.how, c.seed), fmt.Sprintf(", and in the recovery the power goes after %d changes, %v (%d)", c.k, c.how, c.seed)
	}
}
