package format_test

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/format"
)

// newGeometry makes the geometry of a new volume.
func newGeometry(t testing.TB, o format.CreateOptions) (*format.Config, *format.Geometry) {
	t.Helper()
	c, err := format.NewConfig(o)
	if err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	g, err := c.Geometry()
	if err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	return c, g
}

// useGeometry calls everything that computes with the geometry of c and checks
// what must hold for every accepted configuration.
func useGeometry(t testing.TB, c *format.Config) {
	t.Helper()
	g, err := c.Geometry()
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	for _, h := range []blockhash.Hash{{}, full(), {1}, {0x80}} {
		if s := g.Ideal(&h); uint64(s) >= g.EntryCount {
			t.Errorf("%+v: ideal slot %d of %x", c, s, h)
		}
	}
	if n := int64(g.EntryCount) * int64(g.EntrySize); n > c.IndexSize-c.NodeOffset {
		t.Errorf("%+v: table of %d bytes does not fit", c, n)
	}
	if off := g.Offset(format.Address(g.BlockCount)); off < 0 || off > c.PartitionSize {
		t.Errorf("%+v: end of the block file at %d", c, off)
	}
	if n, err := g.FileLength(math.MaxInt64); err != nil || n < 0 {
		t.Errorf("%+v: length of the greatest file: %d, %v", c, n, err)
	}
	buf := make([]byte, g.EntrySize)
	e := format.Entry{Addr: format.Address(g.BlockCount - 1)}
	g.PutEntry(buf, &e)
	if have := g.Addr(buf); have != e.Addr {
		t.Errorf("%+v: address %d came back as %d", c, e.Addr, have)
	}
}

func full() (h blockhash.Hash) {
	for i := range h {
		h[i] = 0xff
	}
	return h
}

func prefix(p uint64) (h blockhash.Hash) {
	for i := range 8 {
		h[i] = byte(p >> (56 - 8*i))
	}
	return h
}

// exactIdeal evaluates the rule of the format page, section 5, with arithmetic
// of 53 bits that rounds once for each operation, independent of the machine's.
func exactIdeal(p, blocks uint64, overflow float64) uint64 {
	f := func(v float64) *big.Float { return new(big.Float).SetPrec(53).SetMode(big.ToNearestEven).SetFloat64(v) }
	round := func(v uint64) *big.Float { return f(0).SetUint64(v) }
	scale := f(0).Mul(round(blocks), f(overflow))
	scale.Quo(scale, f(math.Ldexp(1, 64)))
	n, _ := f(0).Mul(round(p), scale).Uint64()
	return n
}

func TestIdeal(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for _, o := range []format.CreateOptions{
		{Hash: "TIGER", Size: 20 << 30},
		{Hash: "TIGER", Size: 16 << 20, BlockSize: 4096},
		{Hash: "SHA1", Size: 64 << 20, BlockSize: 4096, Overflow: 1.1},
		{Hash: "BLAKE3", Size: 1024, BlockSize: 512, Overflow: 10},
		{Hash: "BLAKE3", Size: format.MaxBlockCount << 17, Overflow: 1.25},
		{Hash: "BLAKE3-256", Size: 12_345_678_901 * 512, BlockSize: 512, Overflow: 7.77},
	} {
		c, g := newGeometry(t, o)
		prefixes := []uint64{0, 1, 1 << 53, 1<<53 + 1, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1024, math.MaxUint64}
		for range 20000 {
			prefixes = append(prefixes, random.Uint64())
		}
		// The edges: the first prefix of a slot, and its neighbours.
		for range 2000 {
			slot := random.Uint64N(uint64(float64(c.BlockCount) * c.Overflow))
			p := uint64(float64(slot) / (float64(c.BlockCount) * c.Overflow) * math.Ldexp(1, 64))
			prefixes = append(prefixes, p-1, p, p+1)
		}
		for _, p := range prefixes {
			h := prefix(p)
			if have, want := g.Ideal(&h), exactIdeal(p, c.BlockCount, c.Overflow); uint64(have) != want {
				t.Fatalf("%+v: ideal slot of %#x: have %d, want %d", o, p, have, want)
			}
		}
	}
}

func TestZeroHash(t *testing.T) {
	for _, name := range blockhash.Names() {
		_, g := newGeometry(t, format.CreateOptions{Hash: name, Size: 1 << 20, BlockSize: 4096})
		zero := g.Kind.Sum(make([]byte, 4096))
		if g.ZeroHash != zero || g.HashSize != g.Kind.Size() || g.EntrySize != g.HashSize+g.AddrSize {
			t.Errorf("%s: have %+v", name, g)
		}
	}
}

