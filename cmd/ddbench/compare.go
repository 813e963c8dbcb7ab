package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"tresor/bench/result"
	"tresor/cmd/internal/cli"
)

// compareWord is the first argument that compares records instead of measuring.
const compareWord = "compare"

// compare prints what two records say about each other: those of two runs, or the two sides of a run that had the programs A:NAME and B:NAME. --json FILE writes it to a
// file as well.
func compare(args []string, out io.Writer) error {
	var file string
	s := pflag.NewFlagSet("ddbench "+compareWord, pflag.ContinueOnError)
	s.StringVar(&file, "json", "", "write the comparison to `FILE`")
	s.SetOutput(io.Discard) // errors are reported once
	if err := s.Parse(args); errors.Is(err, pflag.ErrHelp) {
		_, err := io.WriteString(out, "Usage: ddbench compare [--json FILE] A.json [B.json]\n\n"+s.FlagUsages())
		return err
	} else if err != nil {
		return cli.Usage(fmt.Errorf("%s: %w", compareWord, err))
	}
	c, err := compareFiles(s.Args())
	if err != nil {
		return err
	}
	if err := c.WriteText(out); err != nil || file == "" {
		return err
	}
	var text bytes.Buffer
	if err := c.WriteJSON(&text); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

func compareFiles(files []string) (c result.Comparison, err error) {
	switch len(files) {
	case 1:
		r, err := readRecord(files[0])
		if err != nil {
			return c, err
		}
		a, b, ok := r.Sides()
		if !ok {
			return c, cli.Hint(fmt.Errorf("compare %s: none of its programs has a label that begins with A: or B:", files[0]), "give two records, or measure with --ddumbfs A:old=PATH --ddumbfs B:new=PATH")
		}
		return result.Compare(a, b), nil
	case 2:
		a, errA := readRecord(files[0])
		b, errB := readRecord(files[1])
		if err := errors.Join(errA, errB); err != nil {
			return c, err
		}
		return result.Compare(a, b), nil
	}
	return c, cli.Usage(fmt.Errorf("%s: want one or two records, have %d arguments", compareWord, len(files)))
}

func readRecord(name string) (*result.Run, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	r, err := result.ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}
