package format

import (
	"strconv"
	"strings"
)

// Config is the content of ddfs.cfg. The fields stand in the order in which
// the original writes them (format page, section 2); sizes are in bytes.
type Config struct {
	FileHeaderSize  int
	Hash            string // on-disk name of the hash function, as written
	HashSize        int
	BlockSize       int
	IndexBlockSize  int
	Overflow        float64 // slots for each block, the value as printed: two decimals
	ReuseASAP       bool    // a reclaim sends the allocation cursor back to block 2
	AutoBufferFlush int     // seconds
	AutoSync        int     // seconds
	PartitionSize   int64   // as asked for at creation
	BlockCount      uint64
	AddrSize        int
	NodeSize        int    // of an entry: AddrSize + HashSize
	NodeCount       uint64 // slots in the table
	NodeBlockCount  uint64 // index pages of the table
	FreeblockOffset int64  // of the used-block bitmap in the index file
	FreeblockSize   int64
	NodeOffset      int64 // of the table in the index file
	IndexSize       int64 // of the index file
	IndexBlockCount uint64
	RootDirectory   string // kept, never used: the root is always RootName
	BlockFilename   string // absolute, or below the parent directory
	IndexFilename   string // absolute, or below the parent directory
}

// field is one key of the configuration: its spelling and how its value is
// written and read. set returns what was wanted where the text does not fit.
type field struct {
	key      string
	optional bool // may be absent, the default then holds
	get      func(c *Config) string
	set      func(c *Config, text string) (want string)
}

// fields is the one list of keys, in the original's order.
func fields() []field {
	return []field{
		intField("file_header_size", func(c *Config) *int { return &c.FileHeaderSize }),
		textField("hash", func(c *Config) *string { return &c.Hash }),
		intField("hash_size", func(c *Config) *int { return &c.HashSize }),
		intField("block_size", func(c *Config) *int { return &c.BlockSize }),
		intField("index_block_size", func(c *Config) *int { return &c.IndexBlockSize }),
		overflowField("node_overflow"),
		boolField("reuse_asap", func(c *Config) *bool { return &c.ReuseASAP }),
		optional(intField("auto_buffer_flush", func(c *Config) *int { return &c.AutoBufferFlush })),
		optional(intField("auto_sync", func(c *Config) *int { return &c.AutoSync })),
		int64Field("partition_size", func(c *Config) *int64 { return &c.PartitionSize }),
		countField("block_count", func(c *Config) *uint64 { return &c.BlockCount }),
		intField("addr_size", func(c *Config) *int { return &c.AddrSize }),
		intField("node_size", func(c *Config) *int { return &c.NodeSize }),
		countField("node_count", func(c *Config) *uint64 { return &c.NodeCount }),
		countField("node_block_count", func(c *Config) *uint64 { return &c.NodeBlockCount }),
		int64Field("freeblock_offset", func(c *Config) *int64 { return &c.FreeblockOffset }),
		int64Field("freeblock_size", func(c *Config) *int64 { return &c.FreeblockSize }),
		int64Field("node_offset", func(c *Config) *int64 { return &c.NodeOffset }),
		int64Field("index_size", func(c *Config) *int64 { return &c.IndexSize }),
		countField("index_block_count", func(c *Config) *uint64 { return &c.IndexBlockCount }),
		optional(textField("root_directory", func(c *Config) *string { return &c.RootDirectory })),
		textField("block_filename", func(c *Config) *string { return &c.BlockFilename }),
		textField("index_filename", func(c *Config) *string { return &c.IndexFilename }),
	}
}

// Marshal is the text of c, byte for byte as the original writes it. A Config
// that came from ParseConfig or NewConfig comes back equal from ParseConfig.
func (c *Config) Marshal() []byte {
	var b strings.Builder
	for _, f := range fields() {
		b.WriteString(f.key)
		b.WriteString(": ")
		b.WriteString(f.get(c))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

func optional(f field) field {
	f.optional = true
	return f
}

func textField(key string, at func(*Config) *string) field {
	return field{
		key: key,
		get: func(c *Config) string { return *at(c) },
		set: func(c *Config, text string) string {
			*at(c) = text
			return ""
		},
	}
}

func boolField(key string, at func(*Config) *bool) field {
	return field{
		key: key,
		get: func(c *Config) string {
			if *at(c) {
				return "1"
			}
			return "0"
		},
		set: func(c *Config, text string) string {
			*at(c) = text == "1"
			if text != "0" && text != "1" {
				return "0 or 1"
			}
			return ""
		},
	}
}

// number makes a field of decimal digits; a sign is no digit.
func number(key string, bits int, get func(*Config) uint64, set func(*Config, uint64)) field {
	return field{
		key: key,
		get: func(c *Config) string { return strconv.FormatUint(get(c), 10) },
		set: func(c *Config, text string) string {
			v, err := strconv.ParseUint(text, 10, bits)
			if err != nil {
				return "a decimal number below 2^" + strconv.Itoa(bits)
			}
			set(c, v)
			return ""
		},
	}
}

func intField(key string, at func(*Config) *int) field {
	return number(key, 31, func(c *Config) uint64 { return uint64(*at(c)) },
		func(c *Config, v uint64) { *at(c) = int(v) })
}

func int64Field(key string, at func(*Config) *int64) field {
	return number(key, 63, func(c *Config) uint64 { return uint64(*at(c)) },
		func(c *Config, v uint64) { *at(c) = int64(v) })
}

func countField(key string, at func(*Config) *uint64) field {
	return number(key, 63, func(c *Config) uint64 { return *at(c) },
		func(c *Config, v uint64) { *at(c) = v })
}

func overflowField(key string) field {
	return field{
		key: key,
		get: func(c *Config) string { return strconv.FormatFloat(c.Overflow, 'f', 2, 64) },
		set: func(c *Config, text string) string {
			v, err := strconv.ParseFloat(text, 64)
			// Digits and a point only: the parser also knows exponents, hex,
			// infinities and underscores, which no version ever wrote.
			if err != nil || strings.Trim(text, "0123456789.") != "" {
				return "a decimal number like 1.30"
			}
			c.Overflow = v
			return ""
		},
	}
}
