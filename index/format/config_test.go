package format_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tresor/index/format"
	"tresor/integration/goldenvol"
)

// golden reads the configuration of a golden volume.
func golden(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldenvol.Unpack(t, name), format.ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// createOptions turns the options of mkddumbfs in a golden .mkfs file into ours.
func createOptions(t testing.TB, name string) format.CreateOptions {
	t.Helper()
	var o format.CreateOptions
	args := goldenvol.MkfsArgs(t, name)
	value := func(i int) int64 {
		v, err := strconv.ParseInt(args[i+1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i, arg := range args {
		switch arg {
		case "-H":
			o.Hash = args[i+1]
		case "-B":
			o.BlockSize = int(value(i))
		case "-s":
			o.Size = value(i)
		case "-a":
			o.ReuseASAP = true
		default:
			if strings.HasPrefix(arg, "-") {
				t.Fatalf("options of %s: %q is not known here", name, arg)
			}
		}
	}
	return o
}

func TestNewConfigIsTheOriginals(t *testing.T) {
	for _, name := range goldenvol.Names(goldenvol.Empty) {
		t.Run(name, func(t *testing.T) {
			c, err := format.NewConfig(createOptions(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if have, want := string(c.Marshal()), golden(t, name); have != want {
				t.Errorf("have\n%s\nwant\n%s", have, want)
			}
		})
	}
}

func TestParseMarshalRoundTrip(t *testing.T) {
	for _, name := range goldenvol.All() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := golden(t, name)
			c, err := format.ParseConfig("ddfs.cfg", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if have := string(c.Marshal()); have != text {
				t.Errorf("have\n%s\nwant\n%s", have, text)
			}
			if _, err := c.Geometry(); err != nil {
				t.Errorf("geometry: %v", err)
			}
		})
	}
}

// valid is a small volume that the tests below damage.
const valid = `file_header_size: 16
hash: TIGER
hash_size: 24
block_size: 4096
index_block_size: 4096
node_overflow: 1.30
reuse_asap: 0
auto_buffer_flush: 60
auto_sync: 120
partition_size: 16777216
block_count: 4096
addr_size: 2
node_size: 26
node_count: 6144
node_block_count: 39
freeblock_offset: 65536
freeblock_size: 512
node_offset: 131072
index_size: 290816
index_block_count: 71
root_directory: ddfsroot
block_filename: ddfsblocks
index_filename: ddfsidx
`

// replace sets the values of keys ("key: value" each) in valid; "key" alone
// removes the line.
func replace(t testing.TB, lines ...string) string {
	t.Helper()
	text := valid
	for _, line := range lines {
		key, _, keep := strings.Cut(line, ":")
		start := strings.Index("\n"+text, "\n"+key+":")
		if start < 0 {
			t.Fatalf("no key %q", key)
		}
		end := start + strings.IndexByte(text[start:], '\n') + 1
		if keep {
			line += "\n"
		} else {
			line = ""
		}
		text = text[:start] + line + text[end:]
	}
	return text
}

func TestParseConfigAccepts(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		check func(c *format.Config) bool
	}{
		"old release": {
			replace(t, "auto_buffer_flush", "auto_sync", "freeblock_offset: 4096", "node_offset: 8192", "index_size: 167936", "index_block_count: 41"),
			func(c *format.Config) bool {
				return c.AutoBufferFlush == 60 && c.AutoSync == 120 && c.FreeblockOffset == 4096 && c.NodeOffset == 8192
			},
		},
		"other times":          {replace(t, "auto_buffer_flush: 0", "auto_sync: 7"), func(c *format.Config) bool { return c.AutoBufferFlush == 0 && c.AutoSync == 7 }},
		"no root directory":    {replace(t, "root_directory"), func(c *format.Config) bool { return c.RootDirectory == "ddfsroot" }},
		"other root directory": {replace(t, "root_directory: elsewhere"), func(c *format.Config) bool { return c.RootDirectory == "elsewhere" }},
		"spaces and CRLF":      {strings.ReplaceAll(strings.ReplaceAll(valid, ": ", "\t : "), "\n", " \r\n"), func(c *format.Config) bool { return c.IndexFilename == "ddfsidx" }},
		"no last newline":      {strings.TrimSuffix(valid, "\n"), func(c *format.Config) bool { return c.IndexFilename == "ddfsidx" }},
		"unknown key":          {valid + "colour: blue\n\n", func(c *format.Config) bool { return true }},
		"colon in a name":      {replace(t, "index_filename: /a:b/idx"), func(c *format.Config) bool { return c.IndexFilename == "/a:b/idx" }},
		"TIGER192":             {replace(t, "hash: TIGER192"), func(c *format.Config) bool { return c.Hash == "TIGER192" }},
		"one decimal":          {replace(t, "node_overflow: 1.3"), func(c *format.Config) bool { return c.Overflow == 1.3 }},
		"rest of a block":      {replace(t, "partition_size: 16781311"), func(c *format.Config) bool { return c.PartitionSize == 16781311 }},
		"subdirectory":         {replace(t, "index_filename: sub/idx"), func(c *format.Config) bool { return c.IndexFilename == "sub/idx" }},
		"wider address": {replace(t, "addr_size: 3", "node_size: 27", "node_count: 5916"),
			func(c *format.Config) bool { return c.AddrSize == 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			have, err := format.ParseConfig("p", []byte(c.text))
			if err != nil {
				t.Fatalf("%q: %v", c.text, err)
			}
			if !c.check(have) {
				t.Errorf("%q: have %+v", c.text, have)
			}
		})
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, lines := range [][]string{
		{"file_header_size: 17"}, {"file_header_size"}, {"file_header_size: -16"}, {"file_header_size: 0x10"},
		{"hash_size: 20"}, {"hash_size:"}, {"hash: SHA1"},
		{"block_size: 4095"}, {"block_size: 256"}, {"block_size: 4194304"}, {"block_size: 0"}, {"block_size: 99999999999"}, {"block_size: 8192"},
		{"index_block_size: 512"},
		{"node_overflow: 1.00"}, {"node_overflow: 10.01"}, {"node_overflow: 1.305"}, {"node_overflow: 1,30"}, {"node_overflow: 1.5"},
		{"node_overflow: NaN"}, {"node_overflow: inf"}, {"node_overflow: 13e-1"}, {"node_overflow: -1.30"},
		{"reuse_asap: 2"}, {"reuse_asap: yes"},
		{"auto_sync: -1"}, {"auto_buffer_flush: 1e3"},
		{"partition_size: 16777215"}, {"partition_size: 16781312"}, {"partition_size"},
		{"block_count: 4097"}, {"block_count: 4095"}, {"block_count: 1"}, {"block_count: 0"}, {"block_count: 9223372036854775807"},
		{"addr_size: 1"}, {"addr_size: 3"}, {"addr_size: 0"}, {"addr_size: 9"},
		{"node_size: 25"}, {"node_size: 0"},
		{"node_count: 6145"}, {"node_count: 0"}, {"node_count: 6143"},
		{"node_block_count: 38"}, {"node_block_count: 0"}, {"node_block_count: 4503599627370495"},
		// Fits its pages, but the greatest hashes would stand past the end.
		{"node_count: 5198", "node_block_count: 33", "index_size: 266240", "index_block_count: 65"},
		{"freeblock_offset: 0"}, {"freeblock_offset: 65535"}, {"freeblock_offset: 9223372036854771712"}, {"freeblock_offset: 131072"},
		{"freeblock_size: 511"}, {"freeblock_size: 513"},
		{"node_offset: 65536"}, {"node_offset: 131073"}, {"node_offset: 135168"}, {"node_offset: 9223372036854771712"},
		{"index_size: 290815"}, {"index_size: 0"}, {"index_block_count: 72"},
		{"block_filename"}, {"block_filename:"}, {"block_filename: ../x"}, {"block_filename: a/../../x"}, {"block_filename: ddfsroot/x"},
		{"block_filename: ddfsroot"}, {"block_filename: ."}, {"block_filename: ddfs.cfg"}, {"block_filename: a\x00b"}, {"block_filename: x/"},
		{"index_filename: ./ddfsusedblocks"}, {"index_filename: .autofsck"}, {"index_filename: ddfsblocks"}, {"index_filename: ./ddfsblocks"},
		{"index_filename: " + strings.Repeat("x", 5000)},
	} {
		t.Run(strings.Join(lines, ","), func(t *testing.T) {
			c, err := format.ParseConfig("/v/ddfs.cfg", []byte(replace(t, lines...)))
			if err == nil {
				t.Fatalf("have %+v, want an error", c)
			}
			var e *format.ConfigError
			if !errors.Is(err, format.ErrCorrupt) || !errors.As(err, &e) || e.Path != "/v/ddfs.cfg" || e.Key == "" || e.Want == "" || e.Have == "" {
				t.Errorf("have %v (%#v), want a ConfigError with path, key, want and have", err, err)
			}
			if key, _, keep := strings.Cut(lines[0], ":"); keep && len(lines) == 1 && e.Key == key && e.Line == 0 {
				t.Errorf("have %v, want the line of %s", err, key)
			}
		})
	}
}

func TestParseConfigRefusesText(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no colon": valid + "rubbish\n", "twice": valid + "addr_size: 2\n",
		"too long": valid + strings.Repeat("\n", 64<<10), "zeros": strings.Repeat("\x00", 452),
		"cut": valid[:len(valid)/2],
	} {
		if _, err := format.ParseConfig("p", []byte(text)); !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%s: have %v, want ErrCorrupt", name, err)
		}
	}
	const want = "configuration /v/ddfs.cfg line 4, block_size: want a power of two from 512 to 2097152, have 4095"
	if _, err := format.ParseConfig("/v/ddfs.cfg", []byte(replace(t, "block_size: 4095"))); err == nil || err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
	_, err := format.ParseConfig("/v/ddfs.cfg", []byte(replace(t, "hash: WHIRLPOOL")))
	if !errors.Is(err, format.ErrUnsupported) || errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), "/v/ddfs.cfg line 2") {
		t.Errorf("unknown hash: have %v, want ErrUnsupported with path and line", err)
	}
}

// Every single changed byte is either refused or leaves a configuration whose
// geometry can be used.
func TestParseConfigByteFlips(t *testing.T) {
	for i := range len(valid) {
		for bit := range 8 {
			text := []byte(valid)
			text[i] ^= 1 << bit
			c, err := format.ParseConfig("p", text)
			if err != nil {
				continue
			}
			useGeometry(t, c)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(replace(f, "auto_sync", "freeblock_offset: 4096")))
	f.Add([]byte("hash: BLAKE3\n: \n::"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := format.ParseConfig("p", data)
		if err != nil {
			return
		}
		useGeometry(t, c)
		again, err := format.ParseConfig("p", c.Marshal())
		if err != nil || *again != *c {
			t.Errorf("written and read again: have %+v, %v; want %+v", again, err, c)
		}
	})
}
