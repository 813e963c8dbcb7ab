package query_test

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/alter"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/query"
)

const blockSize = 512

// rig is a volume with two files that share blocks, zeros and a lost block.
type rig struct {
	t *testing.T
	m *disktest.FS
	v *indextest.Volume
	a []format.Entry // of file a: three blocks, a hole, the first block again
}

func newRig(t *testing.T) *rig {
	t.Helper()
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", BlockSize: blockSize})
	data := make([]byte, 5*blockSize)
	for i := range data[:3*blockSize] {
		data[i] = byte(i/blockSize + 1)
	}
	copy(data[4*blockSize:], data[:blockSize])
	v.Store(map[string][]byte{"a": data})
	r := &rig{t: t, m: m, v: v}
	_, r.a = v.Recipe("a")
	v.WriteRecipe("dir/b", 4*blockSize, []format.Entry{r.a[1], r.a[1], r.a[2], {Addr: format.AddressLost, Hash: r.a[0].Hash}})
	if err := m.Link("/v/ddfsroot/dir/b", "/v/ddfsroot/link"); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) parent() *index.Parent {
	r.t.Helper()
	p, err := index.Acquire(index.Location{FS: r.m, Parent: "/v"}, index.Read)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { p.Close() })
	return p
}

// answer is all that a query handed out.
type answer struct {
	sum     *query.Summary
	entries []query.Entry
	blocks  []query.Block
	uses    []query.Use
	notes   []string
}

func (r *rig) ask(w query.Wanted, hash bool) answer {
	r.t.Helper()
	var a answer
	sum, err := query.Run(context.Background(), r.parent(), w, query.Options{Hash: hash,
		Entry: func(e query.Entry) error { a.entries = append(a.entries, e); return nil },
		Block: func(b query.Block) error { a.blocks = append(a.blocks, b); return nil },
		Use:   func(u query.Use) error { a.uses = append(a.uses, u); return nil },
		Note:  func(line string) { a.notes = append(a.notes, line) }})
	if err != nil {
		r.t.Fatal(err)
	}
	a.sum = sum
	slices.SortFunc(a.uses, func(x, y query.Use) int { return strings.Compare(x.Path, y.Path)*1000 + int(x.First) - int(y.First) })
	return a
}

func address(a format.Address) query.Wanted { return query.Wanted{Block: &a} }

func TestByBlock(t *testing.T) {
	r := newRig(t)
	a := r.ask(address(r.a[1].Addr), true)
	hash := hex.EncodeToString(r.a[1].Hash[:r.v.Geometry.HashSize])
	if len(a.entries) != 1 || a.entries[0].Addr != r.a[1].Addr || a.entries[0].Hash != hash || !a.entries[0].Allocated || a.entries[0].Content != query.Right {
		t.Errorf("entries: %+v", a.entries)
	}
	if len(a.blocks) != 1 || !*a.blocks[0].Allocated || !a.blocks[0].Indexed || a.blocks[0].Hash != hash {
		t.Errorf("block: %+v", a.blocks)
	}
	want := []query.Use{
		{Path: "a", First: 1, Count: 1, Addr: r.a[1].Addr, Hash: hash, ByAddress: true, ByHash: true},
		{Path: "dir/b", First: 0, Count: 2, Addr: r.a[1].Addr, Hash: hash, ByAddress: true, ByHash: true},
	}
	if !slices.Equal(a.uses, want) {
		t.Errorf("uses: have %+v, want %+v", a.uses, want)
	}
	if *a.sum != (query.Summary{Entries: 1, Positions: 3, Files: 2, Searched: 2}) {
		t.Errorf("summary: %+v", a.sum)
	}
}

// TestByHash: a prefix is enough, and a lost block is found by its hash.
func TestByHash(t *testing.T) {
	r := newRig(t)
	a := r.ask(query.Wanted{Hash: r.a[0].Hash[:5]}, false)
	if len(a.entries) != 1 || a.entries[0].Content != query.NotRead || len(a.uses) != 3 {
		t.Fatalf("have %+v", a)
	}
	if u := a.uses[2]; u.Path != "dir/b" || u.First != 3 || u.Addr != format.AddressLost || u.ByAddress || !u.ByHash {
		t.Errorf("lost block: %+v", u)
	}
}

func TestBySlot(t *testing.T) {
	r := newRig(t)
	var slot format.Slot
	for _, e := range r.ask(query.Wanted{Hash: r.a[2].Hash[:r.v.Geometry.HashSize]}, false).entries {
		slot = e.Slot
	}
	a := r.ask(query.Wanted{Slot: &slot}, false)
	if len(a.entries) != 1 || a.entries[0].Slot != slot || a.sum.Positions != 2 {
		t.Errorf("have %+v", a)
	}
	empty := r.emptySlot()
	if a := r.ask(query.Wanted{Slot: &empty}, false); len(a.entries)+len(a.uses) != 0 || len(a.notes) != 1 {
		t.Errorf("empty slot: have %+v", a)
	}
}

func (r *rig) emptySlot() format.Slot {
	used := map[format.Slot]bool{}
	for _, e := range r.ask(query.Wanted{Hash: []byte{}}, false).entries {
		used[e.Slot] = true
	}
	s := format.Slot(0)
	for used[s] {
		s++
	}
	return s
}

