package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"tresor/bench/result"
	"tresor/cmd/internal/cli"
)

// compareWord is the first argument that compares records instead of measuring.
const compareWord = "compare"

// compare prints what two records say about each other: those of two runs, or the two sides of a run that had the programs A:NAME and B:NAME.
func compare(files []string, out io.Writer) error {
	switch len(files) {
	case 1:
		r, err := readRecord(files[0])
		if err != nil {
			return err
		}
		a, b, ok := r.Sides()
		if !ok {
			return cli.Hint(fmt.Errorf("compare %s: none of its programs has a label that begins with A: or B:", files[0]), "give two records, or measure with --ddumbfs A:old=PATH --ddumbfs B:new=PATH")
		}
		return result.Compare(a, b).WriteText(out)
	case 2:
		a, errA := readRecord(files[0])
		b, errB := readRecord(files[1])
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		return result.Compare(a, b).WriteText(out)
	}
	return cli.Usage(fmt.Errorf("%s: want one or two records, have %d arguments", compareWord, len(files)))
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
