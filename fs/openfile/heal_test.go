package openfile_test

import (
	"context"
	"os"
	"testing"

	"tresor/fs/openfile"
	"tresor/index/format"
	"tresor/index/recipe"
	"tresor/index/reclaim"
)

// entry returns the first entry of a file as it is stored; change, if it is not nil, changes it.
func (r *memory) entry(name string, change func(e *format.Entry)) format.Entry {
	r.t.Helper()
	d, err := r.disk.OpenFile(r.path(name), os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer d.Close()
	under, e := recipe.New(d, r.vol.Geometry()), make([]format.Entry, 1)
	if n, err := under.ReadEntries(0, e); n != 1 || err != nil {
		r.t.Fatalf("entry of %s: have %d, %v", name, n, err)
	}
	if change != nil {
		change(&e[0])
		if err := under.WriteEntries(0, e); err != nil {
			r.t.Fatal(err)
		}
	}
	return e[0]
}

// reclaim frees what nobody refers to.
func (r *memory) reclaim() {
	r.t.Helper()
	if _, err := reclaim.Run(context.Background(), r.vol, reclaim.Options{}); err != nil {
		r.t.Errorf("reclaim: %v", err)
	}
}

// moved makes a file whose entry names another's block, while the index knows where the content is. It returns that entry, and what it was before.
func (r *memory) moved() (h *openfile.Handle, bad, good format.Entry) {
	r.t.Helper()
	const bs = 4096
	h = r.file("moved")
	r.write(h, pattern(1, bs), 0)
	other := r.file("other")
	r.write(other, pattern(2, bs), 0)
	for _, x := range []*openfile.Handle{h, other} {
		if err := x.Sync(false); err != nil {
			r.t.Fatal(err)
		}
	}
	good = r.entry("moved", nil)
	bad = r.entry("moved", func(e *format.Entry) { e.Addr = r.entry("other", nil).Addr })
	return h, bad, good
}

// TestHealLater: a correction that a read finds while somebody else uses the file is stored when he is through.
func TestHealLater(t *testing.T) {
	r := newMemory(t, tiny(), 1)
	h, bad, good := r.moved()
	end := h.File().Use()
	r.assertContent(h, pattern(1, 4096))
	if e := r.entry("moved", nil); e != bad {
		t.Fatalf("corrected to %v while somebody uses the file", e)
	}
	end()
	if n, err := h.ReadAt(make([]byte, 1), 100_000); n != 0 || err != nil { // which finds nothing to correct itself
		t.Fatal(n, err)
	}
	if e := r.entry("moved", nil); e != good {
		t.Errorf("have %v, want %v", e, good)
	}
	r.reclaim()
	r.close()
}

// TestHealTooLate: while a correction waits, the block that it names decays, leaves the index, and is freed. It is not to be named by then: it is
// anybody's, and entries that name what is free keep every later reclaim from freeing anything.
func TestHealTooLate(t *testing.T) {
	const bs = 4096
	r := newMemory(t, tiny(), 1)
	h, bad, good := r.moved()
	copied := r.file("copied")
	r.write(copied, pattern(1, bs), 0)
	if err := copied.Sync(false); err != nil || r.entry("copied", nil) != good {
		t.Fatalf("the second file has %v, %v, want %v", r.entry("copied", nil), err, good)
	}
	end := h.File().Use()
	r.assertContent(h, pattern(1, bs))
	d, err := r.disk.OpenFile(r.vol.Parent().BlocksPath, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt([]byte("decay"), int64(good.Addr)*bs); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := copied.ReadAt(make([]byte, bs), 0); err == nil {
		t.Fatalf("have %d bytes of a block that has decayed", n)
	}
	if err := copied.File().Truncate(0); err != nil {
		t.Fatal(err)
	}
	r.reclaim()
	end()
	_, _ = h.ReadAt(make([]byte, 1), 100_000) // by now there is nothing to be had of the file but its end
	if e := r.entry("moved", nil); e != bad {
		t.Errorf("corrected from %v to %v, which was freed meanwhile", bad, e)
	}
	r.reclaim()
}
