package table_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tresor/index/format"
	"tresor/index/table"
	"tresor/integration/goldenvol"
)

// goldenTable returns the table of a volume made by the original, and the volume's directory.
func goldenTable(t *testing.T, name string) (*format.Geometry, []byte, string) {
	t.Helper()
	dir := goldenvol.Unpack(t, name)
	path := filepath.Join(dir, format.ConfigName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := format.ParseConfig(path, text)
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(dir, c.IndexFilename))
	if err != nil {
		t.Fatal(err)
	}
	size := int(g.EntryCount) * g.EntrySize
	if len(index) < int(c.NodeOffset)+size {
		t.Fatalf("%s: index file has %d bytes, want %d+%d", name, len(index), c.NodeOffset, size)
	}
	return g, index[c.NodeOffset:][:size], dir
}

// TestGoldenLayout rebuilds the tables of the original's volumes, full ones among them, from their entries in random
// orders with deletions in between: every byte must come out as the original left it.
func TestGoldenLayout(t *testing.T) {
	for _, name := range []string{"tiger-4k-full", "sha1-4k-full", "tiger-4k-reclaimed", "tiger160-8k", "tiger128-4k-overflow", "tiger-128k"} {
		t.Run(name, func(t *testing.T) {
			g, want, _ := goldenTable(t, name)
			entries := contents(g, want)
			if len(entries) == 0 {
				t.Fatal("the golden table is empty")
			}
			noFindings(t, name, table.New(g, want), len(entries))
			for seed := range uint64(3) {
				rng := rand.New(rand.NewPCG(seed, 3))
				rng.Shuffle(len(entries), func(i, k int) { entries[i], entries[k] = entries[k], entries[i] })
				tab, have := newTable(g)
				for i := range entries {
					if _, _, err := tab.Insert(&entries[i]); err != nil {
						t.Fatal(err)
					}
					if k := rng.IntN(i + 1); rng.IntN(4) == 0 {
						tab.Delete(&entries[k].Hash)
						if _, _, err := tab.Insert(&entries[k]); err != nil {
							t.Fatal(err)
						}
					}
				}
				compareBytes(t, g, fmt.Sprintf("%s, seed %d", name, seed), have, want)
			}
		})
	}
}

// TestGoldenHashes re-hashes blocks of the original's volumes: our digests are its digests, byte order included.
func TestGoldenHashes(t *testing.T) {
	for _, name := range []string{"tiger-4k", "sha1-4k", "tiger160-8k", "tiger128-4k-overflow", "tiger-128k", "sha1-64k"} {
		t.Run(name, func(t *testing.T) {
			g, b, dir := goldenTable(t, name)
			blocks, err := os.Open(filepath.Join(dir, "ddfsblocks"))
			if err != nil {
				t.Fatal(err)
			}
			defer blocks.Close()
			block := make([]byte, g.BlockSize)
			for _, e := range contents(g, b) {
				if _, err := blocks.ReadAt(block, g.Offset(e.Addr)); err != nil {
					t.Fatalf("read block %d: %v", e.Addr, err)
				}
				if have := g.Kind.Sum(block); have != e.Hash {
					t.Fatalf("%s of block %d: have %x, want %x", g.Kind, e.Addr, have, e.Hash)
				}
			}
		})
	}
}

// TestGoldenFindings holds Check against the original's own check of damaged volumes, slot by slot.
func TestGoldenFindings(t *testing.T) {
	for _, name := range []string{"tiger-4k-swapped", "tiger-4k-duplicated", "tiger-4k-corrupt-bytes", "tiger-4k-everything",
		"tiger-4k-reset", "tiger-4k-addr-swapped", "tiger-4k"} {
		t.Run(name, func(t *testing.T) {
			g, b, _ := goldenTable(t, name)
			var have []string
			table.New(g, b).Check(func(f table.Finding) {
				// The original overlooks reserved hashes, which byte damage made of hashes all zero.
				if f.Fault != table.FaultReservedHash {
					have = append(have, inOriginalWords(f))
				}
			})
			want := originalFindings(goldenvol.Read(t, name, "check"))
			for _, line := range want {
				if !slices.Contains(have, line) {
					t.Errorf("%s: the original finds %q, ours does not: %q", name, line, have)
				}
			}
			for _, line := range have {
				if !slices.Contains(want, line) {
					t.Errorf("%s: ours finds %q, the original does not: %q", name, line, want)
				}
			}
		})
	}
}

// inOriginalWords returns the finding as the original prints it, without the address of a neighbour.
func inOriginalWords(f table.Finding) string {
	node := fmt.Sprintf("node %d (addr=%d) ", f.Slot, f.Entry.Addr)
	switch f.Fault {
	case table.FaultEmptyHash:
		return node + "has a wrong hash"
	case table.FaultLostAddress, table.FaultAddressRange:
		return node + "address out of range"
	case table.FaultBeforeIdeal:
		return node + fmt.Sprintf("before its expected position %d", f.Ideal)
	case table.FaultBehindEmpty:
		return node + "is preceded by an empty node and is not at its optimum position"
	case table.FaultOrder:
		return node + "hash order mismatch with previous node"
	case table.FaultDuplicate:
		return node + "hash equal previous hash"
	}
	return node + f.Fault.String()
}

// originalFindings returns the lines about nodes of a check report.
func originalFindings(report string) (lines []string) {
	neighbour := regexp.MustCompile(` \(addr=\d+\)(, this is unexpected)?$`)
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "node ") {
			lines = append(lines, neighbour.ReplaceAllString(strings.TrimSpace(line), ""))
		}
	}
	return lines
}
