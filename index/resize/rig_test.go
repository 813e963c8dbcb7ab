package resize_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/index/recipe"
	"tresor/index/resize"
)

// block is the block size of the volumes here.
const block = 4096

// small makes many batches of few entries, so that files are cut in their middle.
const small = 2 << 10

func random(seed uint64, n int) []byte {
	rnd := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	return data
}

// rig is a volume on a disk in memory, with all kinds of stored files.
type rig struct {
	t     testing.TB
	m     *disktest.FS
	files map[string][]byte // content of the sound ones
	raw   map[string]stored // of the others: what is in them
	size  int               // of an entry
}

// stored is a file that is looked at entry by entry.
type stored struct {
	head    string
	entries []format.Entry
	tail    string
}

// newRig makes a volume of some blocks in /v, with damaged files among the others. Everything is durable, and recording begins.
func newRig(t testing.TB, blocks uint64) *rig {
	t.Helper()
	r := newPlainRig(t, blocks)
	v := indextest.Describe(t, r.m, "/v")
	r.odd(v)
	v.Sync()
	r.m.Record()
	return r
}

// newPlainRig is newRig without damaged files.
func newPlainRig(t testing.TB, blocks uint64) *rig {
	t.Helper()
	m := disktest.New()
	r := &rig{t: t, m: m, raw: map[string]stored{}, files: map[string][]byte{
		"a": random(1, 10*block), "dir/b": random(2, 3*block-100), "zero": make([]byte, 2*block), "odd": random(3, 5*block+7),
	}}
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: blocks})
	r.size = v.Geometry.EntrySize
	v.Store(r.files)
	if err := m.Link("/v/ddfsroot/a", "/v/ddfsroot/dir/a2"); err != nil {
		t.Fatal(err)
	}
	r.files["dir/a2"] = r.files["a"]
	r.long(v)
	r.sparse(v)
	v.Sync()
	m.Record()
	return r
}

// long is a file of more entries than a batch takes, all of known blocks.
func (r *rig) long(v *indextest.Volume) {
	_, e := v.Recipe("a")
	_, f := v.Recipe("odd")
	var entries []format.Entry
	var data []byte
	for i := range 130 {
		from, n := e, "a"
		if i%3 == 0 {
			from, n = f, "odd"
		}
		k := i % 5
		entries = append(entries, from[k])
		data = append(data, r.files[n][k*block:(k+1)*block]...)
	}
	v.WriteRecipe("long", uint64(len(data)), entries)
	r.files["long"] = data
}

// sparse is a file with a hole of 3000 entries, and one that is nothing but a hole.
func (r *rig) sparse(v *indextest.Volume) {
	_, e := v.Recipe("a")
	v.WriteRecipe("sparse", 3010*block, e[:5])
	f := r.open("/v/ddfsroot/sparse", os.O_RDWR)
	file := recipe.New(f, v.Geometry)
	if err := errors.Join(file.WriteEntries(3005, e[5:10]), f.Close()); err != nil {
		r.t.Fatal(err)
	}
	data := make([]byte, 3010*block)
	copy(data, r.files["a"][:5*block])
	copy(data[3005*block:], r.files["a"][5*block:])
	r.files["sparse"] = data
	v.WriteRecipe("hole", 2000*block, nil)
	f = r.open("/v/ddfsroot/hole", os.O_RDWR)
	if err := errors.Join(f.Truncate(v.Geometry.EntryOffset(2000)), f.Close()); err != nil {
		r.t.Fatal(err)
	}
	r.files["hole"] = make([]byte, 2000*block)
}

// odd are files without entries, damaged ones, and one in quarantine.
func (r *rig) odd(v *indextest.Volume) {
	t := r.t
	_, e := v.Recipe("odd")
	v.WriteRecipe("header", 0, nil)
	r.files["header"] = nil
	for name, text := range map[string]string{"empty": "", "short": "DDUMBFSF123"} {
		f := r.open("/v/ddfsroot/"+name, os.O_RDWR|os.O_CREATE)
		if err := errors.Join(disk.WriteFull(f, []byte(text), 0), f.Close()); err != nil {
			t.Fatal(err)
		}
		r.raw["ddfsroot/"+name] = stored{head: text}
	}
	r.files["empty"] = nil
	delete(r.raw, "ddfsroot/empty")
	lost := e[1]
	lost.Addr = format.AddressLost
	wild := e[2]
	wild.Addr = 199
	for path, s := range map[string]stored{
		"ddfsroot/lost":               {head: header(2 * block), entries: []format.Entry{e[0], lost}},
		"ddfsroot/dir/tail":           {head: header(2 * block), entries: []format.Entry{e[0], e[1]}, tail: "0123456789"},
		"ddfsroot/blank":              {head: strings.Repeat("x", 16), entries: []format.Entry{e[0], wild}},
		"ddfsquarantine/dir/unnamed":  {head: strings.Repeat("\x00", 16), entries: []format.Entry{e[3], wild, {}, lost}, tail: "abc"},
		"ddfsquarantine/dir/fragment": {head: "DDUM"},
	} {
		r.m.MkdirAll(filepath.Dir("/v/" + path))
		raw := []byte(s.head)
		for i := range s.entries {
			p := make([]byte, v.Geometry.EntrySize)
			v.Geometry.PutEntry(p, &s.entries[i])
			raw = append(raw, p...)
		}
		f := r.open("/v/"+path, os.O_RDWR|os.O_CREATE)
		if err := errors.Join(disk.WriteFull(f, append(raw, s.tail...), 0), f.SyncAll(), f.Close()); err != nil {
			t.Fatal(err)
		}
		r.raw[path] = s
	}
}

