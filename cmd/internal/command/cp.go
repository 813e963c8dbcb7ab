package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/format"
)

func cpVerb() *Verb {
	return &Verb{
		Name: "cp", Calls: []string{"cpddumbfs"}, Args: "[OPTION...] SRC DST",
		Short: "Copies a file into or out of a volume, mounted or not, without the way through the kernel.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "copied"},
			{Code: cli.ExitFailure, Text: "not copied, or a block is bad (with --force: copied with zeros there)"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitBusy, Text: "another process owns the volume to be written, and does not serve a mount; or it is too busy"},
			{Code: cli.ExitCorrupt, Text: "the volume to be written was not closed cleanly, or the stored file has a bad header"},
			{Code: cli.ExitNoSpace, Text: "no room; what was there before is still there"},
			{Code: cli.ExitNoVolume, Text: "there is no volume, or no such file"},
			{Code: cli.ExitUnsupported, Text: "a valid volume that this program cannot serve"},
			{Code: cli.ExitInterrupted, Text: "interrupted; what was there before is still there"},
		},
		new: func() runner { return &copyFile{in: os.Stdin} },
	}
}

type copyFile struct {
	verbose, check, force, lock bool
	dryRun, json                bool
	index, blocks               string

	in io.Reader // what `-` reads
}

func (v *copyFile) Flags(f *pflag.FlagSet) {
	f.BoolVarP(&v.verbose, "verbose", "v", false, "list the file's blocks: number, address, begin of the hash, status")
	f.BoolVarP(&v.lock, "lock-index", "l", false, "keep the index in physical memory")
	f.BoolVarP(&v.check, "check", "c", false, "say OK or ERR at the end; of a file that was stored, after reading it back")
	f.BoolVarP(&v.force, "force", "f", false, "go on over bad blocks of a stored file, zeros stand for them; overwrite parts of another volume")
	f.BoolVarP(&v.dryRun, "dry-run", "n", false, "say what would be copied where, and copy nothing")
	f.StringVar(&v.index, "index", "", "index `FILE` to use instead of the configured one")
	f.StringVar(&v.blocks, "blocks", "", "block `FILE` to use instead of the configured one")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
}

// stored is the side of a copy that lies in a volume.
type stored struct {
	parent, path string
	byMount      bool // it was named by a path in the mounted tree
}

func (s stored) String() string { return filepath.Join(s.parent, format.RootName, s.path) }

// copied is the JSON form of a copy.
type copied struct {
	Direction string            `json:"direction"` // in or out
	Volume    string            `json:"volume"`
	Path      string            `json:"path"` // relative to the tree of files
	Outside   string            `json:"outside"`
	Served    bool              `json:"served"` // done by the process that serves the volume
	Seconds   float64           `json:"seconds"`
	DryRun    bool              `json:"dry_run"`
	Replaces  bool              `json:"replaces"`
	Read      *transfer.Read    `json:"read,omitempty"`
	Written   *transfer.Written `json:"written,omitempty"`
}

func (v *copyFile) Run(ctx context.Context, s Streams, args []string) error {
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return arguments("want a source and a destination, have %d arguments", len(args))
	}
	from, fromStored := findStored(args[0])
	to, toStored := findStored(args[1])
	start := time.Now()
	var c *copied
	var err error
	switch {
	case fromStored && toStored && from.byMount && from.parent != to.parent: // a file like any other
		c, err = v.copyIn(ctx, s, args[0], to)
	case fromStored && toStored && to.byMount && from.parent != to.parent:
		c, err = v.copyOut(ctx, s, from, args[1])
	case fromStored && toStored && from.parent == to.parent && (from.byMount || mountOfPath(from.parent) != nil):
		return arguments("both %s and %s lie in one volume: cp copies there without reading a block", args[0], args[1])
	case fromStored && toStored:
		return arguments("both %s and %s lie in a volume: mount it and copy there", args[0], args[1])
	case fromStored:
		c, err = v.copyOut(ctx, s, from, args[1])
	case toStored:
		c, err = v.copyIn(ctx, s, args[0], to)
	default:
		return arguments("neither %s nor %s lies under the %s of a volume", args[0], args[1], format.RootName)
	}
	if c == nil {
		return err
	}
	c.Seconds = time.Since(start).Seconds()
	if v.check && !v.dryRun {
		verdict := "OK"
		if err != nil {
			verdict = "ERR"
		}
		fmt.Fprintln(s.Err, verdict)
	}
	if v.json {
		out := s.Out
		if c.Outside == "-" && c.Direction == "out" {
			out = s.Err // the file itself is there
		}
		err = errors.Join(err, cli.JSON(out, c))
	}
	return err
}

