package format_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"tresor/index/format"
)

// TestDocument recomputes the examples of docs/format.md: each block there that
// is fenced as "text example NAME" must be, to the letter, what the function of
// that name below makes.
func TestDocument(t *testing.T) {
	_, source, _, _ := runtime.Caller(0)
	name := filepath.Join(filepath.Dir(source), "..", "..", "docs", "format.md")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	examples := map[string]func(testing.TB) string{
		"constants": exampleConstants, "config": exampleConfig, "derivation": exampleDerivation, "refused": exampleRefused,
		"ideal": exampleIdeal, "layout": exampleLayout, "entry": exampleEntry, "bitmap": exampleBitmap, "snapshot": exampleSnapshot,
		"offset": exampleOffset, "header": exampleHeader,
	}
	blocks := regexp.MustCompile("(?s)```text example ([a-z]+)\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	for _, b := range blocks {
		compute := examples[b[1]]
		if compute == nil {
			t.Errorf("%s: nothing computes the example %q, or it is there twice", name, b[1])
			continue
		}
		delete(examples, b[1])
		if want := compute(t); b[2] != want {
			t.Errorf("%s: example %q: have\n%s\nwant\n%s", name, b[1], b[2], want)
		}
	}
	for missing := range examples {
		t.Errorf("%s: no example %q", name, missing)
	}
	for _, key := range configKeys(t) {
		if !strings.Contains(string(data), "`"+key+"`") {
			t.Errorf("%s: says nothing of the key %q", name, key)
		}
	}
}

func configKeys(t testing.TB) (keys []string) {
	c, _ := newGeometry(t, format.CreateOptions{Size: 1 << 30})
	for line := range strings.Lines(string(c.Marshal())) {
		key, _, _ := strings.Cut(line, ":")
		keys = append(keys, key)
	}
	return keys
}

// twentyGiB is the volume of most examples: mkddumbfs -H TIGER -s 20G -B 128k.
func twentyGiB(t testing.TB) (*format.Config, *format.Geometry) {
	return newGeometry(t, format.CreateOptions{Hash: "TIGER", Size: 20 << 30})
}

// pattern is 131072 bytes, byte i is (7*i+3) mod 256.
func pattern() []byte {
	b := make([]byte, 131072)
	for i := range b {
		b[i] = byte(7*i + 3)
	}
	return b
}

func exampleConstants(testing.TB) string {
	return fmt.Sprintf(`file header           %d bytes
index page            %d bytes
alignment, new index  %d bytes
block size            %d to %d bytes, default %d
blocks                %d to %d
overflow              %.2f to %.2f, default %.2f
`, format.FileHeaderSize, format.IndexPage, format.IndexAlign, format.MinBlockSize, format.MaxBlockSize, format.DefaultBlockSize,
		format.MinBlockCount, uint64(format.MaxBlockCount), format.MinOverflow, float64(format.MaxOverflow), format.DefaultOverflow)
}

func exampleConfig(t testing.TB) string {
	c, _ := twentyGiB(t)
	return string(c.Marshal())
}

func exampleDerivation(t testing.TB) string {
	c, _ := newGeometry(t, format.CreateOptions{Hash: "TIGER", Size: 80741586, BlockSize: 4096})
	single := float64(float32(1.3))
	blocks := 80741586 / 4096
	least := int(float64(blocks)*single + 512*single)
	pages := (least*26 + 4095) / 4096
	if uint64(blocks) != c.BlockCount || uint64(pages) != c.NodeBlockCount || c.NodeSize != 26 {
		t.Errorf("the derivation by hand is not that of %+v", c)
	}
	return fmt.Sprintf(`block_count        80741586 / 4096 = %d, %d bytes are left over
addr_size          %d, as 256^1 < %d <= 256^2
node_size          %d + %d = %d
overflow           %.10f, 1.3 in single precision
slots needed       int(%d x overflow + 512 x overflow) = %d
node_block_count   ceil(%d x %d / 4096) = %d
node_count         %d x 4096 / %d = %d
freeblock_size     ceil(%d / 8) = %d
node_offset        roundup(65536 + roundup(%d, 4096), 65536) = %d
index_size         %d + %d x 4096 = %d
`, blocks, 80741586%4096, c.AddrSize, blocks, c.AddrSize, c.HashSize, c.NodeSize, single, blocks, least,
		least, c.NodeSize, pages, pages, c.NodeSize, c.NodeCount, blocks, c.FreeblockSize,
		c.FreeblockSize, c.NodeOffset, c.NodeOffset, pages, c.IndexSize)
}

