package scrub

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/integration/goldenvol"
)

// TestGolden: the volumes that the original made are good, every stored block of them.
func TestGolden(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Sound) {
		t.Run(name, func(t *testing.T) {
			dir := goldenvol.Unpack(t, name)
			p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
			must(t, err)
			dirty, err := p.Dirty()
			must(t, err)
			v, err := index.Open(p, index.Options{ReadOnly: dirty})
			must(t, err)
			rep, err := Run(t.Context(), v, Options{})
			must(t, err)
			used := v.Stats().Allocated - 2
			if rep.Damaged() || len(rep.Files) > 0 || !rep.Complete || rep.Blocks != used || rep.Bytes != used*uint64(v.Geometry().BlockSize) {
				t.Errorf("have %+v, want %d good blocks", rep, used)
			}
			if have := v.Stats().Verified; have != used {
				t.Errorf("blocks hashed: have %d, want %d", have, used)
			}
			kept := v.Parent().Path(format.ScrubName)
			if _, err := disk.OS().Lstat(kept); (err == nil) == dirty {
				t.Errorf("%s: have %v on a volume that is read-only: %v", kept, err, dirty)
			}
			must(t, v.Close())
		})
	}
}

// TestDamage goes through the life of bad blocks: found, listed with all places, found again, healed by the same content, forgotten.
func TestDamage(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(4, 50)
	r.write(format.RootName, "copy", []format.Entry{e[7], e[120], e[7]})
	r.write(format.QuarantineName, "odd", []format.Entry{{Addr: 99, Hash: e[120].Hash}, e[3]})
	r.remount()
	r.damage(e[7].Addr)
	r.damage(e[120].Addr)
	rep := r.scrub(Options{})
	want := []Damage{
		{Path: "copy", Offset: 0, Address: uint64(e[7].Addr)}, {Path: "copy", Offset: bs, Address: uint64(e[120].Addr)},
		{Path: "copy", Offset: 2 * bs, Address: uint64(e[7].Addr)}, {Path: "file0", Offset: 7 * bs, Address: uint64(e[7].Addr)},
		{Path: "file2", Offset: 20 * bs, Address: uint64(e[120].Addr)}, {Path: "odd", Quarantine: true, Offset: 0, Address: 99},
	}
	if rep.Bad != 2 || rep.New != 2 || rep.Unreadable != 0 || !rep.Complete || rep.AffectedFiles != 4 || !slices.Equal(rep.Files, want) {
		t.Errorf("first run: have %+v,\nwant 2 bad blocks and %v", rep, want)
	}
	if list, err := r.vol.Owners(t.Context(), r.set(e[7].Addr, e[120].Addr)); err != nil || len(list) != 0 {
		t.Errorf("the index has bad blocks: %v, %v", list, err)
	}
	if r.readable(e[7:8]) || !r.readable(e[:7]) {
		t.Error("want the bad block, and only that, to be an error")
	}
	r.remount()
	if rep = r.scrub(Options{}); rep.Bad != 2 || rep.New != 0 || !slices.Equal(rep.Files, want) {
		t.Errorf("second run: have %+v, want the same again and nothing new", rep)
	}
	st, err := ReadStatus(r.vol)
	if must(t, err); len(st.BadBlocks) != 2 || st.BadBlocks[0].Address != uint64(e[7].Addr) || st.Never != 0 {
		t.Errorf("status: have %+v, want both bad blocks", st)
	}
	r.put(format.RootName, "again", 8) // the content of e[7]
	if !r.readable(e[:100]) {
		t.Error("files do not heal from the same content")
	}
	if st, err = ReadStatus(r.vol); err != nil || len(st.BadBlocks) != 1 {
		t.Errorf("status after one was healed: have %+v, %v, want one bad block", st, err)
	}
	r.remount()
	if rep = r.scrub(Options{}); rep.Bad != 1 || rep.AffectedFiles != 3 || !r.readable(e[:100]) {
		t.Errorf("third run: have %+v, want one bad block in three files", rep)
	}
	for _, name := range []string{"copy", "file2"} {
		must(t, r.m.Remove(filepath.Join(parent, format.RootName, name)))
	}
	must(t, r.m.Remove(filepath.Join(parent, format.QuarantineName, "odd")))
	if rep = r.scrub(Options{}); rep.Damaged() || len(rep.Files) != 0 || len(rep.BadBlocks) != 0 {
		t.Errorf("nothing refers to the bad block any more: have %+v, want it forgotten", rep)
	}
	r.close()
	r.assertClean(fsck.Errors)
}

