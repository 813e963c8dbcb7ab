package layout

import (
	"regexp"
	"strings"
	"testing"
)

// TestNoLineNumbers: documents that cite line numbers are wrong after the next edit.
func TestNoLineNumbers(t *testing.T) {
	cited := regexp.MustCompile(`\.(go|sh|md|mk):\d+|\b[Ll]ines? \d+\b`)
	eachFile(t, func(name, text string) {
		for _, m := range cited.FindAllString(text, -1) {
			t.Errorf("%s cites a line number (%s): name the file and the function", name, m)
		}
	}, ".md")
}

// TestNoMachinePaths: the tree must work on any machine.
func TestNoMachinePaths(t *testing.T) {
	// Written in pieces, so that this file passes.
	private := regexp.MustCompile(`(^|[\s"'(=:` + "`" + `])/(` + strings.Join([]string{"wo" + "rk", "fa" + "rm", "ho" + "me"}, "|") + `)/[a-zA-Z0-9]`)
	eachFile(t, func(name, text string) {
		for _, m := range private.FindAllString(text, -1) {
			t.Errorf("%s names a directory of one machine (%q): use a path relative to the repository, or a temporary directory", name, strings.TrimSpace(m))
		}
	}, ".go", ".md", ".sh", "Makefile", ".ci/run", ".ci/need")
}
