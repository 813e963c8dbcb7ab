package fs

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tresor/index"
	"tresor/index/format"
)

// Options of a mount. DefaultOptions has the values that hold when nothing is said.
type Options struct {
	// Parent is the volume's parent directory, MountPoint an existing directory outside of it.
	Parent, MountPoint string
	// Index and Blocks replace the configured paths when not empty. An index that is not the configured one is checked against
	// the files before the volume is served.
	Index, Blocks string
	// Pool is the number of writers: 0 none (every write hashes for itself), below 0 -Pool percent of the processors.
	Pool int
	// LockIndex keeps the index in physical memory.
	LockIndex bool
	// DirectIO is whether the block file is read and written past the page cache: "auto", "on" or "off". Accepted for the original's sake;
	// the page cache is used in every case so far.
	DirectIO string
	// ReclaimAt starts a reclaim when so many percent of the blocks are allocated, then half way from there to 100 each time; 0 never.
	ReclaimAt int
	// Check repairs the volume before it is served, even if it was closed cleanly.
	Check bool
	// ReadOnly serves the volume without changing anything, not even repairing it.
	ReadOnly bool
	// Verify is "first", "always" or "off"; Lost is "eio" or "zeros".
	Verify, Lost string
	// Checkpoint is how many bytes of new blocks make a checkpoint due: what a repair has to hash at most after a crash.
	Checkpoint int64
	// EntryTimeout, AttrTimeout and NegativeTimeout are how long the kernel may rely on names, attributes, and on names that are not there.
	EntryTimeout, AttrTimeout, NegativeTimeout time.Duration
	// Handles is "auto", "always" or "never": which file handles go past the page cache of the mount.
	Handles string
	// VerifyLinks reads a block before new data is linked to it for the first time since the mount.
	VerifyLinks bool
	// Discard tells a block device below which blocks a reclaim has freed.
	Discard bool
	// FuseOptions go to mount(2) or the kernel as they are.
	FuseOptions []string
	Debug       bool
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{Pool: -100, LockIndex: true, DirectIO: "auto", ReclaimAt: 95, Verify: "first", Lost: "eio",
		Checkpoint: index.DefaultCheckpoint, EntryTimeout: time.Minute, AttrTimeout: time.Minute, Handles: "auto"}
}

// option is one word of -o. Words without value have a nil take.
type option struct {
	name string
	flag func(o *Options)                 // without value
	take func(o *Options, v string) error // with value
}

// table lists every option of ours; what FUSE and mount(2) know is passed on (fuseWords).
func table() []option {
	return []option{
		{"parent", nil, func(o *Options, v string) error { o.Parent = v; return nil }},
		{"index", nil, func(o *Options, v string) error { o.Index = v; return nil }},
		{"blocks", nil, func(o *Options, v string) error { o.Blocks = v; return nil }},
		{"pool", nil, func(o *Options, v string) error { return number(v, -10000, 4096, &o.Pool) }},
		{"reclaim", nil, func(o *Options, v string) error { return number(v, 0, 100, &o.ReclaimAt) }},
		{"verify", nil, func(o *Options, v string) error { return oneOf(v, &o.Verify, "first", "always", "off") }},
		{"verify_links", func(o *Options) { o.VerifyLinks = true }, nil},
		{"noverify_links", func(o *Options) { o.VerifyLinks = false }, nil},
		{"lost", nil, func(o *Options, v string) error { return oneOf(v, &o.Lost, "eio", "zeros") }},
		{"direct", nil, func(o *Options, v string) error { return oneOf(v, &o.Handles, "auto", "always", "never") }},
		{"checkpoint", nil, func(o *Options, v string) (err error) { o.Checkpoint, err = format.ParseSize(v); return err }},
		{"entry_timeout", nil, func(o *Options, v string) error { return seconds(v, &o.EntryTimeout) }},
		{"attr_timeout", nil, func(o *Options, v string) error { return seconds(v, &o.AttrTimeout) }},
		{"negative_timeout", nil, func(o *Options, v string) error { return seconds(v, &o.NegativeTimeout) }},
		{"lock_index", func(o *Options) { o.LockIndex = true }, nil},
		{"nolock_index", func(o *Options) { o.LockIndex = false }, nil},
		{"dio", func(o *Options) { o.DirectIO = "on" }, nil},
		{"nodio", func(o *Options) { o.DirectIO = "off" }, nil},
		{"discard", func(o *Options) { o.Discard = true }, nil},
		{"nodiscard", func(o *Options) { o.Discard = false }, nil},
		{"check", func(o *Options) { o.Check = true }, nil},
		{"ro", func(o *Options) { o.ReadOnly = true }, nil},
		{"rw", func(o *Options) { o.ReadOnly = false }, nil},
		{"debug", func(o *Options) { o.Debug = true }, nil},
		// The original's bundle of FUSE defaults: ours are chosen by what the kernel can do.
		{"fuse_default", func(*Options) {}, nil},
		{"nofuse_default", func(*Options) {}, nil},
	}
}

