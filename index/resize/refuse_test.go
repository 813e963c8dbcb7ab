package resize_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/index/resize"
	"tresor/index/table"
)

// TestRefuses lists what is refused, with the words that say what to do; nothing is changed.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(r *rig, v *indextest.Volume)
		o     resize.Options
		want  string
		class error
	}{
		{"nothing asked for", nil, resize.Options{}, "nothing is to be changed", nil},
		{"too small", nil, resize.Options{Size: 10 * block}, "21 blocks are in use", format.ErrNoSpace},
		{"would have to pack", func(r *rig, v *indextest.Volume) { r.gap(v) }, resize.Options{Size: 40 * block}, "fsck -n -k", nil},
		{"bad overflow", nil, resize.Options{Overflow: 1.01}, "want 1.1 to 10", nil},
		{"unclean", func(_ *rig, v *indextest.Volume) { v.SetFlag(format.DirtyName, true) }, resize.Options{Size: 300 * block}, "ddumbfs fsck -n", index.ErrUnclean},
		{"rebuild begun", func(_ *rig, v *indextest.Volume) { v.SetFlag(format.RebuildName, true) }, resize.Options{Size: 300 * block}, "fsck -r", nil},
		{"device too small", nil, resize.Options{Index: "/other/small"}, "want 1", format.ErrNoSpace},
		{"device not blank", nil, resize.Options{Index: "/other/used"}, "not blank", nil},
		{"file in the way", nil, resize.Options{Index: "/v/ddfsroot/a"}, "exists and is not", nil},
		{"index over the block file", nil, resize.Options{Index: "ddfsblocks"}, "index_filename", nil},
		{"no such block file", nil, resize.Options{Blocks: "elsewhere"}, "elsewhere", os.ErrNotExist},
		{"short block file", func(_ *rig, v *indextest.Volume) { v.CutBlocks(5) }, resize.Options{Size: 300 * block}, "is in use", format.ErrCorrupt},
		{"entry of a free block", func(_ *rig, v *indextest.Volume) {
			_, e := v.Recipe("a")
			e[0].Addr = 150
			v.WriteRecipe("stray", block, e[:1])
		}, resize.Options{Size: 300 * block}, "block 150, which is not in use", format.ErrCorrupt},
		{"no index", func(r *rig, v *indextest.Volume) { r.must(r.m.Remove(v.IndexPath)) }, resize.Options{Size: 300 * block}, "fsck -n --index", os.ErrNotExist},
		{"no index, nor the new one", func(r *rig, v *indextest.Volume) { r.must(r.m.Remove(v.IndexPath)) }, resize.Options{Index: "new"}, "fsck -n --index /v/new", os.ErrNotExist},
		{"no room", func(r *rig, _ *indextest.Volume) { r.m.SetCapacity(r.usage() + 1<<20) }, resize.Options{Size: 3000 * block}, "free", format.ErrNoSpace},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 200)
			r.m.MkdirAll("/other")
			r.must(errors.Join(r.m.AddDevice("/other/small", 1<<17), r.m.AddDevice("/other/used", 1<<20)))
			f := r.open("/other/used", os.O_RDWR)
			r.must(errors.Join(disk.WriteFull(f, []byte("somebody's"), 1000), f.Close()))
			if c.spoil != nil {
				c.spoil(r, indextest.Describe(t, r.m, "/v"))
			}
			before := image(t, r.m)
			c.o.Batch = small
			_, err := run(r.m, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.class != nil && !errors.Is(err, c.class) {
				t.Errorf("have %v, want %q of class %v", err, c.want, c.class)
			}
			assertSame(t, "refused", image(t, r.m), before)
		})
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// gap leaves a file whose block lies far behind all others, and free blocks between.
func (r *rig) gap(v *indextest.Volume) {
	data := random(77, 60*block)
	v.Store(map[string][]byte{"far": data})
	_, e := v.Recipe("far")
	v.WriteRecipe("last", block, e[len(e)-1:])
	r.files["last"] = data[59*block:]
	r.must(r.m.Remove("/v/ddfsroot/far"))
	last := e[len(e)-1].Addr
	v.WithIndex(func(t *table.Table, used *bitmap.Bitmap) {
		t.Compact(0, t.Slots(), func(_ format.Slot, x *format.Entry) bool { return x.Addr < e[0].Addr || x.Addr == last })
		for a := e[0].Addr; a < last; a++ {
			used.Clear(uint64(a))
		}
	})
	r.must(r.m.Remove("/v/" + indexfile.ProofName))
}

// usage is how many bytes the disk has in use.
func (r *rig) usage() int64 {
	m := r.m
	m.SetCapacity(1 << 40)
	defer m.SetCapacity(0)
	f := r.open("/v/ddfs.cfg", os.O_RDONLY)
	defer f.Close()
	free, err := f.Free()
	r.must(err)
	return 1<<40 - int64(free)
}

// TestOtherOptions: a resize that was begun goes on with its own options only.
func TestOtherOptions(t *testing.T) {
	j := across()
	r := j.prepare(t)
	want := j.want(t, r)
	img := r.m.Crash(len(r.m.Ops())/2, disktest.Keep, 0)
	other := (*resize.OtherOptionsError)(nil)
	if _, err := run(img, resize.Options{Size: 400 * block, Batch: small}); !errors.As(err, &other) || !strings.Contains(err.Error(), "300 blocks") {
		t.Errorf("have %v, want a refusal that names 300 blocks", err)
	}
	if _, err := run(img, resize.Options{Size: 300 * block, DryRun: true}); !errors.As(err, new(*index.UnfinishedError)) {
		t.Errorf("dry run: have %v, want an unfinished resize", err)
	}
	if res, err := run(img, resize.Options{Batch: small}); err != nil || !res.Resumed {
		t.Errorf("have %+v, %v, want it resumed", res, err)
	}
	assertSame(t, "resumed", image(t, img), want)
	if res, err := run(img, j.o); err != nil || !res.Unchanged {
		t.Errorf("once more: have %+v, %v, want it unchanged", res, err)
	}
}

// TestIndexDiskGone: the index lay on a disk that is gone. A repair makes one beside the volume, which the resize makes its index for good.
func TestIndexDiskGone(t *testing.T) {
	m := disktest.New()
	m.MkdirAll("/other")
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: 200})
	data := random(5, 20*block)
	v.Store(map[string][]byte{"a": data})
	if _, err := run(m, resize.Options{Index: "/other/index"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove("/other/index"); err != nil {
		t.Fatal(err)
	}
	p, err := index.Acquire(index.Location{FS: m, Parent: "/v", Index: "/v/new"}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	w := fsck.Of(p)
	if err := w.LoadState(); err != nil {
		t.Fatal(err)
	}
	if _, err := fsck.Repair(t.Context(), w, fsck.RepairOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := run(m, resize.Options{Index: "new"}); err != nil {
		t.Fatal(err)
	}
	v = indextest.Describe(t, m, "/v")
	if have, err := v.ReadFile("a"); string(have) != string(data) || v.IndexPath != "/v/new" {
		t.Errorf("index %s: have %d bytes, want %d: %v", v.IndexPath, len(have), len(data), err)
	}
	indextest.AssertStatus(t, m, "/v", fsck.OK)
}
