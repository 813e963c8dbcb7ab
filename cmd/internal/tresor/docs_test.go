package tresor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"tresor/cmd/internal/cli"
)

// documented is what docs/tresor.md says of one verb.
type documented struct{ options, codes []string }

// readDocs takes the sections of docs/tresor.md apart, by the name in their heading.
func readDocs(t *testing.T) (string, map[string]*documented) {
	t.Helper()
	_, source, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(source), "../../../docs/tresor.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(-[^`]+)`")
	docs := map[string]*documented{}
	var section *documented
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = &documented{}
			docs[name] = section
		}
		cell := strings.Split(line, "|")
		if section == nil || len(cell) < 4 {
			continue
		}
		first, second := strings.TrimSpace(cell[1]), strings.TrimSpace(cell[2])
		switch {
		case strings.HasPrefix(first, "`-"):
			for _, m := range names.FindAllStringSubmatch(first, -1) {
				section.options = append(section.options, m[1])
			}
		case first != "" && strings.Trim(first, "0123456789") == "":
			section.codes = append(section.codes, first+" "+second)
		}
	}
	return string(text), docs
}

// Every verb has a section in docs/tresor.md, with exactly its options and exit codes, and every section a verb.
func TestDocsAreThoseOfTheCode(t *testing.T) {
	text, docs := readDocs(t)
	known := map[string]bool{}
	for _, v := range Verbs() {
		name := "tresor " + v.Name
		known[name] = true
		section := docs[name]
		if section == nil {
			t.Errorf("docs/tresor.md has no section %q", "## "+name)
			continue
		}
		var options, codes []string
		v.FlagSet().VisitAll(func(f *pflag.Flag) {
			if f.Shorthand != "" {
				options = append(options, "-"+f.Shorthand)
			}
			options = append(options, "--"+f.Name)
		})
		for _, c := range v.Codes {
			codes = append(codes, fmt.Sprintf("%d %s", c.Code, c.Text))
		}
		slices.Sort(options)
		slices.Sort(section.options)
		if !slices.Equal(options, section.options) {
			t.Errorf("%s: options documented %q, the program's %q", name, section.options, options)
		}
		if !slices.Equal(codes, section.codes) {
			t.Errorf("%s: exit codes documented\n%q, the program's\n%q", name, section.codes, codes)
		}
	}
	for name := range docs {
		if strings.HasPrefix(name, "tresor ") && !known[name] {
			t.Errorf("docs/tresor.md has a section %q, which is no verb", name)
		}
	}
	for code := cli.ExitOK; code <= cli.ExitWaits; code++ { // what any verb may end with, beside its own
		if row := fmt.Sprintf("| `%d` |", code); !strings.Contains(text, row) && code != cli.ExitNotClean {
			t.Errorf("docs/tresor.md: the table of exit codes has no row %s", row)
		}
	}
	for _, want := range []string{"ExecStart=/usr/local/bin/tresor serve", "Type=notify", "WatchdogSec="} {
		if !strings.Contains(text, want) {
			t.Errorf("docs/tresor.md: no %q in the unit", want)
		}
	}
}
