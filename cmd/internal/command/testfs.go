package command

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
	"tresor/index/format"
)

func testfsVerb() *Verb {
	return &Verb{
		Name: "testfs", Calls: []string{"testddumbfs"}, Args: "[OPTION...] FILE",
		Short: "Writes big reproducible files to any file system, twice, reads them, compares, and says how fast that was.",
		Codes: []cli.Meaning{
			{Code: cli.ExitOK, Text: "everything was as written"},
			{Code: cli.ExitFailure, Text: "a difference was found, or a file could not be written or read"},
			{Code: cli.ExitUsage, Text: "wrong command line"},
			{Code: cli.ExitNoSpace, Text: "no room"},
			{Code: cli.ExitNoVolume, Text: "a file or directory that is needed does not exist"},
			{Code: cli.ExitInterrupted, Text: "interrupted"},
		},
		new: func() runner { return new(testFS) },
	}
}

type testFS struct {
	verbose, debug, force bool
	count                 int
	request, size         string
	mask                  string
	seed                  uint64
	operations            string
	json                  bool
}

// allOperations are the letters of -o.
const allOperations = "12RFCB"

func (v *testFS) Flags(f *pflag.FlagSet) {
	f.BoolVarP(&v.verbose, "verbose", "v", false, "show progress")
	f.BoolVarP(&v.debug, "debug", "d", false, "say what is done before it is done")
	f.BoolVarP(&v.force, "force", "f", false, "overwrite files that exist")
	f.IntVarP(&v.count, "count", "c", 1, "`NUMBER` of files, written and read at the same time: FILE, FILE.1, FILE.2 and so on")
	f.StringVarP(&v.request, "block-size", "B", "128k", "`SIZE` of one write or read")
	f.StringVarP(&v.size, "size", "S", "1G", "`SIZE` of each file")
	f.StringVarP(&v.mask, "mask", "m", "", "bits (`MASK`, as 0xff) of a request's number that its content depends on: fewer bits, more duplicates")
	f.Uint64VarP(&v.seed, "seed", "s", 1, "`NUMBER` that the content depends on")
	f.StringVarP(&v.operations, "operations", "o", allOperations,
		"`LETTERS`: 1 first write, 2 write the same again, R read, F fsync at the end of each write, C compare what is read, B drop what is cached before reading")
	f.BoolVar(&v.json, "json", false, "print one JSON object")
}

func (v *testFS) Run(ctx context.Context, s Streams, args []string) error {
	name, err := oneArgument(args, "file")
	if err != nil {
		return err
	}
	job, err := v.job(name)
	if err != nil {
		return err
	}
	progress := cli.NewProgress(s.Err, "testfs", cli.Interval)
	defer progress.Done()
	if v.verbose {
		job.progress = progress.Stage
	}
	if v.debug {
		job.say = func(text string) { cli.Note(s.Err, "testfs", "%s", text) }
	}
	result, err := job.run(ctx)
	progress.Done()
	if v.json {
		if werr := cli.JSON(s.Out, result); err == nil {
			err = werr
		}
		return err
	}
	for _, p := range result.Passes {
		if _, werr := fmt.Fprintf(s.Out, "%-13s %s in %.2f s, %.1f MB/s\n", p.Name, format.FormatSize(p.Bytes), p.Seconds, p.Rate/1e6); err == nil {
			err = werr
		}
	}
	return err
}

// job checks the options.
func (v *testFS) job(name string) (*speedTest, error) {
	t := &speedTest{overwrite: v.force, result: &speedResult{Seed: v.seed, Passes: []speedPass{}}}
	for _, c := range v.operations {
		if !strings.ContainsRune(allOperations, c) {
			return nil, arguments("-o: %q is none of the letters %s", c, allOperations)
		}
	}
	has := func(letter string) bool { return strings.Contains(v.operations, letter) }
	t.first, t.second, t.read, t.sync, t.compare, t.drop = has("1"), has("2"), has("R"), has("F"), has("C"), has("B")
	if !t.first && !t.second && !t.read && !t.compare {
		return nil, arguments("-o %s does nothing: want 1, 2, R or C", v.operations)
	}
	request, err := format.ParseSize(v.request)
	if err != nil || request < 8 || request > 1<<30 {
		return nil, arguments("-B %s: want a size from 8 bytes to 1G", v.request)
	}
	if t.size, err = format.ParseSize(v.size); err != nil || t.size < 1 {
		return nil, arguments("-S %s: want a size", v.size)
	}
	mask := ^uint64(0)
	if v.mask != "" {
		if _, err := fmt.Sscanf(v.mask, "%v", &mask); err != nil {
			return nil, arguments("-m %s: want a number, as 255 or 0xff", v.mask)
		}
	}
	if v.count < 1 || v.count > 1000 {
		return nil, arguments("-c %d: want 1 to 1000", v.count)
	}
	t.data = newPattern(v.seed, request, mask)
	for i := range v.count {
		file := name
		if i > 0 {
			file = fmt.Sprintf("%s.%d", name, i)
		}
		t.files = append(t.files, filepath.Clean(file))
	}
	return t, nil
}
