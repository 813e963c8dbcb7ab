package config

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

// FuzzLocate: for every text that the library accepts, every key that it knows has a line, and that line has the key's last part in it.
func FuzzLocate(f *testing.F) {
	f.Add(example)
	for _, seed := range []string{
		"a = 1\n[b]\nc = [1,\n 2, # x = 1\n]\n[[d]]\ne = {f = 1, g = \"}\"}\n[[d]]\n[d.h]\ni = '''\nj = 1'''\n",
		"\"a b\".c = 1\n'x' = 2\n\"\\u0041\" = 3\n", "a = \"\"\"\nb = 1\n\\\"\"\"\"\"\nc = 2\n", "[[a]]\n[[a.b]]\nc=1\n[[a.b]]\nc=2\n",
		"a = 1979-05-27 07:32:00\nb = {\n c = 1,\n d = [ {e = 2} ] }\n", "\xef\xbb\xbfa = 1\r\nb = 2\r\n", "a.b.c = 1\na.b.d = 2\n[a.e]\n", "[ a . b ]\nc = 1 # x\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree := map[string]any{}
		meta, err := toml.Decode(text, &tree)
		if err != nil || strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			return
		}
		lines := locate(text)
		bare := map[string]bool{} // paths without the places in lists
		for path := range lines {
			bare[withoutIndexes(path)] = true
		}
		for _, key := range meta.Keys() {
			path := ""
			for _, part := range key {
				path = join(path, part)
			}
			if !bare[withoutIndexes(path)] {
				t.Errorf("no line for %s in\n%q\nhave %v", path, text, lines)
			}
		}
		all := strings.Count(text, "\n") + 1
		for path, n := range lines {
			if n < 1 || n > all {
				t.Errorf("%s: line %d of %d in %q", path, n, all, text)
			}
		}
	})
}

