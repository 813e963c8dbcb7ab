package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tresor/cmd/internal/cli"
	"tresor/index/fsck"
)

// checkResult is the JSON form of a check, behind its findings.
type checkResult struct {
	Status  string        `json:"status,omitempty"`
	Exit    int           `json:"exit"`
	Summary *fsck.Summary `json:"summary,omitempty"`
	Error   string        `json:"error,omitempty"`
}

// mountedFindings is how many findings of a mounted volume are printed: nearly all of them tell only that something is not written yet.
const mountedFindings = 20

func (v *fsckVolume) runCheck(ctx context.Context, s Streams, volume *fsck.Volume) error {
	findings := findingStream{w: s.Out}
	shown := 0
	found := func(f fsck.Finding) {
		if shown++; !v.mounted || shown <= mountedFindings {
			fmt.Fprintln(s.Out, f)
		}
	}
	if v.json {
		found = findings.add
	}
	sum, err := fsck.Check(ctx, volume, fsck.CheckOptions{Hashes: v.hashes, Found: found})
	switch {
	case err != nil && v.json && findings.n > 0:
		return errors.Join(err, findings.end(checkResult{Exit: int(fsck.Errors), Error: err.Error()}))
	case err != nil:
		return err
	case v.json:
		err = findings.end(checkResult{Status: sum.StatusText(), Exit: int(sum.Status()), Summary: sum})
	default:
		if v.mounted && shown > mountedFindings {
			fmt.Fprintf(s.Out, "and %d more, most of which will be gone once the volume is unmounted\n", shown-mountedFindings)
		}
		err = sum.Print(s.Out)
	}
	v.decayed = sum != nil && v.hashes && sum.BlockErrors > 0
	if err == nil && sum.Status() != fsck.OK {
		err = cli.Exit(cli.Code(sum.Status()), nil)
	}
	return err
}

// findingStream writes findings as they come, as the list "findings" of a JSON object: there may be more than memory holds.
type findingStream struct {
	w   io.Writer
	n   int
	err error // the first
}

func (f *findingStream) add(x fsck.Finding) {
	before := ",\n    "
	if f.n++; f.n == 1 {
		before = "{\n  \"findings\": [\n    "
	}
	text, err := plainJSON(x.String())
	if err == nil && f.err == nil {
		_, err = io.WriteString(f.w, before+string(text))
	}
	if f.err == nil {
		f.err = err
	}
}

// end completes the object with the fields of rest.
func (f *findingStream) end(rest checkResult) error {
	before := "\n  ],\n"
	if f.n == 0 {
		before = "{\n  \"findings\": [],\n"
	}
	var b bytes.Buffer
	if err := cli.JSON(&b, rest); err != nil {
		return err
	}
	if f.err == nil {
		_, f.err = io.WriteString(f.w, before+string(bytes.TrimPrefix(b.Bytes(), []byte("{\n"))))
	}
	return f.err
}

// plainJSON is a string in JSON on one line, with < and > as they are.
func plainJSON(text string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(text)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