// TestUnreadable: a block that the disk does not give back is found, its neighbours are not touched.
func TestUnreadable(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(1, 100)
	r.remount()
	must(t, r.m.SyncFS(parent))
	f, err := r.m.OpenFile(filepath.Join(parent, format.DefaultBlocksName), 2, 0)
	must(t, err)
	must(t, f.Truncate(r.geo.Offset(e[98].Addr)+100)) // the last two are cut off
	must(t, f.Close())
	rep := r.scrub(Options{})
	if rep.Unreadable != 2 || rep.Bad != 0 || len(rep.Files) != 2 || rep.Files[0].Offset != 98*bs || !rep.BadBlocks[0].Unreadable {
		t.Errorf("have %+v, want the last two blocks to be unreadable", rep)
	}
	if !r.readable(e[:98]) || r.readable(e[98:99]) {
		t.Error("want all but the last two blocks to be readable")
	}
}

// TestFoundByRead: a block that a read has taken out of the index before is found as well.
func TestFoundByRead(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(2, 20)
	r.remount()
	r.damage(e[30].Addr)
	if r.readable(e[30:31]) {
		t.Fatal("a damaged block reads well")
	}
	r.remount()
	rep := r.scrub(Options{})
	if rep.Bad != 1 || rep.New != 1 || len(rep.Files) != 1 || rep.Files[0].Path != "file1" || rep.Files[0].Offset != 10*bs {
		t.Errorf("have %+v, want the bad block of file1", rep)
	}
	if rep = r.scrub(Options{}); rep.Bad != 1 || rep.New != 0 {
		t.Errorf("again: have %+v, want one that is not new", rep)
	}
}

// TestLostIndexEntry: a good block that the index does not know is nobody's damage.
func TestLostIndexEntry(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(1, 20)
	torn := func(format.Address, []byte) (bad, failed error) { return unix.EIO, nil }
	if v, _, err := r.vol.Convict(&e[5], make([]byte, bs), torn); v != index.Unreadable || err != nil {
		t.Fatalf("have verdict %d, %v", v, err)
	}
	if rep := r.scrub(Options{}); rep.Damaged() || len(rep.Files) != 0 {
		t.Errorf("have %+v, want no damage", rep)
	}
	if !r.readable(e) {
		t.Error("the file cannot be read")
	}
	r.close()
	r.assertClean()
}

// TestDiskGone: a block file that does not answer, or is not ours any more, convicts nobody.
func TestDiskGone(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(2, 50)
	set := r.set()
	for _, x := range e {
		set.Set(uint64(x.Addr))
	}
	gone := disktest.Call{Kind: disktest.Read, Site: "blockfile.(*File).readAt"}
	header := disktest.Call{Kind: disktest.Read, Site: "blockfile.(*File).check"}
	r.m.Inject(disktest.Fault{Call: gone, Repeat: true, Err: unix.EIO})
	r.m.Inject(disktest.Fault{Call: header, N: 1, Repeat: true, Err: unix.EIO})
	rep, err := Run(t.Context(), r.vol, Options{})
	r.m.Heal()
	if !errors.Is(err, unix.EIO) || rep.Complete || rep.Stopped != "error" {
		t.Errorf("have %+v, %v, want EIO", rep, err)
	}
	list, err := r.vol.Owners(t.Context(), set)
	if must(t, err); len(list) != len(e) {
		t.Errorf("entries left in the index: have %d, want %d", len(list), len(e))
	}
	if rep := r.scrub(Options{}); rep.Damaged() {
		t.Errorf("when the disk is back: have %+v, want no damage", rep)
	}
}

// TestReadOnly reports and changes nothing.
func TestReadOnly(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(1, 30)
	r.close()
	r.open(index.Options{ReadOnly: true})
	r.damage(e[4].Addr)
	rep := r.scrub(Options{})
	if rep.Bad != 1 || len(rep.Files) != 1 || len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0], "read-only") {
		t.Errorf("have %+v, want one bad block and a note", rep)
	}
	if list, err := r.vol.Owners(t.Context(), r.set(e[4].Addr)); err != nil || len(list) != 1 {
		t.Errorf("the index of a read-only volume: have %v, %v, want it unchanged", list, err)
	}
}

// TestInterrupted: ctx ends a run, what it found by then is kept.
func TestInterrupted(t *testing.T) {
	r := newRig(t, 512)
	e := r.fill(4, 50)
	r.remount()
	r.damage(e[0].Addr)
	ctx, cancel := context.WithCancel(t.Context())
	clock := newClock()
	waits := 0
	clock.slept = func(time.Duration) {
		if waits++; waits == 40 {
			cancel()
		}
	}
	rep, err := Run(ctx, r.vol, Options{MaxRate: 10 * bs, Clock: clock})
	if !errors.Is(err, context.Canceled) || rep.Stopped != "interrupted" || rep.Complete || rep.Blocks >= 100 || rep.Bad != 1 {
		t.Errorf("have %+v, %v, want it interrupted early", rep, err)
	}
	first := rep.Blocks
	rep = r.scrub(Options{Clock: clock})
	if rep.Bad != 1 || rep.New != 0 || len(rep.Files) != 1 || !rep.Complete || rep.Blocks != 200-first {
		t.Errorf("the next run: have %+v, want the rest of the blocks, and the bad one of before", rep)
	}
}
