package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index/blockhash"
	"tresor/index/format"
	"tresor/index/mkfs"
)

func mkfsVerb() *Verb {
	return &Verb{
		Name: "mkfs", Calls: []string{"mkddumbfs"}, Args: "[OPTION...] PARENT",
		Short: "Makes a volume in an existing directory.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "made, and on the disk"},
			{Code: cli.ExitFailure, Text: "could not be made; also where --force is needed to go on"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "the directory's volume is mounted, or another process owns it"},
			{Code: cli.ExitNoSpace, Text: "no room for the volume"},
			{Code: cli.ExitNoVolume, Text: "the directory does not exist"},
			{Code: cli.ExitUnsupported, Text: "no such hash, or no such file type"},
		},
		new: func() runner { return new(makeVolume) },
	}
}

type makeVolume struct {
	o    mkfs.Options
	size sizeValue
	blk  sizeValue
	json bool
}

func (m *makeVolume) Flags(f *pflag.FlagSet) {
	f.BoolVarP(&m.o.Force, "force", "f", false, "go on over an old volume, whose files are lost, and over a directory that is not empty")
	f.BoolVarP(&m.o.ReuseASAP, "reuse-asap", "a", false, "fill freed blocks first, instead of the end of the block file")
	f.StringVarP(&m.o.IndexFilename, "index", "i", "", "index `FILE` or block device (default ddfsidx in PARENT)")
	f.StringVarP(&m.o.BlockFilename, "blocks", "b", "", "block `FILE` or block device (default ddfsblocks in PARENT)")
	f.StringVarP(&m.o.Hash, "hash", "H", blockhash.Default().Name(), "hash function: "+strings.Join(blockhash.Names(), ", "))
	f.VarP(&m.size, "size", "s", "`SIZE` of the block file, with k, M, G or T (default: of the device, else the free room)")
	m.blk = format.DefaultBlockSize
	f.VarP(&m.blk, "block-size", "B", "`SIZE` of a block, a power of two from 512 to 2M")
	f.Float64VarP(&m.o.Overflow, "overflow", "o", format.DefaultOverflow, "slots of the index for each block, 1.1 to 10")
	f.BoolVar(&m.json, "json", false, "print what was made as JSON")
}

func (m *makeVolume) Run(_ context.Context, s Streams, args []string) error {
	parent, err := oneArgument(args, "parent directory")
	if err != nil {
		return err
	}
	if m.blk > math.MaxInt32 {
		return arguments("block size %d: want at most %d", m.blk, format.MaxBlockSize)
	}
	m.o.Parent, m.o.Size, m.o.BlockSize = parent, int64(m.size), int(m.blk)
	// Its defaults stand for 0: what the user gave as 0 must be refused here.
	if m.o.BlockSize == 0 || m.o.Overflow == 0 {
		return arguments("block size and overflow cannot be 0")
	}
	r, err := mkfs.Make(m.o)
	if errors.Is(err, mkfs.ErrNotEmpty) {
		return cli.Hint(err, "an old volume is lost with -f; ddumbfs fsck -c "+parent+" tells whether there is one")
	}
	if err != nil {
		return err
	}
	for _, name := range r.Left {
		cli.Note(s.Err, "mkfs", "%s of the old volume is of no more use and was left", name)
	}
	if m.json {
		return cli.JSON(s.Out, madeVolume(r))
	}
	return m.print(s, r)
}

// made is the JSON form of a result: the keys of ddfs.cfg and where everything lies.
type made struct {
	Parent     string `json:"parent"`
	IndexPath  string `json:"index_path"`
	BlocksPath string `json:"blocks_path"`
	SizeFrom   string `json:"size_from"`
	Config     values `json:"config"`
}

func madeVolume(r *mkfs.Result) made {
	return made{
		Parent: r.Dir, IndexPath: r.IndexPath, BlocksPath: r.BlocksPath, SizeFrom: string(r.SizeFrom),
		Config: parseValues(string(r.Config.Marshal())),
	}
}

func (m *makeVolume) print(s Streams, r *mkfs.Result) error {
	c := r.Config
	size := format.FormatSize(int64(c.BlockCount) * int64(c.BlockSize))
	_, err := fmt.Fprintf(s.Out, "%s\nmade a volume of %d blocks of %s in %s: room for %s of different data (%s), hash %s, index of %s in %s\nnext: ddumbfs mount %s MNT\n",
		c.Marshal(), c.BlockCount, format.FormatSize(int64(c.BlockSize)), r.Dir, size, r.SizeFrom, c.Hash,
		format.FormatSize(c.IndexSize), filepath.Base(r.IndexPath), r.Dir)
	return err
}

// sizeValue is an option that takes a size, read by the one size parser.
type sizeValue int64

func (v *sizeValue) String() string {
	if *v == 0 {
		return ""
	}
	return format.FormatSize(int64(*v))
}

// Set refuses 0, which would mean the default to mkfs.
func (v *sizeValue) Set(s string) error {
	n, err := format.ParseSize(s)
	if err == nil && n == 0 {
		err = fmt.Errorf("size %s: want more than 0", strconv.Quote(s))
	}
	*v = sizeValue(n)
	return err
}

// Type is the placeholder in the list of options.
func (v *sizeValue) Type() string { return "SIZE" }