// fuseWords are options of FUSE that are passed on or, where ours are the same or better, accepted and dropped.
var fuseWords = map[string]bool{ // true: passed on
	"allow_other": true, "default_permissions": true, "max_read": false, "max_write": false, "use_ino": false, "readdir_ino": false,
	"big_writes": false, "hard_remove": false, "kernel_cache": false, "auto_cache": false, "direct_io": false, "large_read": false,
	"fsname": false, "subtype": false, "nonempty": false, "allow_root": false, "intr": false, "async_read": false, "sync_read": false,
	"blksize": false, "umask": false, "splice_read": false, "splice_write": false, "splice_move": false, "no_remote_lock": false,
	"norelatime": true, "nostrictatime": true, "lazytime": true, "nolazytime": true, "symfollow": true, "nosymfollow": true,
	"dev": true, "nodev": true, "suid": true, "nosuid": true, "exec": true, "noexec": true, "atime": true, "noatime": true,
	"diratime": true, "nodiratime": true, "relatime": true, "strictatime": true, "sync": true, "async": true, "dirsync": true,
	"defaults": true, "context": true, "fscontext": true, "defcontext": true, "rootcontext": true,
}

// ParseMount obeys one -o argument: words separated by commas, where a backslash keeps the next character from being one. An unknown word
// is an *UnknownOptionError.
func (o *Options) ParseMount(list string) error {
	for _, word := range splitWords(list) {
		if word == "" {
			continue
		}
		if err := o.parseWord(word); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) parseWord(word string) error {
	name, value, hasValue := strings.Cut(word, "=")
	for _, opt := range table() {
		switch {
		case opt.name != name:
		case opt.take != nil && !hasValue:
			return fmt.Errorf("mount option %s: a value is missing (%s=...)", name, name)
		case opt.take == nil && hasValue:
			return fmt.Errorf("mount option %s: takes no value, have %q", name, value)
		case opt.take == nil:
			opt.flag(o)
			return nil
		default:
			if err := opt.take(o, value); err != nil {
				return fmt.Errorf("mount option %s: %w", name, err)
			}
			return nil
		}
	}
	if pass, ok := fuseWords[name]; ok {
		if pass {
			o.FuseOptions = append(o.FuseOptions, word)
		}
		return nil
	}
	return unknown(name)
}

func splitWords(list string) []string {
	var words []string
	var b strings.Builder
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '\\' && i+1 < len(list):
			i++
			b.WriteByte(list[i])
		case list[i] == ',':
			words = append(words, b.String())
			b.Reset()
		default:
			b.WriteByte(list[i])
		}
	}
	return append(words, b.String())
}

func number(v string, low, high int, to *int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		return fmt.Errorf("want a whole number from %d to %d, have %q", low, high, v)
	}
	*to = n
	return nil
}

func seconds(v string, to *time.Duration) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1e9 {
		return fmt.Errorf("want seconds, have %q", v)
	}
	*to = time.Duration(f * float64(time.Second))
	return nil
}

func oneOf(v string, to *string, words ...string) error {
	if !slices.Contains(words, v) {
		return fmt.Errorf("want %s, have %q", strings.Join(words, " or "), v)
	}
	*to = v
	return nil
}

// UnknownOptionError is a word of -o that neither we nor FUSE know.
type UnknownOptionError struct {
	Option string
	// Known are the names of our own options.
	Known []string
}

func (e *UnknownOptionError) Error() string {
	return fmt.Sprintf("mount option %q is unknown", e.Option)
}

func unknown(name string) error {
	e := &UnknownOptionError{Option: name}
	for _, opt := range table() {
		e.Known = append(e.Known, opt.name)
	}
	return e
}

// workers turns the option pool into a number of goroutines.
func (o *Options) workers(cpus int) int {
	if o.Pool >= 0 {
		return o.Pool
	}
	return max(1, (-o.Pool*cpus+99)/100)
}

func (o *Options) verify() index.Verify {
	switch o.Verify {
	case "always":
		return index.VerifyAlways
	case "off":
		return index.VerifyOff
	}
	return index.VerifyFirst
}