// TestDamaged: what can be answered is, and what cannot is said.
func TestDamaged(t *testing.T) {
	r := newRig(t)
	r.v.DamageBlock(r.a[1].Addr)
	if a := r.ask(address(r.a[1].Addr), true); a.entries[0].Content != query.Wrong || a.blocks[0].Hash == a.entries[0].Hash {
		t.Errorf("decayed block: have %+v and %+v", a.entries, a.blocks)
	}
	r.v.CutBlocks(2)
	if a := r.ask(address(r.a[1].Addr), true); a.entries[0].Content != query.Unreadable || a.blocks[0].Err == "" {
		t.Errorf("block past the end: have %+v and %+v", a.entries, a.blocks)
	}
	r.v.BlankHeader("a")
	if a := r.ask(address(r.a[1].Addr), false); len(a.uses) != 2 || !a.sum.Incomplete || len(a.notes) != 1 {
		t.Errorf("bad header: have %+v", a)
	}
	if err := r.m.Remove(r.v.IndexPath); err != nil {
		t.Fatal(err)
	}
	a := r.ask(address(r.a[1].Addr), false)
	if len(a.entries) != 0 || len(a.uses) != 2 || !a.sum.Incomplete || a.blocks[0].Allocated != nil || a.uses[1].ByHash {
		t.Errorf("no index: have %+v", a)
	}
	slot := format.Slot(1)
	if _, err := query.Run(context.Background(), r.parent(), query.Wanted{Slot: &slot}, query.Options{}); err == nil {
		t.Error("a slot of an index that is not there is found")
	}
}

// TestQuarantine: what lies there is found by its hash only.
func TestQuarantine(t *testing.T) {
	r := newRig(t)
	for _, dir := range []string{format.QuarantineName, format.QuarantineName + "/dir"} {
		if err := r.m.Mkdir(filepath.Join("/v", dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.v.BlankHeader("dir/b")
	if err := errors.Join(r.m.Remove("/v/ddfsroot/link"), r.m.Rename("/v/ddfsroot/dir/b", "/v/ddfsquarantine/dir/b")); err != nil {
		t.Fatal(err)
	}
	a := r.ask(address(r.a[1].Addr), false)
	if len(a.uses) != 2 || !a.uses[1].Quarantined || a.uses[1].ByAddress || !a.uses[1].ByHash || a.sum.Incomplete {
		t.Errorf("have %+v %v", a.uses, a.notes)
	}
}

func TestLookAt(t *testing.T) {
	r := newRig(t)
	var ranges []query.Range
	f, err := query.LookAt(context.Background(), r.parent(), "a", query.FileOptions{Shared: true,
		Range: func(x query.Range) error { ranges = append(ranges, x); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	first := r.a[0].Addr
	want := []query.Range{{First: 0, Count: 3, Kind: "data", Addr: first}, {First: 3, Count: 1, Kind: "zero"}, {First: 4, Count: 1, Kind: "data", Addr: first}}
	if !slices.Equal(ranges, want) {
		t.Errorf("ranges: have %+v, want %+v", ranges, want)
	}
	length := int64(16 + 5*r.v.Geometry.EntrySize)
	if *f != (query.File{Path: "a", Length: length, Size: 5 * blockSize, Header: "sound", Entries: 5, Wanted: 5, Data: 4, Zero: 1, Runs: 2,
		Blocks: 3, Known: 4, Shared: 2}) {
		t.Errorf("have %+v", f)
	}
	if f, err = query.LookAt(context.Background(), r.parent(), "link", query.FileOptions{Shared: true}); err != nil || f.Lost != 1 || f.Shared != 2 {
		t.Errorf("have %+v, %v", f, err)
	}
	for _, path := range []string{"none", "../ddfs.cfg", "/etc/passwd", ".ddumbfs/stats"} {
		if _, err := query.LookAt(context.Background(), r.parent(), path, query.FileOptions{}); err == nil {
			t.Errorf("%s is looked at", path)
		}
	}
}

// TestAnyDamage: whatever is wrong with a volume, a query ends, with an answer or an error.
func TestAnyDamage(t *testing.T) {
	for _, k := range alter.Kinds() {
		for seed := range uint64(3) {
			r := newRig(t)
			p, err := index.Acquire(index.Location{FS: r.m, Parent: "/v"}, index.Write)
			if err != nil {
				t.Fatal(err)
			}
			pl := alter.New(p, seed)
			err = pl.Add(context.Background(), k, 4) // as much of it as there is
			if err := errors.Join(pl.Apply(), p.Close()); err != nil {
				t.Fatal(k, err)
			}
			if err != nil && !errors.Is(err, alter.ErrNothing) {
				t.Fatal(k, err)
			}
			if p, err = index.Acquire(index.Location{FS: r.m, Parent: "/v"}, index.Read); err != nil {
				continue // the configuration
			}
			sum, err := query.Run(context.Background(), p, query.Wanted{Hash: []byte{}}, query.Options{Hash: true})
			if err != nil || sum.Searched == 0 {
				t.Errorf("%s, seed %d: have %+v, %v", k, seed, sum, err)
			}
			if _, err := query.LookAt(context.Background(), p, "a", query.FileOptions{Shared: true}); err != nil {
				t.Errorf("%s, seed %d: %v", k, seed, err)
			}
		}
	}
}

// TestEnds: an error of the caller ends the query and comes back.
func TestEnds(t *testing.T) {
	r := newRig(t)
	stop := errors.New("enough")
	for name, o := range map[string]query.Options{
		"entry": {Entry: func(query.Entry) error { return stop }},
		"use":   {Use: func(query.Use) error { return stop }},
	} {
		if _, err := query.Run(context.Background(), r.parent(), query.Wanted{Hash: []byte{}}, o); !errors.Is(err, stop) {
			t.Errorf("%s: have %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := query.Run(ctx, r.parent(), query.Wanted{Hash: []byte{}}, query.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: have %v", err)
	}
}