// findStored tells whether a path lies under the tree of files of a volume, or is of the form PARENT:PATH where no file has that name.
func findStored(name string) (stored, bool) {
	if name == "-" {
		return stored{}, false
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return stored{}, false
	}
	if s, ok := splitMounted(abs); ok {
		return s, true
	}
	if s, ok := splitStored(abs); ok {
		return s, true
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		if s, ok := splitStored(filepath.Join(real, filepath.Base(abs))); ok {
			return s, true
		}
	}
	parent, path, ok := strings.Cut(name, ":")
	path = filepath.Clean(strings.TrimLeft(path, "/"))
	if _, err := os.Lstat(name); !ok || !filepath.IsLocal(path) || parent == "" || !errors.Is(err, fs.ErrNotExist) || !isVolume(parent) {
		return stored{}, false
	}
	abs, err = filepath.Abs(parent)
	return stored{parent: abs, path: path}, err == nil
}

// splitMounted tells whether a path lies in the tree of a mounted volume. The directory that it lies in is followed through symlinks.
func splitMounted(abs string) (stored, bool) {
	list, err := index.Mounts()
	if err != nil {
		return stored{}, false
	}
	path := abs
	if mounted.At(list, abs) == nil { // the name of a mount point is the directory's
		if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			path = filepath.Join(dir, filepath.Base(abs))
		}
	}
	m := mountAround(list, path)
	if m == nil || !m.Volume() {
		return stored{}, false
	}
	rel, err := filepath.Rel(m.Point, path)
	return stored{parent: m.Source, path: strings.TrimPrefix(filepath.Join(m.Root, rel), "/"), byMount: true}, err == nil
}

// splitStored cuts an absolute path at the tree of files that it lies in; the innermost counts.
func splitStored(abs string) (stored, bool) {
	for dir := abs; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if parent := filepath.Dir(dir); filepath.Base(dir) == format.RootName && isVolume(parent) {
			rel, err := filepath.Rel(dir, abs)
			return stored{parent: parent, path: rel}, err == nil
		}
	}
	return stored{}, false
}

func isVolume(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, format.ConfigName))
	return err == nil && info.Mode().IsRegular()
}

// outsideOnly refuses a file outside that is a part of the volume: it would be destroyed, or be read while it changes.
func outsideOnly(p *index.Parent, name string) error {
	real, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = filepath.EvalSymlinks(filepath.Dir(name))
		real = filepath.Join(real, filepath.Base(name))
	}
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return err
	}
	own := strings.HasPrefix(real, strings.TrimSuffix(p.Dir, "/")+"/")
	if info, err := os.Stat(name); err == nil {
		for _, part := range []string{p.IndexPath, p.BlocksPath} {
			other, err := os.Stat(part)
			own = own || err == nil && os.SameFile(info, other)
		}
	}
	if own {
		return arguments("%s is a part of the volume %s itself", name, p.Dir)
	}
	return nil
}

// listBlock prints one line of -v.
func listBlock(w io.Writer) func(b transfer.Block) {
	return func(b transfer.Block) {
		number := fmt.Sprint(b.Number)
		if b.Count > 1 {
			number = fmt.Sprintf("%d-%d", b.Number, b.Number+b.Count-1)
		}
		fmt.Fprintf(w, "%s %d %x %s\n", number, b.Entry.Addr, b.Entry.Hash[:8], b.Status)
	}
}
