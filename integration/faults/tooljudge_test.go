package faults

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/fsck"
)

// judgeTool holds that the files are there after a mount in place of another run, unless that is refused; and that another run comes to the same end as an
// undisturbed one.
func (x *matrix) judgeTool(o *outcome, d *disktest.FS, what string) {
	if o.exact {
		newLife(x.t, x.v, d, nil).status(what+": nothing was reported", x.verdicts()...)
	}
	x.instead(o, d.Clone(), what+": a repair instead")
	if x.t.Failed() {
		return
	}
	l := newLife(x.t, x.v, d, nil)
	for name, s := range x.files {
		l.files[name] = s.copy()
	}
	x.op.run(l)
	if l.err != nil {
		x.t.Errorf("%s: run again: %v", what, l.err)
		return
	}
	if o.twice && x.op.chance {
		l.step(func() error { return l.repair(fsck.Normal) }) // a mount may have gone on with blocks that its repair could not read
	}
	l.status(what+": after another run", x.verdicts()...)
	l.assertFinal(what+": after another run", x.final)
	if x.t.Failed() || x.op.lost {
		return
	}
	have := imageOf(l)
	for name, text := range x.image {
		if now, ok := have[name]; !ok {
			x.odd(what, fmt.Sprintf("%s (none, undisturbed %d bytes)", name, len(text)))
		} else if now != text {
			x.odd(what, fmt.Sprintf("%s (%d bytes, undisturbed %d)", name, len(now), len(text)))
		}
	}
	for name, text := range have {
		if _, ok := x.image[name]; !ok {
			x.odd(what, fmt.Sprintf("%s (%d bytes, undisturbed none)", name, len(text)))
		}
	}
	end := newLife(x.t, x.v, d, nil)
	if err := end.mount(); err != nil {
		x.t.Errorf("%s: mount at the end: %v", what, err)
		return
	}
	(&outcome{files: x.whole.files, k: never, exact: true}).compare(end, what+": at the end")
	end.unmount()
}

// odd is a file that another run left otherwise than an undisturbed one. Where that is no matter of chance, it fails the test.
func (x *matrix) odd(what, file string) {
	left := strings.HasPrefix(file, "ddfsusedblocks (none,") || // where there was no room; nothing depends on it
		x.op.left != "" && strings.HasPrefix(file, x.op.left+" ")
	if !x.op.chance && !left {
		x.t.Errorf("%s: after another run the volume is not the same: %s", what, file)
	}
}

// instead does not run the operation again but a repair, which is refused only where the operation has to go on.
func (x *matrix) instead(o *outcome, d *disktest.FS, what string) {
	l := newLife(x.t, x.v, d, nil)
	var unfinished *index.UnfinishedError
	err := index.CheckUnfinished(d, volumeDir)
	if errors.As(err, &unfinished) {
		// In the middle of a reinit there is no configuration, and so no volume.
		if err := l.mount(); !errors.As(err, &unfinished) && !(unfinished.Job == "reinit" && errors.Is(err, iofs.ErrNotExist)) {
			x.t.Errorf("%s: a mount of a volume with an unfinished %s: have %v, want it refused", what, unfinished.Job, err)
		}
		return
	}
	if err = errors.Join(err, l.repair(fsck.Normal)); err != nil {
		x.t.Errorf("%s: %v", what, err)
		return
	}
	x.n.repairs.Add(1)
	if err := l.mount(); err != nil {
		x.t.Errorf("%s: mount: %v", what, err)
		return
	}
	o.compare(l, what)
	l.unmount()
	l.status(what, append(x.verdicts(), fsck.Lost)...)
}
