package command

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
)

// documented is what docs/commands.md says of one command line.
type documented struct {
	options []string // `-f`, `--force`
	codes   []string // 0 made
}

var optionNames = regexp.MustCompile("`(-[^`]+)`")

// readDocs takes the sections of docs/commands.md apart, by the name in their heading.
func readDocs(t *testing.T) map[string]*documented {
	t.Helper()
	_, source, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(source), "../../../docs/commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]*documented{}
	var section *documented
	for _, line := range strings.Split(string(text), "\n") {
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
			for _, m := range optionNames.FindAllStringSubmatch(first, -1) {
				section.options = append(section.options, m[1])
			}
		case first != "" && strings.Trim(first, "0123456789") == "":
			section.codes = append(section.codes, first+" "+second)
		}
	}
	return docs
}

// Every command line has a section in docs/commands.md, with exactly its options and exit codes.
func TestDocsAreThoseOfTheCode(t *testing.T) {
	docs := readDocs(t)
	for _, v := range all() {
		name := "ddumbfs " + v.Name
		if v.hidden {
			name = v.Calls[0]
		}
		t.Run(name, func(t *testing.T) {
			section := docs[name]
			if section == nil {
				t.Fatalf("docs/commands.md has no section %q", "## "+name)
			}
			var options, codes []string
			v.FlagSet().VisitAll(func(f *pflag.Flag) {
				if f.Hidden {
					return
				}
				if f.Shorthand != "" {
					options = append(options, "-"+f.Shorthand)
				}
				options = append(options, "--"+f.Name)
			})
			for _, c := range v.Codes {
				codes = append(codes, fmt.Sprintf("%d %s", c.Code, c.Text))
			}
			compare(t, "options", section.options, options)
			compare(t, "exit codes", section.codes, codes)
		})
	}
}

func compare(t *testing.T, what string, documented, real []string) {
	t.Helper()
	slices.Sort(documented)
	slices.Sort(real)
	if !slices.Equal(documented, real) {
		t.Errorf("%s:\ndocumented %q\nthe program's %q", what, documented, real)
	}
}
