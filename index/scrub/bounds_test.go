package scrub

import (
	"strings"
	"testing"

	"tresor/index/format"
)

// TestListsAreBounded: what does not fit into the lists is counted, and found again by the next run.
func TestListsAreBounded(t *testing.T) {
	r := newRig(t, 512)
	e := r.put(format.RootName, "f", 1, 2)
	many := make([]format.Entry, maxFiles+50)
	for i := range many {
		many[i] = e[1]
	}
	r.write(format.RootName, "many", many)
	r.remount()
	r.damage(e[1].Addr)
	rep := r.scrub(Options{})
	if len(rep.Files) != maxFiles || rep.MoreDamage != 51 || rep.AffectedFiles != 2 || rep.Bad != 1 {
		t.Errorf("have %d places, %d more, in %d files, %d bad blocks, want %d, 51, 2, 1", len(rep.Files), rep.MoreDamage, rep.AffectedFiles, rep.Bad, maxFiles)
	}
	deep := format.RootName + strings.Repeat("/"+strings.Repeat("d", 200), 18)
	r.write(deep, "long", many[:1000])
	must(t, r.m.Remove(parent+"/"+format.RootName+"/many"))
	path := len(deep) - len(format.RootName) + len("/long") - 1
	rep = r.scrub(Options{})
	if have, want := len(rep.Files), maxPaths/path; have < want-1 || have > want+1 || uint64(have)+rep.MoreDamage != 1001 {
		t.Errorf("paths of %d bytes: have %d listed, %d more, want about %d of 1001", path, have, rep.MoreDamage, want)
	}
}

// TestManyBadBlocks: a volume of which all is bad is found to be so in one run.
func TestManyBadBlocks(t *testing.T) {
	r := newRig(t, 12_000)
	e := r.fill(11, 1000)
	r.remount()
	for i := range e {
		r.damage(e[i].Addr)
	}
	rep := r.scrub(Options{})
	if rep.Bad != 11_000 || rep.New != 11_000 || len(rep.BadBlocks) != maxBad || rep.MoreBad != 11_000-maxBad || rep.AffectedFiles != 11 {
		t.Errorf("have %d bad blocks, %d new, %d listed, %d more, %d files", rep.Bad, rep.New, len(rep.BadBlocks), rep.MoreBad, rep.AffectedFiles)
	}
	set := r.set()
	for i := range e {
		set.Set(uint64(e[i].Addr))
	}
	if list, err := r.vol.Owners(t.Context(), set); err != nil || len(list) != 0 {
		t.Errorf("bad blocks in the index: have %d, %v", len(list), err)
	}
	r.remount()
	if rep = r.scrub(Options{}); rep.Bad != 11_000 || rep.MoreBad != 11_000-maxBad {
		t.Errorf("again: have %d bad blocks, %d not listed", rep.Bad, rep.MoreBad)
	}
}
