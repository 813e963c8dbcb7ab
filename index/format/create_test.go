package format_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"tresor/index/format"
)

func TestNewConfigDefaults(t *testing.T) {
	c, err := format.NewConfig(format.CreateOptions{Size: 20 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if c.Hash != "BLAKE3" || c.HashSize != 24 || c.BlockSize != 131072 || c.Overflow != 1.3 || c.ReuseASAP ||
		c.IndexFilename != "ddfsidx" || c.BlockFilename != "ddfsblocks" || c.AutoBufferFlush != 60 || c.AutoSync != 120 {
		t.Errorf("have %+v", c)
	}
	// The example of the format page, section 2.
	want := format.Config{BlockCount: 163840, AddrSize: 3, NodeSize: 27, NodeCount: 213750, NodeBlockCount: 1409,
		FreeblockOffset: 65536, FreeblockSize: 20480, NodeOffset: 131072, IndexSize: 5902336, IndexBlockCount: 1441}
	if c.BlockCount != want.BlockCount || c.AddrSize != want.AddrSize || c.NodeSize != want.NodeSize || c.NodeCount != want.NodeCount ||
		c.NodeBlockCount != want.NodeBlockCount || c.FreeblockOffset != want.FreeblockOffset || c.FreeblockSize != want.FreeblockSize ||
		c.NodeOffset != want.NodeOffset || c.IndexSize != want.IndexSize || c.IndexBlockCount != want.IndexBlockCount {
		t.Errorf("have %+v\nwant %+v", c, want)
	}
}

// Every block count of a range and every overflow: what NewConfig makes is
// accepted when it is read back, and leaves spare slots for the last run.
func TestNewConfigIsReadable(t *testing.T) {
	for hundredths := 110; hundredths <= 1000; hundredths += 17 {
		for blocks := int64(2); blocks < 600; blocks += 3 {
			o := format.CreateOptions{Size: blocks*512 + blocks%512, BlockSize: 512, Overflow: float64(hundredths) / 100}
			readBack(t, o)
		}
	}
}

func readBack(t *testing.T, o format.CreateOptions) *format.Config {
	t.Helper()
	c, err := format.NewConfig(o)
	if err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	again, err := format.ParseConfig("p", c.Marshal())
	if err != nil || *again != *c {
		t.Fatalf("%+v: written and read again: have %+v, %v; want %+v", o, again, err, c)
	}
	if spare := float64(c.NodeCount) - float64(c.BlockCount)*c.Overflow; spare < 1 {
		t.Fatalf("%+v: %v spare slots", o, spare)
	}
	return c
}

func TestAddrSize(t *testing.T) {
	for _, c := range []struct {
		blocks int64
		want   int
	}{
		{2, 1}, {255, 1}, {256, 1}, {257, 2}, {65536, 2}, {65537, 3}, {1 << 24, 3}, {1<<24 + 1, 4},
		{1 << 32, 4}, {1<<32 + 1, 5}, {1 << 40, 5},
	} {
		// 1.25 is exact in single precision, so that it also serves the largest.
		if have := readBack(t, format.CreateOptions{Size: c.blocks * 512, BlockSize: 512, Overflow: 1.25}); have.AddrSize != c.want {
			t.Errorf("%d blocks: have %d bytes, want %d", c.blocks, have.AddrSize, c.want)
		}
	}
}

func TestNewConfigLargest(t *testing.T) {
	for _, hash := range []string{"TIGER", "BLAKE3-256"} {
		c := readBack(t, format.CreateOptions{Hash: hash, Size: math.MaxInt64 / 4, BlockSize: 2 << 20, Overflow: 10})
		useGeometry(t, c)
		if c.BlockCount != 1<<40-1 {
			t.Errorf("blocks of the largest volume: have %d", c.BlockCount)
		}
	}
}

func TestNewConfigOverflow(t *testing.T) {
	for _, c := range []struct{ give, want float64 }{
		{1.1, 1.1}, {10, 10}, {1.304, 1.3}, {1.306, 1.31}, {1.0951, 1.1}, {0, 1.3},
	} {
		have, err := format.NewConfig(format.CreateOptions{Size: 1 << 30, Overflow: c.give})
		if err != nil || have.Overflow != c.want {
			t.Errorf("overflow %v: have %+v, %v; want %v", c.give, have, err, c.want)
		}
	}
	// Rounded before anything is derived from it: the table is that of 1.30.
	a := readBack(t, format.CreateOptions{Size: 1 << 34, BlockSize: 4096, Overflow: 1.3049})
	if b := readBack(t, format.CreateOptions{Size: 1 << 34, BlockSize: 4096, Overflow: 1.3}); *a != *b {
		t.Errorf("overflow 1.3049: have %+v, want %+v", a, b)
	}
}

func TestNewConfigRefuses(t *testing.T) {
	ok := format.CreateOptions{Size: 1 << 30}
	for name, change := range map[string]func(o *format.CreateOptions){
		"no size":           func(o *format.CreateOptions) { o.Size = 0 },
		"negative size":     func(o *format.CreateOptions) { o.Size = -1 },
		"one block":         func(o *format.CreateOptions) { o.Size = 2*131072 - 1 },
		"too many blocks":   func(o *format.CreateOptions) { o.Size, o.BlockSize = 1<<50, 512 },
		"largest size":      func(o *format.CreateOptions) { o.Size = math.MaxInt64 },
		"block size 0 mod":  func(o *format.CreateOptions) { o.BlockSize = 3 << 12 },
		"block size small":  func(o *format.CreateOptions) { o.BlockSize = 256 },
		"block size large":  func(o *format.CreateOptions) { o.BlockSize = 4 << 20 },
		"block size minus":  func(o *format.CreateOptions) { o.BlockSize = math.MinInt },
		"overflow 1.09":     func(o *format.CreateOptions) { o.Overflow = 1.09 },
		"overflow 10.01":    func(o *format.CreateOptions) { o.Overflow = 10.01 },
		"overflow NaN":      func(o *format.CreateOptions) { o.Overflow = math.NaN() },
		"overflow infinite": func(o *format.CreateOptions) { o.Overflow = math.Inf(1) },
		"same names":        func(o *format.CreateOptions) { o.IndexFilename = "ddfsblocks" },
		"name in root":      func(o *format.CreateOptions) { o.IndexFilename = "ddfsroot/idx" },
		"name outside":      func(o *format.CreateOptions) { o.BlockFilename = "../blocks" },
		"name with newline": func(o *format.CreateOptions) { o.BlockFilename = "/a\nhash: SHA1" },
		"name with blank":   func(o *format.CreateOptions) { o.BlockFilename = "/a " },
		// 1.3 in single precision is smaller than the 1.30 read back; beyond
		// 1.4e10 blocks the spare slots no longer make up for it.
		"rounded overflow": func(o *format.CreateOptions) { o.Size = 16_000_000_000 << 17 },
	} {
		o := ok
		change(&o)
		if c, err := format.NewConfig(o); err == nil || c != nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: have %+v, %v; want an error", name, c, err)
		}
	}
	if _, err := format.NewConfig(format.CreateOptions{Size: 1 << 30, Hash: "tiger"}); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("unknown hash: have %v, want ErrUnsupported", err)
	}
}
