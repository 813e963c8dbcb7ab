package index_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// below reads blocks as a scrub does: by a descriptor of its own.
func (r *rig) below() index.ReadBlock {
	r.t.Helper()
	b, err := blockfile.OpenUncached(r.m, r.vol.Parent().BlocksPath, r.geo)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { b.Close() })
	return func(a format.Address, p []byte) (bad, failed error) { return b.Read(a, p), nil }
}

// set is the set of these addresses.
func (r *rig) set(list ...format.Address) *bitmap.Bitmap {
	b := bitmap.New(r.geo.BlockCount)
	for _, a := range list {
		b.Set(uint64(a))
	}
	return b
}

func (r *rig) owners(list ...format.Address) []format.Entry {
	r.t.Helper()
	have, err := r.vol.Owners(r.t.Context(), r.set(list...))
	if err != nil {
		r.t.Fatal(err)
	}
	return have
}

// TestProveStored: what is stored is listed in runs, and proved once its hash was seen at its address.
func TestProveStored(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	e := r.mustPut("f", 1, 2, 3, 4)
	if a, n := r.vol.NextStored(0, 64, 3); a != e[0].Addr || n != 3 {
		t.Errorf("first run, cut at 3: have %d blocks from %d, want 3 from %d", n, a, e[0].Addr)
	}
	if a, n := r.vol.NextStored(e[1].Addr, e[3].Addr, 100); a != e[1].Addr || n != 2 {
		t.Errorf("run in a range: have %d blocks from %d, want 2 from %d", n, a, e[1].Addr)
	}
	if a, n := r.vol.NextStored(e[3].Addr+1, 64, 100); n != 0 || a != 64 {
		t.Errorf("behind all blocks: have %d from %d, want none", n, a)
	}
	if n := r.vol.StoredIn(0, 64); n != 4 {
		t.Errorf("stored blocks: have %d, want 4", n)
	}
	before := r.vol.Stats().Verified
	for i := range e {
		if !r.vol.Prove(e[i].Addr, &e[i].Hash) {
			t.Errorf("entry %d is not proved by its own hash", i)
		}
		if other := (i + 1) % len(e); r.vol.Prove(e[i].Addr, &e[other].Hash) {
			t.Errorf("block %d is proved by the hash of block %d", i, other)
		}
	}
	r.assertRead(e, 1, 2, 3, 4)
	if have := r.vol.Stats().Verified - before; have != 8 {
		t.Errorf("blocks hashed: have %d, want 8: proved blocks are read without", have)
	}
	if a, ok := r.vol.Known(&e[2].Hash); !ok || a != e[2].Addr {
		t.Errorf("known: have %d, %v, want %d", a, ok, e[2].Addr)
	}
	gone := blockhash.Hash{1, 2, 3}
	if a, ok := r.vol.Known(&gone); ok {
		t.Errorf("known: have %d for a hash that nobody stored", a)
	}
}

