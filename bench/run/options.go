package run

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"tresor/bench/contender"
)

// Options of a run.
type Options struct {
	// Program is ddbench itself, which serves some contenders.
	Program string
	// Programs are the ddumbfs programs to be measured, at least one.
	Programs []Program
	// Original is a directory with the programs of the original, or empty.
	Original string
	// Dir is an existing directory of the disk to be measured; the run makes one below it and removes it.
	Dir string
	// Only, if not nil, leaves out everything whose "WORKLOAD CONTENDER" does not match.
	Only *regexp.Regexp
	// All measures every hash with every block size.
	All bool
	// Quick does everything once in a small form, but for programs of others: it shows that it works.
	Quick bool
	// Files is how many small files are made, listed, read and removed; 0: none.
	Files int
	// Rounds, and the bounds: how long it may take, and how many bytes of the disk.
	Rounds int
	Time   time.Duration
	Space  int64
	// Given is written into the record: options by their names.
	Given map[string]string
	// Progress gets a line for each measurement.
	Progress io.Writer
}

// Program is a ddumbfs program under a label, "ours" if there is one only: its contenders are LABEL-HASH.
type Program struct{ Label, Path string }

// The default bounds and number of rounds.
const (
	DefaultRounds = 5
	DefaultTime   = 10 * time.Minute
	DefaultSpace  = 20 << 30
	DefaultFiles  = 10_000
	QuickFiles    = 300 // of a quick run
	mostFiles     = 10_000_000
	ours          = "ours"
)

// ParseProgram reads PATH or LABEL=PATH. An empty text finds the program beside this one or in $PATH.
func ParseProgram(text string) (Program, error) {
	label, path, ok := strings.Cut(text, "=")
	if !ok {
		label, path = ours, text
	}
	if label == "" || strings.ContainsAny(label, " \t/") {
		return Program{}, fmt.Errorf("program %q: want PATH or LABEL=PATH", text)
	}
	path, err := contender.FindOurs(path)
	return Program{Label: label, Path: path}, err
}

func (o *Options) check() error {
	info, err := os.Stat(o.Dir)
	switch {
	case err != nil:
		return fmt.Errorf("directory to measure in: %w", err)
	case !info.IsDir():
		return fmt.Errorf("directory to measure in: %s is none", o.Dir)
	case os.Geteuid() != 0:
		return fmt.Errorf("mount and drop caches: %w: it takes root", os.ErrPermission)
	case o.Rounds < 1 || o.Rounds > 1000:
		return fmt.Errorf("rounds: have %d, want 1 to 1000", o.Rounds)
	case o.Files < 0 || o.Files > mostFiles:
		return fmt.Errorf("small files: have %d, want 0 to %d", o.Files, mostFiles)
	case o.Time < time.Second || o.Space < 256<<20:
		return fmt.Errorf("bounds: have %s and %d bytes, want a second and 256 MiB at least", o.Time, o.Space)
	case len(o.Programs) == 0:
		return fmt.Errorf("programs: have none, want one at least")
	}
	seen := map[string]bool{}
	for _, p := range o.Programs {
		if seen[p.Label] {
			return fmt.Errorf("programs: label %s is there twice", p.Label)
		}
		seen[p.Label] = true
	}
	return nil
}

// wants tells whether a series is asked for.
func (o *Options) wants(workload, contender string) bool {
	return o.Only == nil || o.Only.MatchString(workload+" "+contender)
}