func withoutIndexes(path string) string {
	b := strings.Builder{}
	for i := 0; i < len(path); i++ {
		if end := strings.IndexByte(path[i:], ']'); path[i] == '[' && end > 0 {
			if _, err := strconv.Atoi(path[i+1 : i+end]); err == nil {
				i += end
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

func TestLocateLines(t *testing.T) {
	lines := locate("\n[a]\nb = \"\"\"\n[x]\n\"\"\"\nc = [\n  \"1\",\n  \"2\"]\n[[d]]\ne = { f = 1 }\n[[d]]\n\n[d.g]\nh = 1\n")
	for path, want := range map[string]int{"a": 2, "a.b": 3, "a.c": 6, "a.c[1]": 8, "d": 9, "d[0]": 9, "d[0].e.f": 10, "d[1]": 11, "d[1].g": 13, "d[1].g.h": 14} {
		if lines[path] != want {
			t.Errorf("%s: have line %d, want %d", path, lines[path], want)
		}
	}
	lines = locate("[a]\nb = '''\nx = 1 '''\n'c d' = 2\n\"\\u0065\" = 3\n")
	for path, want := range map[string]int{"a.b": 2, `a."c d"`: 4, "a.e": 5, "a.x": 0} {
		if lines[path] != want {
			t.Errorf("%s: have line %d, want %d", path, lines[path], want)
		}
	}
	if lines["x"] != 0 {
		t.Error("a table was seen in a string")
	}
}

// FuzzShell: the parser of the predecessor's files ends on any text, tells the line of what it refuses, and no value has what a shell would expand.
func FuzzShell(f *testing.F) {
	for _, name := range []string{"single/AmutaQ!.conf", "bad/AmutaQ!.conf"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("A='x'\nB=\"$A${A}\\$\" # y\nlet C=5\nsource x\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, mistakes := parseShell("f", text)
		total := strings.Count(text, "\n") + 1
		for _, m := range mistakes {
			if m.Line < 1 || m.Line > total || m.Text == "" {
				t.Errorf("mistake without place or text: %+v", m)
			}
		}
		lines := strings.Split(text, "\n")
		for key, v := range got.values {
			if v.line < 1 || v.line > total || !strings.Contains(lines[v.line-1], key+"=") {
				t.Errorf("%s is said to be set in line %d of\n%s", key, v.line, text)
			}
			if strings.ContainsAny(lines[v.line-1], "`") && !strings.ContainsAny(lines[v.line-1], `'"#\`) {
				t.Errorf("line %d has a command and was taken: %q", v.line, lines[v.line-1])
			}
		}
	})
}

func TestShellValues(t *testing.T) {
	text := strings.Join([]string{
		`A=bare`, `B="double $A" # comment`, `C='single $A #'`, `D=${A}$A`, `E=`, `F= # comment`, `G=a#b`, `let H=-1`, `  I=indented`, `J="\"\\\$\a"`, `A=last`, `K=$A`, "L=dos\r",
		`M="ümlaut"`, `N=a=b`,
	}, "\n")
	f, mistakes := parseShell("f", text)
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	for key, want := range map[string]string{
		"A": "last", "B": "double bare", "C": "single $A #", "D": "barebare", "E": "", "F": "", "G": "a#b", "H": "-1", "I": "indented", "J": `"\$\a`, "K": "last", "L": "dos",
		"M": "ümlaut", "N": "a=b",
	} {
		if have := f.get(key); have != want {
			t.Errorf("%s: have %q, want %q", key, have, want)
		}
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0, "1h30m": 90 * time.Minute} {
		n, err := parseDuration(text)
		if err != nil || time.Duration(n) != want {
			t.Errorf("%s: have %s, %v, want %s", text, time.Duration(n), err, want)
		}
	}
	for _, text := range []string{"", "d", "5", "-1d", "1d5", "x", "99999999d", "1.5d"} {
		if n, err := parseDuration(text); err == nil {
			t.Errorf("time %q: have %d, want an error", text, n)
		}
	}
	for _, text := range []string{"", "k", "-1", "-1G", "9999999999T", "1x", "1.5G", "1 G"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("size %q: have %d, want an error", text, n)
		}
	}
	for range 1000 {
		d, size := time.Duration(rand.Int64N(int64(1000*day))).Round([]time.Duration{1, time.Second, time.Hour, day}[rand.IntN(4)]), rand.Int64()>>rand.IntN(63)
		if n, err := parseDuration(formatDuration(d)); err != nil || time.Duration(n) != d {
			t.Errorf("%s as %s: have %s, %v", d, formatDuration(d), time.Duration(n), err)
		}
		if n, err := parseSize(formatSize(size)); err != nil || n != size {
			t.Errorf("%d as %s: have %d, %v", size, formatSize(size), n, err)
		}
	}
}

func TestHours(t *testing.T) {
	for _, c := range []struct {
		from, till int
		legacy     bool // equal hours blocked until midnight
		want       string
	}{
		{24, -1, false, ""}, {8, 18, false, "8 9 10 11 12 13 14 15 16 17 18"}, {22, 5, false, "0 1 2 3 4 5 22 23"}, {22, -1, false, "22 23"}, {24, 5, false, "0 1 2 3 4 5"},
		{20, 30, false, "20 21 22 23"}, {8, 8, true, "8"}, {0, 23, false, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23"},
		{10, 9, false, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23"}, {23, 0, false, "0 23"},
	} {
		m := &importer{c: Default(), origin: map[string]assigned{}, where: map[string]string{}}
		f, _ := parseShell("vm.conf", fmt.Sprintf("DONTRUNFROM=%d\nDONTRUNTILL=%d\n", c.from, c.till))
		h := m.blocked(f)
		var hours []string
		for hour := range 24 {
			if h.Blocks(hour) {
				hours = append(hours, strconv.Itoa(hour))
			}
		}
		if have := strings.Join(hours, " "); have != c.want {
			t.Errorf("from %d till %d: have %q, want %q", c.from, c.till, have, c.want)
		}
		if c.legacy != slices.ContainsFunc(m.out.Report, func(r Remark) bool { return strings.Contains(r.Text, "that hour alone") }) {
			t.Errorf("from %d till %d: report %v", c.from, c.till, m.out.Report)
		}
	}
}

// TestRenderReadsBack: what is rendered is read as what it was, for the example and for many variations of single keys.
func TestRenderReadsBack(t *testing.T) {
	for _, text := range []string{"", example, switchOn(example)} {
		c, err := Parse("t", []byte(text), Outside{NoSecrets: true})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("t", Render(c), Outside{NoSecrets: true})
		if err != nil {
			t.Fatalf("%v\n%s", err, Render(c))
		}
		c.notes, again.notes = nil, nil
		if !reflect.DeepEqual(c, again) {
			t.Errorf("have\n%+v\nwant\n%+v\nof\n%s", again, c, Render(c))
		}
	}
	odd := Default()
	odd.Mail.Host, odd.Mail.From, odd.Mail.To, odd.Mail.Description = "h", "a@b", []string{"a@b"}, "a\tb\x1b\x7f\"\\"
	if again, err := Parse("", Render(odd), Outside{NoSecrets: true}); err != nil || again.Mail.Description != odd.Mail.Description {
		t.Errorf("control characters: have %+v, %v", again, err)
	}
	for _, name := range []string{"a b", "ümlaut", `quo"te\`, "it's", "[x]", "a.b", "#"} {
		c := Default()
		s := NewServer()
		s.Name, s.Host, s.SSHKey, s.VMs, s.VM = "s", "h", "/k", []string{name}, map[string]VM{name: {BlockedHours: &Hours{0, 0}, Quiesce: true}}
		c.Servers = []Server{s}
		if wrong := c.Check(Outside{}); len(wrong) > 0 {
			t.Errorf("name %q: %v\n%s", name, wrong, Render(c))
		}
		again, err := Parse("", Render(c), Outside{NoSecrets: true})
		if err != nil || !reflect.DeepEqual(again.Servers, c.Servers) {
			t.Errorf("name %q: have %+v, %v, want %+v", name, again, err, c.Servers)
		}
	}
}

// FuzzParse: any text is a configuration or has mistakes that say something; a configuration that is rendered is read as what it was.
func FuzzParse(f *testing.F) {
	for _, table := range strings.Split(switchOn(example), "\n\n") {
		f.Add(table)
	}
	f.Add("[[source.dir]]\nname = \"\\u00fc \\\\ \\\"\"\npaths = [\"/a\"]\nretention = { daily = 1 }\n")
	f.Add("source = { dir = [ { name = \"a\", paths = [\"/a\"] } ] }\nvolume = [1]\n[server]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f", []byte(text), Outside{NoSecrets: true})
		var wrong Mistakes
		if errors.As(err, &wrong) {
			for _, m := range wrong {
				if m.Text == "" || m.File != "f" {
					t.Errorf("%+v", m)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("f", Render(c), Outside{NoSecrets: true})
		if err != nil {
			t.Fatalf("%v\nof\n%s\nfrom\n%s", err, Render(c), text)
		}
		c.notes, again.notes = nil, nil
		if string(Render(again)) != string(Render(c)) {
			t.Errorf("have\n%s\nwant\n%s", Render(again), Render(c))
		}
	})
}

func switchOn(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			lines[i] = line[1:]
		}
	}
	return strings.Join(lines, "\n")
}
