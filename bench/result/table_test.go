package result

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := exampleRun(t).WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.golden", out.Bytes())
}

// TestTablePrograms: a run of several programs says what each of them was.
func TestTablePrograms(t *testing.T) {
	r := exampleRun(t)
	r.Programs = []Program{{Label: "A:old", Path: "/a", Revision: Revision{Git: strings.Repeat("ab", 20)}}, {Label: "B:new", Path: "/b", Revision: r.Revision}}
	var out bytes.Buffer
	if err := r.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	if want := "programs: A:old abababa, B:new 7e9f0ea+"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing:\n%s", want, &out)
	}
}

func TestVoidTable(t *testing.T) {
	r := newRun()
	r.Void = "null write at 1 MiB 2.10 GB/s, below 3.5: the machine was busy"
	var out bytes.Buffer
	if err := r.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "VOID: null write at 1 MiB 2.10 GB/s") {
		t.Errorf("a void run does not say so:\n%s", &out)
	}
}

// TestTableWidth: however many contenders there are, lines fit and no sample is lost.
func TestTableWidth(t *testing.T) {
	rnd := seed(t)
	for range 50 {
		r := newRun()
		series := 0
		for w := range 1 + rnd.IntN(8) {
			for c := range 1 + rnd.IntN(25) {
				if rnd.IntN(3) == 0 && c > 0 {
					continue
				}
				// Each has a median that no other has.
				value := float64(series+100) * 1e9
				series++
				fill(t, r, fmt.Sprintf("kind-%d/128k/%d", w/2, w), fmt.Sprintf("contender-%d", c), BytesPerSecond, value)
			}
		}
		r.Skip("something", strings.Repeat("a long reason ", 40))
		var out bytes.Buffer
		if err := r.WriteTable(&out); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > tableWidth {
				t.Fatalf("a line has %d columns: %s", n, line)
			}
		}
		for i := range series {
			if !strings.Contains(out.String(), fmt.Sprintf(" %d ±4%%", i+100)) {
				t.Fatalf("series %d is missing:\n%s", i, &out)
			}
		}
	}
}

type fullDisk struct{ after int }

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.after -= len(b); d.after < 0 {
		return 0, errors.New("no space")
	}
	return len(b), nil
}

// TestPrintErrors: no page is cut off without an error.
func TestPrintErrors(t *testing.T) {
	r := exampleRun(t)
	for name, write := range map[string]func(*fullDisk) error{
		"table":            func(d *fullDisk) error { return r.WriteTable(d) },
		"comparison":       func(d *fullDisk) error { return Compare(r, r).WriteText(d) },
		"comparison, JSON": func(d *fullDisk) error { return Compare(r, r).WriteJSON(d) },
		"JSON":             func(d *fullDisk) error { return r.WriteJSON(d) },
	} {
		for after := 0; after < 1500; after += 100 {
			if err := write(&fullDisk{after}); err == nil || !strings.Contains(err.Error(), "no space") {
				t.Errorf("%s, full after %d bytes: %v", name, after, err)
			}
		}
	}
}

func TestCeiling(t *testing.T) {
	r := exampleRun(t)
	for workload, want := range map[string]string{
		"write-known/128k/1": "null", "write-known/64k/1": "null", "write-unique/128k/1": "raw", "small-create": "loopback", "hash/128k": "",
	} {
		have := ""
		if s := r.Ceiling(workload); s != nil {
			have = s.Contender
		}
		if have != want {
			t.Errorf("%s: have %q, want %q", workload, have, want)
		}
	}
	for _, contender := range []string{"raw", "loopback", "ours-BLAKE3"} {
		fill(t, r, "rand-read/4k/1", contender, OperationsPerSecond, 1e4)
	}
	if s := r.Ceiling("rand-read/4k/1"); s != nil {
		t.Errorf("rand-read: have %s, want no ceiling: with O_DIRECT raw reads from the disk, ours from the page cache", s.Contender)
	}
	fill(t, r, "write-unique/128k/1", "null", BytesPerSecond, 1e9)
	if c := r.Ceiling("write-unique/128k/1"); c.Contender != "null" {
		t.Errorf("of raw 1.4 and null 1.0 GB/s the ceiling is %s", c.Contender)
	}
}
