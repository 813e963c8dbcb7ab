package fsck_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"tresor/index/bitmap"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/table"
)

// TestRandomDamage damages index, addresses and headers of files, and blocks at random, and holds that each block of a file comes back that
// is anywhere in the block file, that a second repair changes nothing, and that the check is content.
func TestRandomDamage(t *testing.T) {
	seed, rounds := uint64(1), 50
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	if os.Getenv(longVariable) != "" {
		rounds = 10_000
	}
	base := disktest.New()
	v := indextest.New(t, indextest.Options{FS: base, Dir: "/v", Blocks: 64})
	files := map[string][]byte{}
	for i := range 5 {
		files[fmt.Sprintf("d%d/f%d", i%2, i)] = random(uint64(80+i), (1+2*i)*4096-i)
	}
	files["copy"] = append(files["d0/f4"][8192:20480:20480], files["d1/f3"][4096:]...)
	v.Store(files)
	found := 0
	for round := range rounds {
		found += randomDamage(t, base.Clone(), rand.New(rand.NewPCG(seed, uint64(round))), files)
		if t.Failed() {
			t.Fatalf("TRESOR_SEED=%d round %d", seed, round)
		}
	}
	t.Logf("TRESOR_SEED=%d: %d rounds, %d blocks came back", seed, rounds, found)
}

func randomDamage(t *testing.T, m *disktest.FS, rng *rand.Rand, files map[string][]byte) (found int) {
	t.Helper()
	v := indextest.Describe(t, m, "/v")
	mode := []fsck.Mode{fsck.Normal, fsck.Normal, fsck.Rebuild, fsck.RebuildAll}[rng.IntN(4)]
	what := mode.String()
	wanted := map[string][]format.Entry{}
	for path := range files {
		_, wanted[path] = v.Recipe(path)
	}
	if rng.IntN(3) > 0 {
		what += ", index"
		damageIndex(t, v, rng)
	}
	if rng.IntN(2) > 0 {
		what += ", addresses"
		for path := range files {
			size, e := v.Recipe(path)
			for range rng.IntN(4) {
				e[rng.IntN(len(e))].Addr = format.Address(2 + rng.Uint64N(70))
			}
			v.WriteRecipe(path, size, e)
		}
	}
	if rng.IntN(2) > 0 {
		what += ", blocks"
		damageBlocks(t, v, rng)
		v.SetFlag(format.DirtyName, true) // only then a block on which all agree is hashed
	}
	there := stored(v)
	v.Repair(fsck.RepairOptions{Mode: mode})
	for path, entries := range wanted {
		_, have := v.Recipe(path)
		for i, e := range entries {
			if there[string(e.Hash[:])] {
				found++
			}
			lost := have[i].Addr == format.AddressLost
			if lost == there[string(e.Hash[:])] || have[i].Hash != e.Hash {
				t.Errorf("%s: %s entry %d: have %v, its block is in the block file: %v", what, path, i, have[i], there[string(e.Hash[:])])
			}
		}
		if _, err := v.ReadFile(path); err != nil && !isLost(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	indextest.AssertStatus(t, m, "/v", fsck.OK, fsck.Lost)
	before := v.Image()
	v.Repair(fsck.RepairOptions{Mode: mode})
	assertSame(t, what+": second repair", v.Image(), before)
	return found
}

func isLost(err error) bool { return errors.Is(err, indextest.ErrLost) }

// stored has the hashes of all blocks in the block file.
func stored(v *indextest.Volume) map[string]bool {
	all := map[string]bool{}
	data := v.Image()["ddfsblocks"]
	for at := 2 * 4096; at+4096 <= len(data); at += 4096 {
		sum := v.Geometry.Kind.Sum([]byte(data[at : at+4096]))
		all[string(sum[:])] = true
	}
	return all
}

// damageIndex does one kind of damage to the index: all of it that the check of the table can see, or that makes it unusable.
func damageIndex(t *testing.T, v *indextest.Volume, rng *rand.Rand) {
	t.Helper()
	switch rng.IntN(5) {
	case 0:
		if err := v.FS.Remove(v.IndexPath); err != nil {
			t.Fatal(err)
		}
	case 1:
		put(t, v.FS, v.IndexPath, rng.Int64N(8), []byte{0})
	case 2:
		v.WithIndex(func(tab *table.Table, used *bitmap.Bitmap) {
			for range 1 + rng.IntN(20) {
				used.Clear(2 + rng.Uint64N(60))
			}
		})
	case 3: // junk in the table
		junk := make([]byte, 1+rng.IntN(300))
		for i := range junk {
			junk[i] = byte(rng.Uint32())
		}
		put(t, v.FS, v.IndexPath, v.Config.NodeOffset+rng.Int64N(15000), junk)
	case 4:
		v.SwapAddresses()
	}
}

// damageBlocks spoils some blocks and copies others elsewhere.
func damageBlocks(t *testing.T, v *indextest.Volume, rng *rand.Rand) {
	t.Helper()
	last := int64(len(v.Image()["ddfsblocks"])/4096 - 1)
	for range 1 + rng.IntN(3) {
		from := 2 + rng.Int64N(last-1)
		if rng.IntN(2) == 0 {
			block, _ := v.BlockOf(format.Address(from))
			put(t, v.FS, v.BlocksPath, (2+rng.Int64N(60))*4096, block)
		}
		v.DamageBlock(format.Address(from))
	}
}