func exampleRefused(t testing.TB) string {
	const blocks = 20_000_000_000
	_, err := format.NewConfig(format.CreateOptions{Hash: "TIGER", Size: blocks * 131072})
	var e *format.ConfigError
	if !errors.As(err, &e) || e.Key != "node_count" {
		t.Fatalf("%d blocks: have %v, want a node_count that is too small", uint64(blocks), err)
	}
	return fmt.Sprintf("%d blocks x 1.30: more than %d slots are needed, the table has %s: refused\n", uint64(blocks), uint64(blocks)*130/100, e.Have)
}

func exampleIdeal(t testing.TB) string {
	c, g := twentyGiB(t)
	var b strings.Builder
	fmt.Fprintf(&b, "%d x 1.30 = %.0f slots to scale to\n", c.BlockCount, float64(c.BlockCount)*c.Overflow)
	block := g.Kind.Sum(pattern())
	for _, p := range []uint64{0, 1 << 63, block.Prefix(), 1<<64 - 1} {
		h := prefix(p)
		if have, want := uint64(g.Ideal(&h)), exactIdeal(p, c.BlockCount, c.Overflow); have != want {
			t.Errorf("ideal slot of %#x: have %d, want %d", p, have, want)
		}
		fmt.Fprintf(&b, "%016x  slot %d\n", p, g.Ideal(&h))
	}
	return b.String()
}

func exampleLayout(t testing.TB) string {
	_, g := twentyGiB(t)
	var b strings.Builder
	next := format.Slot(0)
	for _, p := range []uint64{0x0000100000000000, 0x0000500000000000, 0x0000600000000000, 0x0000a00000000000, 0x0001000000000000, 0x0003000000000000} {
		h := prefix(p)
		ideal := g.Ideal(&h)
		at := max(ideal, next)
		fmt.Fprintf(&b, "%016x...  ideal %d, stands at %d\n", p, ideal, at)
		next = at + 1
	}
	return b.String()
}

func exampleEntry(t testing.TB) string {
	_, g := twentyGiB(t)
	buf := make([]byte, g.EntrySize)
	g.PutEntry(buf, &format.Entry{Addr: 70000, Hash: g.Kind.Sum(pattern())})
	return fmt.Sprintf("address 70000 = %#06x\n%x %x\n", 70000, buf[:g.AddrSize], buf[g.AddrSize:])
}

func exampleBitmap(testing.TB) string {
	set := func(blocks ...int) string {
		var m [2]byte
		for _, b := range blocks {
			m[b/8] |= 0x80 >> (b % 8)
		}
		return fmt.Sprintf("blocks %v used: %x\n", blocks, m)
	}
	return set(0, 1) + set(0, 1, 2, 9)
}

func exampleSnapshot(t testing.TB) string {
	_, large := twentyGiB(t)
	c, small := newGeometry(t, format.CreateOptions{Hash: "TIGER", Size: 80741586})
	return fmt.Sprintf("%d blocks: %d bytes\n%d blocks: %d bytes, as %d are not whole words\n",
		large.BlockCount, large.SnapshotSize(), small.BlockCount, small.SnapshotSize(), c.FreeblockSize)
}

func exampleOffset(t testing.TB) string {
	_, g := twentyGiB(t)
	return fmt.Sprintf("70000 x %d = %d\n", g.BlockSize, g.Offset(70000))
}

func exampleHeader(t testing.TB) string {
	_, g := twentyGiB(t)
	buf := make([]byte, format.FileHeaderSize)
	format.PutFileHeader(buf, 300000)
	length, err := g.FileLength(300000)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x %x\nceil(300000 / %d) = %d entries, %d + %d x %d = %d bytes\n",
		buf[:8], buf[8:], g.BlockSize, g.Entries(300000), format.FileHeaderSize, g.Entries(300000), g.EntrySize, length)
}
