package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/bench/result"
	"tresor/cmd/internal/cli"
)

func record(t *testing.T, dir, name string, contenders ...string) string {
	t.Helper()
	r := new(result.Run)
	for i, c := range contenders {
		for round := range 5 {
			s := result.Sample{Round: round, Value: float64(10*(i+1) + round)}
			if err := r.AddSample("write-known/128k/1", c, result.BytesPerSecond, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	one, two := record(t, dir, "one", "ours-BLAKE3"), record(t, dir, "two", "null", "ours-BLAKE3")
	sides := record(t, dir, "sides", "A:old-BLAKE3", "B:new-BLAKE3")
	for _, files := range [][]string{{one, two}, {sides}} {
		var out bytes.Buffer
		if err := compare(files, &out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"write-known/128k/1", "12.0 ±17%", "22.0 ±9% B/s", "+83.33%", "better", "p=0.008 n=5"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: %q is missing:\n%s", files, want, &out)
			}
		}
	}
}

// TestCompareJSON: --json writes what is printed to a file as well, before or after the records.
func TestCompareJSON(t *testing.T) {
	dir := t.TempDir()
	one, two := record(t, dir, "one", "ours-BLAKE3"), record(t, dir, "two", "null", "ours-BLAKE3")
	for i, args := range [][]string{{"--json", "FILE", one, two}, {one, two, "--json=FILE"}} {
		file := filepath.Join(dir, fmt.Sprint("out-", i))
		for j := range args {
			args[j] = strings.Replace(args[j], "FILE", file, 1)
		}
		var out bytes.Buffer
		if err := compare(args, &out); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var have struct {
			Series     []struct{ Contender, Spread string }
			Agreements result.Agreements `json:"agree_within_their_stated_spread"`
		}
		if err := json.Unmarshal(text, &have); err != nil || len(have.Series) != 1 || have.Series[0].Spread != "disjoint" || have.Agreements.Ours.Of != 1 {
			t.Errorf("have %+v, %v", have, err)
		}
		if want := "agree within their stated spread: 0 of 1 (ours 0 of 1"; !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, &out)
		}
	}
}

// TestHelp: the usage has what `compare` takes.
func TestHelp(t *testing.T) {
	help, err := new(flags).parse([]string{"--help"})
	if want := "ddbench compare [--json FILE] A.json [B.json]\n"; err != nil || !strings.Contains(help, want) {
		t.Errorf("%q is missing: %v\n%s", want, err, help)
	}
}

func TestCompareErrors(t *testing.T) {
	dir := t.TempDir()
	one := record(t, dir, "one", "ours-BLAKE3")
	future := filepath.Join(dir, "future")
	if err := os.WriteFile(future, []byte(`{"format":99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files []string
		want  string
		code  cli.Code
	}{
		"no file":        {nil, "want one or two records", cli.ExitUsage},
		"three files":    {[]string{one, one, one}, "want one or two records", cli.ExitUsage},
		"no such option": {[]string{"--none", one, one}, "unknown flag", cli.ExitUsage},
		"no such file":   {[]string{one, filepath.Join(dir, "none")}, "no such file", cli.ExitNoVolume},
		"another format": {[]string{future, one}, "format 99, want 1", cli.ExitFailure},
		"no sides":       {[]string{one}, "none of its programs", cli.ExitFailure},
	} {
		var out bytes.Buffer
		err := compare(c.files, &out)
		if err == nil || !strings.Contains(err.Error(), c.want) || cli.CodeOf(err) != c.code {
			t.Errorf("%s: have %v (code %d), want %q (code %d)", name, err, cli.CodeOf(err), c.want, c.code)
		}
		if out.Len() > 0 {
			t.Errorf("%s: prints %s", name, &out)
		}
	}
}
