package tresor

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tresor/orchestrator"
	"tresor/orchestrator/service"
)

// What comes from outside does nothing to a terminal, and forges no line.
func TestHostileText(t *testing.T) {
	const evil = "x\x1b[2J\x1b]0;owned\a\r\nfailed: nothing‮\u0085 end\xff"
	var b bytes.Buffer
	p := newPrinter(&b)
	p.line("%s of %d", evil, 1)
	p.wrapped("  ", evil)
	p.table("", []row{{[]string{evil, "b\tc"}, []string{evil}}})
	printStatus(p, page{Status: service.Status{Trouble: evil, Now: evil, TakeAway: []string{evil}, Problems: []string{evil},
		Round:    &service.Round{ID: evil, Machines: []service.Result{{Machine: evil, Text: evil, Targets: []service.TargetState{{Name: evil, Error: evil}}}}},
		Jobs:     []service.Job{{ID: evil, Backup: evil, State: evil, Error: evil}},
		Disks:    []service.DiskState{{Disk: service.Disk{Name: evil, State: evil, Note: evil}}},
		Machines: []service.MachineStatus{{Name: evil, Error: evil}}}})
	l := newListed()
	l.Volume, l.Problems = evil, []string{evil}
	l.OnVolume = []orchestrator.Backup{{Record: orchestrator.Record{Name: evil, Reason: evil, Partial: []string{evil}}}}
	l.print(p)
	for _, bad := range []string{"\x1b", "\a", "\r", "\u202e", "\u0085", "\xff", "\nfailed"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("%q reaches the terminal:\n%q", bad, b.String())
		}
	}
	if !utf8.ValidString(b.String()) || !strings.Contains(b.String(), `x\x1b[2J\x1b]0;owned\x07 ; failed: nothing\u202e\u0085 end\xff of 1`) {
		t.Errorf("have %q", b.String())
	}
	if have := shown("Übergröße – 日本 'ok'"); have != "Übergröße – 日本 'ok'" {
		t.Errorf("a name in other letters: have %q", have)
	}
}

// A terminal of 80 columns has no line that it must break inside a word.
func TestEightyColumns(t *testing.T) {
	var b bytes.Buffer
	p := &printer{w: &b, width: 80}
	long := strings.Repeat("disk quota exceeded on the way ", 12)
	printStatus(p, page{Status: service.Status{Running: true, Now: long, Trouble: long, Machines: []service.MachineStatus{{Name: "dc", Way: service.ViaBuffer, Error: long}},
		Jobs: []service.Job{{ID: "01KDF6Q2M5CE1CB9C4K5CP3NBA", Backup: "office-20261122114500", State: "queued", Error: long, Attempts: 2, After: time.Now().Add(time.Hour)}}}})
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three", 20, "one two three"}, {"aaaa bbbb cccc dddd eeee", 20, "aaaa bbbb cccc dddd|eeee"}, {strings.Repeat("x", 30) + " y", 20, strings.Repeat("x", 30) + "|y"},
		{"äöü äöü äöü äöü äöü äöü", 20, "äöü äöü äöü äöü äöü|äöü"}, {"any length at all is kept here", 5, "any length at all is kept here"}, {"", 80, ""},
	} {
		if have := strings.Join(wrap(c.text, c.width), "|"); have != c.want {
			t.Errorf("wrap(%q, %d): have %q, want %q", c.text, c.width, have, c.want)
		}
	}
}

// A list shows of an error where it happened and why, not each layer's path again.
func TestBrief(t *testing.T) {
	const path = "bazaar.tmp/office-20261122114500.partial/srv/office/customer 03/Brief 017.txt"
	full := fmt.Sprintf("copy /srv/office: put %[1]s: store /mnt/volume/%[1]s: write /mnt/volume/%[1]s: ingest: no space left on device", path)
	have := brief(full)
	if strings.Count(have, "Brief 017.txt") != 1 || !strings.HasPrefix(have, "copy /srv/office") || !strings.HasSuffix(have, "no space left on device") || len(have) > 200 {
		t.Errorf("have %q", have)
	}
	for text, want := range map[string]string{
		"": "", "no such file": "no such file", "open dc: /srv/dc: no such file or directory": "open dc: /srv/dc: no such file or directory",
		"a: b: a: b: c": "a: b: a: b: c", "lock /x/y: /x/y: held": "lock /x/y: held", "read /a/b: /a/b": "read /a/b: /a/b", "two\nlines": "two; lines",
	} {
		if have := brief(text); have != want {
			t.Errorf("brief(%q): have %q, want %q", text, have, want)
		}
	}
	long := brief("begin: " + strings.Repeat("ä", 500) + ": the cause")
	if n := utf8.RuneCountInString(long); n > briefLimit || !strings.HasPrefix(long, "begin: ä") || !strings.HasSuffix(long, ": the cause") || !utf8.ValidString(long) {
		t.Errorf("have %d letters: %q", n, long)
	}
	if adviceFor(full) == "" || adviceFor("something") != "" {
		t.Error("advice for a full disk, and for nothing known")
	}
}
