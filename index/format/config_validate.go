package format

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"tresor/index/blockhash"
)

// check is one condition on a Config. want and have are called only for the
// error text.
type check struct {
	key  string
	ok   bool
	want string
	have any
}

// first returns the first check that failed.
func first(checks []check) error {
	for _, c := range checks {
		if !c.ok {
			return &ConfigError{Key: c.key, Want: c.want, Have: fmt.Sprint(c.have)}
		}
	}
	return nil
}

// validate checks every value and how the values fit together. Errors are
// *ConfigError, or of class ErrUnsupported for an unknown hash function. The
// order matters: each group may compute with what the former ones bounded.
func (c *Config) validate() error {
	for _, group := range []func() error{c.checkConstants, c.checkHash, c.checkBlocks, c.checkTable, c.checkIndex, c.checkNames} {
		if err := group(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkConstants() error {
	return first([]check{
		{"file_header_size", c.FileHeaderSize == FileHeaderSize, strconv.Itoa(FileHeaderSize), c.FileHeaderSize},
		{"index_block_size", c.IndexBlockSize == IndexPage, strconv.Itoa(IndexPage), c.IndexBlockSize},
		{"auto_buffer_flush", c.AutoBufferFlush >= 0 && c.AutoBufferFlush <= math.MaxInt32, "seconds", c.AutoBufferFlush},
		{"auto_sync", c.AutoSync >= 0 && c.AutoSync <= math.MaxInt32, "seconds", c.AutoSync},
	})
}

func (c *Config) checkHash() error {
	kind, err := blockhash.Lookup(c.Hash)
	if err != nil {
		return Mark(ErrUnsupported, err)
	}
	return first([]check{
		{"hash_size", c.HashSize == kind.Size(), fmt.Sprintf("%d for %s", kind.Size(), c.Hash), c.HashSize},
	})
}

func (c *Config) checkBlocks() error {
	if !validBlockSize(c.BlockSize) {
		return &ConfigError{Key: "block_size", Want: fmt.Sprintf("a power of two from %d to %d", MinBlockSize, MaxBlockSize),
			Have: strconv.Itoa(c.BlockSize)}
	}
	return first([]check{
		{"block_count", c.BlockCount >= MinBlockCount && c.BlockCount <= MaxBlockCount,
			fmt.Sprintf("%d to %d", MinBlockCount, uint64(MaxBlockCount)), c.BlockCount},
		{"partition_size", c.PartitionSize >= 0 && uint64(c.PartitionSize)/uint64(c.BlockSize) == c.BlockCount,
			fmt.Sprintf("block_count %d x block_size %d and less than a block more", c.BlockCount, c.BlockSize), c.PartitionSize},
	})
}

func (c *Config) checkTable() error {
	if err := first([]check{
		{"addr_size", c.AddrSize >= addrSize(c.BlockCount) && c.AddrSize <= MaxAddrSize,
			fmt.Sprintf("%d to %d for %d blocks", addrSize(c.BlockCount), MaxAddrSize, c.BlockCount), c.AddrSize},
		{"node_size", c.NodeSize == c.AddrSize+c.HashSize, fmt.Sprintf("addr_size %d + hash_size %d", c.AddrSize, c.HashSize), c.NodeSize},
		{"node_overflow", c.Overflow >= MinOverflow && c.Overflow <= MaxOverflow && c.Overflow == roundOverflow(c.Overflow),
			fmt.Sprintf("%.2f to %d.00 with two decimals", MinOverflow, MaxOverflow), c.Overflow},
		// Bounds the next product; no valid table comes near.
		{"node_block_count", c.NodeBlockCount > 0 && c.NodeBlockCount < 1<<40, "1 to 2^40", c.NodeBlockCount},
	}); err != nil {
		return err
	}
	slots := c.NodeBlockCount * IndexPage / uint64(c.NodeSize)
	return first([]check{
		{"node_count", c.NodeCount == slots, fmt.Sprintf("%d, what fills %d pages", slots, c.NodeBlockCount), c.NodeCount},
		// The greatest hash scales to the product itself, so it must lie below.
		{"node_count", c.maxIdeal() < float64(c.NodeCount),
			fmt.Sprintf("more than block_count %d x node_overflow %.2f", c.BlockCount, c.Overflow), c.NodeCount},
	})
}

// maxIdeal is the ideal slot of the greatest hash, before truncation.
func (c *Config) maxIdeal() float64 {
	return float64(float64(math.MaxUint64) * idealScale(c.BlockCount, c.Overflow))
}

func (c *Config) checkIndex() error {
	bitmap := int64(c.BlockCount+7) / 8
	table := int64(c.NodeBlockCount) * IndexPage
	if err := first([]check{
		{"freeblock_offset", c.FreeblockOffset >= IndexPage && c.FreeblockOffset%IndexPage == 0 && c.FreeblockOffset < 1<<60,
			fmt.Sprintf("a multiple of %d, not 0, below 2^60", IndexPage), c.FreeblockOffset},
		{"freeblock_size", c.FreeblockSize == bitmap, fmt.Sprintf("%d for %d blocks", bitmap, c.BlockCount), c.FreeblockSize},
	}); err != nil {
		return err
	}
	end := c.FreeblockOffset + c.FreeblockSize
	if err := first([]check{
		{"node_offset", c.NodeOffset >= end && c.NodeOffset%IndexPage == 0 && c.NodeOffset < 1<<61,
			fmt.Sprintf("a multiple of %d from %d on (the end of the bitmap), below 2^61", IndexPage, end), c.NodeOffset},
	}); err != nil {
		return err
	}
	return first([]check{
		{"index_size", c.IndexSize == c.NodeOffset+table, fmt.Sprintf("node_offset %d + %d", c.NodeOffset, table), c.IndexSize},
		{"index_block_count", c.IndexBlockCount == uint64(c.IndexSize)/IndexPage,
			fmt.Sprintf("index_size %d / %d", c.IndexSize, IndexPage), c.IndexBlockCount},
	})
}

func (c *Config) checkNames() error {
	const want = "an absolute path, or a name below the parent directory that is none of the volume's other files"
	return first([]check{
		{"root_directory", oneLine(c.RootDirectory), "one line of text", quote(c.RootDirectory)},
		{"block_filename", ValidFilename(c.BlockFilename), want, quote(c.BlockFilename)},
		{"index_filename", ValidFilename(c.IndexFilename), want, quote(c.IndexFilename)},
		{"index_filename", filepath.Clean(c.IndexFilename) != filepath.Clean(c.BlockFilename),
			"another name than block_filename", quote(c.IndexFilename)},
	})
}

// oneLine reports whether s survives being written to a line and trimmed.
func oneLine(s string) bool {
	return s == trim(s) && !strings.ContainsAny(s, "\x00\n") && len(s) <= 4095
}

// ValidFilename reports whether s may name the index or block file: an absolute
// path, or a name relative to the parent directory. A relative
// name must stay inside the parent directory and off the files that have other
// uses: a hostile configuration could otherwise have them overwritten.
func ValidFilename(s string) bool {
	if s == "" || !oneLine(s) || strings.HasSuffix(s, "/") {
		return false
	}
	if filepath.IsAbs(s) {
		return true
	}
	if !filepath.IsLocal(s) {
		return false
	}
	head, _, _ := strings.Cut(filepath.Clean(s), "/")
	switch head {
	case ".", ConfigName, SnapshotName, SnapshotRotation0, SnapshotRotation1,
		DirtyName, CleanName, RebuildName, SocketName, RootName, QuarantineName:
		return false
	}
	return !strings.HasPrefix(head, stateNames)
}

// stateNames is what the names of all our own small files begin with.
const stateNames = ".ddfs"

func validBlockSize(n int) bool {
	return n >= MinBlockSize && n <= MaxBlockSize && n&(n-1) == 0
}

// roundOverflow is the overflow as it is printed and read back.
func roundOverflow(o float64) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(o, 'f', 2, 64), 64)
	if err != nil {
		return 0
	}
	return v
}

// addrSize is the least number of bytes that can count blocks.
func addrSize(blocks uint64) int {
	n := 1
	for n < MaxAddrSize && uint64(1)<<(8*n) < blocks {
		n++
	}
	return n
}
