package indexcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/volume/internal/indexcache"
)

// rig is a volume that travels between machines, and what its index should be.
type rig struct {
	t      *testing.T
	parent string
	hosts  map[string]string // directories of indexes
	truth  []byte            // the right index
	live   string            // host that has it while the volume is not closed
	count  int               // of changes
	age    time.Time         // every write of the engine is later than the last
	random *rand.ChaCha8
	copies bool // a session copies its index to the volume while it is open
}

var errKilled = errors.New("killed")

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, parent: filepath.Join(dir, "disk/l0/ddumbfs"), hosts: map[string]string{}, age: time.Now().Add(-time.Hour), random: rand.NewChaCha8([32]byte{1})}
	for _, h := range []string{"a", "b", "old"} {
		r.hosts[h] = filepath.Join(dir, h)
		r.must(os.MkdirAll(r.hosts[h], 0o755))
	}
	r.must(os.MkdirAll(r.parent, 0o755))
	r.change()
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) place(host string) indexcache.Place {
	return indexcache.Place{Parent: r.parent, Blocks: filepath.Join(r.parent, "ddfsblocks"), Dir: r.hosts[host], ID: "u-1"}
}

// cache of a host that is killed before step n; below zero: never. steps counts them.
func (r *rig) cache(host string, n int, steps *int) *indexcache.Cache {
	return &indexcache.Cache{Clock: orchestrator.SystemClock(), Random: r.random, Host: host, Step: func(string) error {
		if steps != nil {
			*steps++
		}
		if n--; n == -1 {
			return errKilled
		}
		return nil
	}}
}

// change is what a writing engine does to block file and index.
func (r *rig) change() {
	r.t.Helper()
	r.count++
	r.truth = fmt.Appendf(nil, "DDUMBFSI index after change %d, %s", r.count, bytes.Repeat([]byte{byte(r.count)}, 5000))
	r.touch("ddfsblocks", fmt.Appendf(nil, "blocks of change %d", r.count))
}

func (r *rig) touch(name string, data []byte) {
	r.t.Helper()
	path := filepath.Join(r.parent, name)
	r.age = r.age.Add(time.Second)
	r.must(os.WriteFile(path, data, 0o600))
	r.must(os.Chtimes(path, r.age, r.age))
}

// mount is the engine: it repairs what is dirty or to be checked, and otherwise believes the index.
func (r *rig) mount(host string, plan indexcache.Plan, what string) {
	r.t.Helper()
	mark, err := os.ReadFile(filepath.Join(r.parent, ".autofsck"))
	dirty := err == nil
	have, _ := os.ReadFile(plan.Index)
	switch {
	case plan.Check:
	case dirty && string(mark) != "": // our engine repairs with what is newer than its snapshot: the index must be the one of that session
		if r.live != host || len(have) == 0 {
			r.t.Fatalf("%s: %s: the volume is repaired with an index that was not in use when it crashed (%s has it)", what, plan.Verdict.Why, r.live)
		}
	case dirty: // of the predecessor: all is hashed
	case !bytes.Equal(have, r.truth):
		r.t.Fatalf("%s: %+v: the index %.40q is believed, right is %.40q", what, plan, have, r.truth)
	}
	r.must(os.WriteFile(plan.Index, r.truth, 0o600))
	r.touch(".autofsck", []byte("tresor session\n"))
	r.live = host
}

func (r *rig) unmount(plan indexcache.Plan) {
	r.t.Helper()
	r.must(os.WriteFile(plan.Index, r.truth, 0o600))
	r.must(os.Remove(filepath.Join(r.parent, ".autofsck")))
}

// session opens, mounts, changes and closes, and is killed before step n, or while mounted. It tells whether it came to its end.
func (r *rig) session(host string, n int, dies bool, what string, steps *int) (indexcache.Plan, bool) {
	r.t.Helper()
	c, ctx := r.cache(host, n, steps), context.Background()
	plan, err := c.Open(ctx, r.place(host), false, false)
	if errors.Is(err, errKilled) {
		return plan, false
	}
	r.must(err)
	r.mount(host, plan, what)
	if plan.Check {
		err := c.Checked(ctx, r.place(host))
		if errors.Is(err, errKilled) {
			return plan, false
		}
		r.must(err)
	}
	r.change()
	r.must(os.WriteFile(plan.Index, []byte("half written"), 0o600)) // between checkpoints
	if r.copies {
		done, err := c.Checkpoint(ctx, r.place(host))
		if errors.Is(err, errKilled) {
			return plan, false
		}
		if r.must(err); !done {
			r.t.Fatalf("%s: no copy was made during the session", what)
		}
	}
	if dies {
		return plan, false
	}
	r.unmount(plan)
	warning, err := c.Close(ctx, r.place(host))
	if errors.Is(err, errKilled) || errors.Is(warning, errKilled) {
		return plan, false
	}
	r.must(errors.Join(warning, err))
	return plan, true
}

// predecessor uses the volume with an index of its own; saved: it lays a copy of that on the volume; dies: it leaves its mark.
func (r *rig) predecessor(saved, dies bool) {
	r.t.Helper()
	r.change()
	r.must(os.WriteFile(filepath.Join(r.hosts["old"], "u-1.idx"), r.truth, 0o600))
	if saved {
		r.must(os.WriteFile(filepath.Join(r.parent, "u-1.idx"), r.truth, 0o600))
	}
	r.live = ""
	if err := os.Remove(filepath.Join(r.parent, ".autofsck")); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	if dies {
		r.touch(".autofsck", nil)
	}
}