// Files around every block boundary, for every block size.
func TestEntriesAndFileLength(t *testing.T) {
	for size := format.MinBlockSize; size <= format.MaxBlockSize; size *= 2 {
		_, g := newGeometry(t, format.CreateOptions{Size: int64(size) * 1000, BlockSize: size})
		for blocks := range uint64(300) {
			for _, extra := range []uint64{0, 1, 2, uint64(size) / 2, uint64(size) - 1} {
				n := blocks*uint64(size) + extra
				want := blocks
				if extra > 0 {
					want++
				}
				length, err := g.FileLength(n)
				if g.Entries(n) != want || err != nil || length != int64(16+want*uint64(g.EntrySize)) || length != g.EntryOffset(want) {
					t.Fatalf("block size %d, file of %d bytes: have %d entries, length %d, %v; want %d entries", size, n, g.Entries(n), length, err, want)
				}
			}
		}
		for _, n := range []uint64{1 << 63, math.MaxUint64, math.MaxUint64 - uint64(size)} {
			if length, err := g.FileLength(n); err == nil {
				t.Errorf("block size %d, file of %d bytes: have length %d, want an error", size, n, length)
			}
		}
		if have, want := g.Entries(math.MaxUint64), uint64(math.MaxUint64)/uint64(size)+1; have != want {
			t.Errorf("block size %d: entries of the greatest number: have %d, want %d", size, have, want)
		}
	}
}

func TestSnapshotSizeAndOffset(t *testing.T) {
	for blocks := uint64(2); blocks < 200; blocks++ {
		_, g := newGeometry(t, format.CreateOptions{Size: int64(blocks) * 512, BlockSize: 512})
		want := int64(0)
		for want*8 < int64(blocks) {
			want += 4
		}
		if g.SnapshotSize() != want {
			t.Errorf("%d blocks: have %d, want %d", blocks, g.SnapshotSize(), want)
		}
		if off := g.Offset(format.Address(blocks)); off != int64(blocks)*512 {
			t.Errorf("block %d: have offset %d", blocks, off)
		}
		for a := range blocks + 3 {
			if have, want := g.InRange(format.Address(a)), a >= 2 && a < blocks; have != want {
				t.Errorf("address %d of %d blocks in range: have %v, want %v", a, blocks, have, want)
			}
		}
	}
}

func TestEntryCodec(t *testing.T) {
	for _, name := range blockhash.Names() {
		for _, size := range []int64{2, 256, 257, 1 << 16, 1<<16 + 1, 1 << 24, 1<<24 + 1, 1 << 32, 1<<32 + 1} {
			_, g := newGeometry(t, format.CreateOptions{Hash: name, Size: size * 512, BlockSize: 512})
			want := full()
			clear(want[g.HashSize:])
			for _, addr := range []uint64{0, 1, 2, 0x0102030405060708 % g.BlockCount, g.BlockCount - 1} {
				buf := bytes.Repeat([]byte{0xee}, g.EntrySize+3)
				g.PutEntry(buf, &format.Entry{Addr: format.Address(addr), Hash: want})
				if !bytes.Equal(buf[g.EntrySize:], []byte{0xee, 0xee, 0xee}) {
					t.Fatalf("%s, %d blocks: wrote past the entry: % x", name, size, buf)
				}
				for i := range g.AddrSize {
					if buf[i] != byte(addr>>(8*i)) {
						t.Fatalf("%s, %d blocks: address %d stands as % x", name, size, addr, buf[:g.AddrSize])
					}
				}
				e := format.Entry{Hash: full()}
				g.GetEntry(buf, &e)
				if e.Addr != format.Address(addr) || e.Hash != want || g.Addr(buf) != e.Addr {
					t.Fatalf("%s, %d blocks: have %+v, want address %d, hash %x", name, size, e, addr, want)
				}
			}
		}
	}
}

func TestIsZeroBlock(t *testing.T) {
	_, g := newGeometry(t, format.CreateOptions{Size: 1 << 20, BlockSize: 4096})
	for _, c := range []struct {
		e    format.Entry
		want bool
	}{
		{format.Entry{}, true},
		{format.Entry{Hash: g.ZeroHash}, true},
		{format.Entry{Hash: prefix(1)}, false},
		{format.Entry{Addr: 1}, false},
		{format.Entry{Addr: 1, Hash: g.ZeroHash}, false},
		{format.Entry{Addr: 2, Hash: g.ZeroHash}, false},
	} {
		if have := g.IsZeroBlock(&c.e); have != c.want {
			t.Errorf("%+v: have %v, want %v", c.e, have, c.want)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(uint8(0), bytes.Repeat([]byte{1, 2, 3}, 20))
	f.Add(uint8(5), make([]byte, 64))
	_, small := newGeometry(f, format.CreateOptions{Hash: "TIGER128", Size: 1 << 20, BlockSize: 4096})
	_, wide := newGeometry(f, format.CreateOptions{Hash: "BLAKE3-256", Size: 1 << 42, BlockSize: 512})
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		g := small
		if which%2 == 1 {
			g = wide
		}
		if len(data) < g.EntrySize {
			return
		}
		var e format.Entry
		g.GetEntry(data, &e)
		out := make([]byte, g.EntrySize)
		g.PutEntry(out, &e)
		if !bytes.Equal(out, data[:g.EntrySize]) {
			t.Errorf("% x came back as % x", data[:g.EntrySize], out)
		}
		if s := g.Ideal(&e.Hash); uint64(s) >= g.EntryCount {
			t.Errorf("ideal slot %d of %d for %x", s, g.EntryCount, e.Hash)
		}
	})
}
