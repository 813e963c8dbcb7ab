package faults

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"tresor/index/disk/disktest"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// operation is one row of the matrix.
type operation struct {
	name  string
	start func(l *life) // makes files on a new, open volume, which is then closed
	spoil func(l *life) // changes the closed volume
	open  bool          // run finds the volume open, and the opening is no part of the operation
	run   func(l *life)
	loose bool // running it again comes to another end
	// tool marks an offline operation, which leaves the volume closed. After an interruption it is run again, and comes to the same end.
	tool   bool
	uneven bool   // the number of calls differs from run to run
	chance bool   // what lies where is a matter of chance
	left   string // a file that is of no more use and may be left after a failure
	lost   bool   // files are damaged from the beginning: the verdict may be Lost
}

// seed is that of a random test: TRESOR_SEED, or a new one. It is printed so that a failure can be repeated.
func seed(t testing.TB) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TRESOR_SEED=%d", n)
	return n
}

// TestMatrix runs the matrix: a part of it that the seed chooses, or all of it for many shapes of volumes with TRESOR_LONG=1.
func TestMatrix(t *testing.T) {
	variants, budget := 1, 60
	if os.Getenv("TRESOR_LONG") == "1" {
		variants, budget = 8, 300
	}
	n := seed(t)
	all := &counts{}
	t.Run("operations", func(t *testing.T) {
		for i, op := range operations() {
			t.Run(op.name, func(t *testing.T) {
				t.Parallel()
				mine := &counts{}
				for v := range variants {
					if variants == 1 {
						v = int((n + uint64(i)) % 24)
					}
					x := &matrix{t: t, op: op, v: newVariant(v), rnd: rand.New(rand.NewPCG(n, uint64(i<<8|v))), budget: budget, n: mine}
					x.all()
					if t.Failed() {
						t.Logf("variant %d", v)
						return
					}
				}
				t.Logf("%s: %s", op.name, mine)
				all.add(mine)
			})
		}
	})
	t.Logf("in total: %s", all)
}

func operations() []operation { return slices.Concat(dataOperations(), toolOperations()) }

// matrix is one operation on one shape of volume.
type matrix struct {
	t      *testing.T
	op     operation
	v      variant
	rnd    *rand.Rand
	budget int // cases at most
	n      *counts

	disk   *disktest.FS      // before the operation, at rest
	files  map[string]*story // what is on it
	whole  *life             // a run without faults, recorded
	final  map[string]string // what it leaves
	image  map[string]string // the same to the byte, of tools
	used   uint64            // blocks that it leaves in use
	calls  map[disktest.Call]int
	sorted []disktest.Call
}

func (x *matrix) all() {
	x.prepare()
	if x.t.Failed() {
		return
	}
	faults, crashes := x.faults(), x.crashes()
	if n := len(faults) + len(crashes); n > x.budget { // both in proportion, the first call of each site always
		faults = faults[:max(len(x.sorted), len(faults)*x.budget/n)]
		crashes = crashes[:len(crashes)*x.budget/n]
	}
	for _, f := range faults {
		if x.fault(f); x.t.Failed() {
			return
		}
	}
	for _, c := range crashes {
		if x.crash(c); x.t.Failed() {
			return
		}
	}
}

// begin is a life on a copy of the starting disk, up to the operation itself.
func (x *matrix) begin() *life {
	l := newLife(x.t, x.v, x.disk.Clone(), x.files)
	if x.op.open {
		if err := l.mount(); err != nil {
			x.t.Fatalf("mount: %v", err)
		}
	}
	l.d.ResetCalls()
	return l
}

// prepare makes the starting disk and runs the operation without faults.
func (x *matrix) prepare() {
	d := disktest.New()
	d.MkdirAll(volumeDir)
	l := newLife(x.t, x.v, d, nil)
	l.step(l.create)
	if x.op.start != nil {
		l.step(l.mount)
		x.op.start(l)
		l.unmount()
	}
	if x.op.spoil != nil {
		x.op.spoil(l)
	}
	if l.err != nil {
		x.t.Fatalf("%s: start: %v", x.op.name, l.err)
	}
	l.step(func() error { return d.SyncFS("/") })
	x.files = map[string]*story{}
	for name, s := range l.files {
		x.files[name] = &story{versions: []version{{data: s.now()}}}
	}
	x.disk = d.Clone()
	x.whole = x.begin()
	x.whole.calm = true
	x.whole.d.Record()
	x.op.run(x.whole)
	x.whole.unmount()
	if x.whole.err != nil {
		x.t.Fatalf("%s without a fault: %v", x.op.name, x.whole.err)
	}
	x.calls, x.sorted, x.final = x.whole.d.Calls(), x.whole.d.SortedCalls(), finals(x.whole.files)
	x.whole.assertFinal("without a fault", x.final)
	x.whole.status("without a fault", x.verdicts()...)
	if x.op.tool && !x.t.Failed() {
		x.image = imageOf(x.whole)
	}
	tidied := newLife(x.t, x.v, x.whole.d.Clone(), x.whole.files)
	tidied.step(tidied.mount)
	x.used = tidied.tidy("without a fault")
}

func (x *matrix) verdicts() []fsck.Status {
	if x.op.lost {
		return []fsck.Status{fsck.OK, fsck.Lost}
	}
	return []fsck.Status{fsck.OK}
}

// imageOf is the closed volume to the byte, without what differs by time.
func imageOf(l *life) map[string]string {
	all := indextest.Describe(l.t, l.d, volumeDir).Image()
	maps.DeleteFunc(all, func(name, _ string) bool { return slices.Contains(timely, name) })
	return all
}

// timely are files that depend on the time of their making.
var timely = []string{".ddfssnapshot"}
