package resize_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/mkfs"
	"tresor/index/pack"
	"tresor/index/resize"
)

// job is one way to resize.
type job struct {
	name   string
	blocks uint64 // before
	o      resize.Options
	pack   bool // there are blocks behind the new end
}

func jobs() []job {
	yes := true
	return []job{
		{name: "grow within addr_size", blocks: 120, o: resize.Options{Size: 200 * block}},
		{name: "shrink with a pack", blocks: 300, o: resize.Options{Size: 40 * block}, pack: true},
		{name: "grow across addr_size", blocks: 200, o: resize.Options{Size: 300 * block}},
		{name: "shrink within addr_size", blocks: 200, o: resize.Options{Size: 100 * block}},
		{name: "shrink across addr_size", blocks: 300, o: resize.Options{Size: 200 * block}},
		{name: "overflow", blocks: 200, o: resize.Options{Overflow: 2.5}},
		{name: "order of reuse", blocks: 200, o: resize.Options{ReuseASAP: &yes}},
		{name: "index to another file", blocks: 200, o: resize.Options{Index: "index"}},
		{name: "index to another directory, and larger", blocks: 200, o: resize.Options{Index: "/other/index", Size: 1000 * block}},
		{name: "index to a device", blocks: 200, o: resize.Options{Index: "/other/device", Size: 300 * block}},
	}
}

// across is the job that grows addresses.
func across() job {
	list := jobs()
	return list[slices.IndexFunc(list, func(j job) bool { return j.name == "grow across addr_size" })]
}

// stride is how many crash points or calls are stepped over: none in the long form.
func stride(short int) int {
	if os.Getenv("TRESOR_LONG") != "" {
		return 1
	}
	return short
}

// prepare makes the volume of a job.
func (j *job) prepare(t testing.TB) *rig {
	t.Helper()
	r := newRig(t, j.blocks)
	if j.pack {
		r = newPlainRig(t, j.blocks)
		r.gap(indextest.Describe(t, r.m, "/v"))
		j.o.Pack = func(ctx context.Context, p *index.Parent) error {
			_, err := pack.Run(ctx, p, pack.Options{})
			return err
		}
	}
	r.m.MkdirAll("/other")
	if err := r.m.AddDevice("/other/device", 1<<20); err != nil {
		t.Fatal(err)
	}
	r.m.Record()
	j.o.Batch = small
	return r
}

// want runs the job to its end.
func (j *job) want(t testing.TB, r *rig) map[string]string {
	t.Helper()
	if _, err := run(r.m, j.o); err != nil {
		t.Fatal(err)
	}
	v := r.verify(r.m)
	g, o := v.Geometry, j.o
	c := format.CreateOptions{Hash: "TIGER", Size: int64(j.blocks) * block, BlockSize: block, IndexFilename: v.Config.IndexFilename,
		Overflow: o.Overflow, ReuseASAP: o.ReuseASAP != nil}
	if o.Size != 0 {
		c.Size = o.Size
	}
	other := disktest.New()
	other.MkdirAll("/made")
	other.MkdirAll("/other")
	made, err := mkfs.Make(mkfs.Options{FS: other, Parent: "/made", CreateOptions: c})
	if err != nil {
		t.Fatal(err)
	}
	if have, want := string(v.Config.Marshal()), string(made.Config.Marshal()); have != want {
		t.Errorf("ddfs.cfg: have\n%s\nwant what mkfs makes\n%s", have, want)
	}
	if g.BlockCount != made.Config.BlockCount {
		t.Errorf("have %d blocks, want %d", g.BlockCount, made.Config.BlockCount)
	}
	return image(t, r.m)
}

// TestCrash cuts the power after every change of every kind of resize, and runs it again.
func TestCrash(t *testing.T) {
	for _, j := range jobs() {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			r := j.prepare(t)
			before := r.m.Clone()
			want := j.want(t, r)
			cases := 0
			for k := range len(r.m.Ops()) + 1 {
				for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
					if (k+int(how))%stride(29) != 0 {
						continue
					}
					img := r.m.Crash(k, how, uint64(k))
					j.again(t, fmt.Sprintf("crash at change %d, %v", k, how), img, before, want, k%4 < 2)
					cases++
					if t.Failed() {
						return
					}
				}
			}
			t.Logf("%d changes, %d crashes", len(r.m.Ops()), cases)
		})
	}
}

// again goes on after a crash: with the options of before, or with none if the state says all.
func (j *job) again(t testing.TB, what string, m, before *disktest.FS, want map[string]string, bare bool) {
	t.Helper()
	o := j.o
	err := index.CheckUnfinished(m, "/v")
	unfinished := (*index.UnfinishedError)(nil)
	switch begun := errors.As(err, &unfinished); {
	case begun && unfinished.Job == "pack" && j.pack:
	case begun && unfinished.Job != "resize":
		t.Errorf("%s: other tools name the job %q: %v", what, unfinished.Job, err)
	case begun && bare:
		o = resize.Options{Batch: j.o.Batch}
	}
	if _, err := run(m, o); err != nil {
		t.Errorf("%s: run again: %v", what, err)
		return
	}
	assertSame(t, what, image(t, m), want)
	m.CheckLeaks(t)
}

// TestCrashTwice crashes the run that goes on after a crash, too.
func TestCrashTwice(t *testing.T) {
	j := across()
	r := j.prepare(t)
	before := r.m.Clone()
	want := j.want(t, r)
	ops := len(r.m.Ops())
	for k := 5; k <= ops; k += stride(100) {
		img := r.m.Crash(k, disktest.Torn, uint64(k))
		img.Record()
		if _, err := run(img, j.o); err != nil {
			t.Fatalf("crash at change %d: %v", k, err)
		}
		for l := k % 5; l <= len(img.Ops()); l += stride(40) {
			j.again(t, fmt.Sprintf("crash at change %d, then at change %d", k, l), img.Crash(l, disktest.Torn, uint64(l)), before, want, true)
			if t.Failed() {
				return
			}
		}
	}
}

// TestFaults fails every disk call of every kind of resize in turn.
func TestFaults(t *testing.T) {
	for _, j := range jobs() {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			r := j.prepare(t)
			before := r.m.Clone()
			r.m.ResetCalls()
			want := j.want(t, r)
			old := image(t, before)
			cases := 0
			for n := 0; ; n += stride(37) {
				fired := false
				for i, fault := range []disktest.Fault{{N: n, Err: unix.EIO}, {N: n, Err: unix.ENOSPC}, {N: n, Partial: 5}} {
					img := before.Clone()
					img.Inject(fault)
					res, err := run(img, j.o)
					img.Heal()
					if img.Fired() == 0 {
						continue
					}
					fired = true
					cases++
					if err == nil && len(res.Left) > 0 {
						continue // the old index could not be removed; the volume does not need it
					}
					what := fmt.Sprintf("fault %d of kind %d (%v)", n, i, err)
					if err == nil {
						assertSame(t, what, image(t, img), want)
					} else if index.CheckUnfinished(img, "/v") == nil && !j.pack { // a pack may be done and the resize not begun
						have := image(t, img)
						if have["ddfs.cfg"] == old["ddfs.cfg"] {
							delete(have, "ddfsblocks.tmp")
							assertSame(t, what+": nothing was begun", have, old)
						}
					}
					j.again(t, what, img, before, want, n%4 < 2)
					if t.Failed() {
						return
					}
				}
				if !fired {
					break
				}
			}
			t.Logf("%d faults", cases)
		})
	}
}
