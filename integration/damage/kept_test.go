package damage

import (
	"testing"

	"tresor/index/alter"
	"tresor/index/fsck"
	"tresor/index/indexfile"
)

// kept are cases that failed once. They say all that decides what they do, so that new kinds of damage do not change them.
func kept() []struct {
	name string
	plan
} {
	return []struct {
		name string
		plan
	}{
		{"no index, and the only reference to a block has a wrong address", plan{base: 3, left: true, mark: indexfile.MarkSession, steps: []step{
			{alter.DeleteSnapshot, 1, 1}, {alter.IndexEmpty, 1, 1}, {alter.FlipEntry, 5, 0x51}, {alter.FlipEntry, 5, 0x52}}}},
		{"no index, and a file of one block points elsewhere", plan{base: 2, steps: []step{{alter.IndexEmpty, 1, 1}, {alter.Shake, 1, 2}, {alter.Shake, 1, 5}}}},
		{"the block file was cut and grew again", plan{base: 3, steps: []step{
			{alter.BlocksTruncate, 6, 0x5391e4b19e5fc78a}, {alter.PowerCut, 3, 0x2847833c0baa1116}}}},
		{"an address that became zero reads as zeros", plan{base: 4, steps: []step{
			{alter.FlipEntry, 5, 0x85ece2dbee2aa3dc}, {alter.Clear, 5, 0xd19965060d6d9f41}, {alter.SwapRandom, 2, 0xd47550bd4390bbc9}}}},
		{"a file with a damaged magic and wrong addresses, -N", plan{base: 5, left: true, mode: fsck.Trusting, steps: []step{
			{alter.FlipHeader, 5, 0x831ee1fefb3eee9e}, {alter.PowerCut, 1, 0x3409f49ddf5257da},
			{alter.FlipHeader, 3, 0x2ae6ce0da2137f5d}, {alter.Shake, 2, 0x9edff9e327fe6b9b}}}},
		{"a rotten snapshot makes the block file look cut", plan{base: 5, steps: []step{{alter.OddFiles, 5, 0xbd9d5293da6119a1},
			{alter.RotSnapshot, 6, 0xf2d5625ed068305a}, {alter.IndexMagic, 4, 0x595d66f71d2335c1}, {alter.FlipEntry, 2, 0xf169978312f76d58}}}},
	}
}

// TestKept runs the kept cases, each in all modes and with and without force.
func TestKept(t *testing.T) {
	list := bases(t)
	for _, k := range kept() {
		t.Run(k.name, func(t *testing.T) {
			for _, mode := range []fsck.Mode{fsck.Normal, fsck.Trusting, fsck.Rebuild, fsck.RebuildAll} {
				for _, force := range []bool{false, true} {
					pl := k.plan
					pl.mode, pl.force = mode, force
					if c := guarded(list[pl.base], k.name, pl); len(c.problems) > 0 {
						t.Errorf("%v", c)
					}
				}
			}
		})
	}
}