func header(size uint64) string {
	p := make([]byte, format.FileHeaderSize)
	format.PutFileHeader(p, size)
	return string(p)
}

func (r *rig) open(name string, flag int) disk.File {
	r.t.Helper()
	f, err := r.m.OpenFile(name, flag, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// run resizes the volume in /v of a disk.
func run(m disk.FS, o resize.Options) (res *resize.Result, err error) {
	p, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Write)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return resize.Run(context.Background(), p, o)
}

// image is what is on a disk below /v and /other, without what tells only of the way there.
func image(t testing.TB, m *disktest.FS) map[string]string {
	t.Helper()
	all := indextest.Describe(t, m, "/v").Image()
	delete(all, indexfile.ProofName)
	if list, err := m.ReadDir("/other"); err == nil {
		for _, d := range list {
			f, err := m.OpenFile("/other/"+d.Name(), os.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			size, err := f.Size()
			data := make([]byte, size)
			if err := errors.Join(err, disk.ReadFull(f, data, 0), f.Close()); err != nil {
				t.Fatal(err)
			}
			all["/other/"+d.Name()] = string(data)
		}
	}
	return all
}

func assertSame(t testing.TB, what string, have, want map[string]string) {
	t.Helper()
	var names []string
	for name := range have {
		names = append(names, name)
	}
	for name := range want {
		if _, ok := have[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		h, okH := have[name]
		w, okW := want[name]
		if h != w || okH != okW {
			t.Errorf("%s: %s: have %d bytes (%v), want %d bytes (%v)", what, name, len(h), okH, len(w), okW)
		}
	}
}

// verify holds everything that was in the volume against what is there now, and the volume against a check of every block.
func (r *rig) verify(m *disktest.FS) *indextest.Volume {
	r.t.Helper()
	v := indextest.Describe(r.t, m, "/v")
	for path, want := range r.files {
		have, err := v.ReadFile(path)
		if err != nil || string(have) != string(want) {
			r.t.Errorf("%s: have %d bytes, want the %d that were stored: %v", path, len(have), len(want), err)
		}
	}
	rewritten := v.Geometry.EntrySize != r.size
	for path, s := range r.raw {
		raw := image(r.t, m)[path]
		want := s.head
		for _, e := range s.entries {
			if uint64(e.Addr) >= v.Geometry.BlockCount && rewritten {
				e.Addr = format.AddressLost
			}
			p := make([]byte, v.Geometry.EntrySize)
			v.Geometry.PutEntry(p, &e)
			want += string(p)
		}
		if want += s.tail; raw != want {
			r.t.Errorf("%s: have % x, want % x", path, raw, want)
		}
	}
	if a, b := lstat(r.t, m, "/v/ddfsroot/a"), lstat(r.t, m, "/v/ddfsroot/dir/a2"); sysIno(a) != sysIno(b) {
		r.t.Error("the two names of a lead to two files")
	}
	r.holes(v)
	x, err := indexfile.Open(m, v.IndexPath, v.Config, indexfile.Options{ReadOnly: true})
	if err != nil {
		r.t.Fatal(err)
	}
	used := x.Bitmap().Count()
	if err := x.Close(); err != nil {
		r.t.Fatal(err)
	}
	if snap := v.Snapshot; snap == nil || snap.Count() != used {
		r.t.Errorf("the snapshot does not have the %d blocks of the bitmap", used)
	}
	if !v.Trusted {
		r.t.Error("the snapshot is not proved")
	}
	return v
}

// holes holds that sparse files are as sparse as they were, but for the pages at the ends of their holes.
func (r *rig) holes(v *indextest.Volume) {
	r.t.Helper()
	for name, most := range map[string]int64{"sparse": 4, "hole": 2} {
		if have := sys(lstat(r.t, v.FS, "/v/ddfsroot/"+name)).Blocks / 8; have > most {
			r.t.Errorf("%s: have %d pages, want at most %d", name, have, most)
		}
	}
}