// TestConvict: a damaged block leaves the index, an unreadable one too; a sound one stays, and a disk that does not answer convicts nobody.
func TestConvict(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.unclosed()
	e := r.mustPut("f", 1, 2, 3)
	read, p := r.below(), make([]byte, r.blockSize())
	r.damage(e[1].Addr)
	if have := r.owners(e[0].Addr, e[1].Addr); len(have) != 2 || !slices.Contains(have, e[0]) || !slices.Contains(have, e[1]) {
		t.Fatalf("owners: have %v, want %v", have, e[:2])
	}
	dead := func(format.Address, []byte) (bad, failed error) { return nil, unix.ENODEV }
	if v, _, err := r.vol.Convict(&e[1], p, dead); v != index.Left || !errors.Is(err, unix.ENODEV) || len(r.owners(e[1].Addr)) != 1 {
		t.Errorf("a disk that is gone: have verdict %d, %v and %d owners, want nothing changed", v, err, len(r.owners(e[1].Addr)))
	}
	torn := func(format.Address, []byte) (bad, failed error) { return unix.EIO, nil }
	for _, c := range []struct {
		name string
		e    format.Entry
		read index.ReadBlock
		want index.Verdict
	}{
		{"sound", e[0], read, index.Sound}, {"damaged", e[1], read, index.Bad}, {"damaged again", e[1], read, index.Left},
		{"unreadable", e[2], torn, index.Unreadable}, {"another address", format.Entry{Addr: e[2].Addr, Hash: e[0].Hash}, read, index.Left},
	} {
		if v, _, err := r.vol.Convict(&c.e, p, c.read); v != c.want || err != nil {
			t.Errorf("%s: have verdict %d, %v, want %d", c.name, v, err, c.want)
		}
	}
	if have := r.owners(e[0].Addr, e[1].Addr, e[2].Addr); len(have) != 1 || have[0] != e[0] {
		t.Errorf("in the index: have %v, want %v only", have, e[0])
	}
	if s := r.vol.Stats(); s.BadBlocks != 2 || len(r.warns) != 2 {
		t.Errorf("have %d bad blocks and warnings %q, want 2 and 2", s.BadBlocks, r.warns)
	}
	// New data of the same content is stored anew, and the old entries are healed from it.
	fresh := r.mustPut("g", 2)
	if fresh[0].Addr == e[1].Addr {
		t.Error("new data was linked to the bad block")
	}
	r.assertRead(e[:2], 1, 2)
}

// TestConvictTouchesFirst: the mark of being clean goes before a block leaves the index; if it cannot, nothing leaves.
func TestConvictTouchesFirst(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	e := r.mustPut("f", 1)
	r.close()
	r.open()
	r.unclosed()
	r.damage(e[0].Addr)
	read, p := r.below(), make([]byte, r.blockSize())
	r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Remove}, Err: unix.EIO})
	if v, _, err := r.vol.Convict(&e[0], p, read); v != index.Bad || !errors.Is(err, unix.EIO) || len(r.owners(e[0].Addr)) != 1 {
		t.Errorf("have verdict %d, %v and %d owners, want bad, EIO, and the entry still there", v, err, len(r.owners(e[0].Addr)))
	}
	r.m.Heal()
	if v, _, err := r.vol.Convict(&e[0], p, read); v != index.Bad || err != nil || len(r.owners(e[0].Addr)) != 0 {
		t.Errorf("again: have verdict %d, %v", v, err)
	}
}

// TestOwnersMissNothing searches while entries come and go, which moves others from stripe to stripe: one that stays is always found.
func TestOwnersMissNothing(t *testing.T) {
	o := smallVolume()
	o.Size = 20_000 * 4096
	r := newRig(t, o, index.Options{})
	r.unclosed()
	n := uint64(seed(t))
	rnd := rand.New(rand.NewPCG(n, 1))
	hash := func() (h blockhash.Hash) {
		for i := range h[:r.geo.HashSize] {
			h[i] = byte(rnd.Uint32())
		}
		return h
	}
	var stay, move []format.Entry
	for a := format.Address(2); a < 18_000; a++ { // 90 % full: long runs
		e := format.Entry{Addr: a, Hash: hash()}
		if _, err := r.vol.Publish(&e); err != nil {
			t.Fatal(err)
		}
		if a%9 == 0 {
			stay = append(stay, e)
		} else if a%3 == 0 {
			move = append(move, e)
		}
	}
	want := bitmap.New(r.geo.BlockCount)
	for _, e := range stay {
		want.Set(uint64(e.Addr))
	}
	stop := make(chan struct{})
	var w sync.WaitGroup
	for k := range 2 {
		w.Go(func() {
			for i := k; ; i = (i + 2) % len(move) {
				select {
				case <-stop:
					return
				default:
				}
				r.vol.Retract(&move[i])
				if _, err := r.vol.Publish(&move[i]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 60 {
		list, err := r.vol.Owners(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		seen := bitmap.New(r.geo.BlockCount)
		for _, e := range list {
			seen.Set(uint64(e.Addr))
		}
		if !seen.Equal(want) {
			t.Errorf("owners found: have %d, want %d", seen.Count(), want.Count())
			break
		}
	}
	close(stop)
	w.Wait()
}
