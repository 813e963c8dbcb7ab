package layout

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// table is the import table of docs/architecture.md: for each package those that it may import.
type table map[string][]string

const tableFile = "docs/architecture.md"

// readTable reads the rows `| `package` | owns | may import |`. The last column has package names in backticks, or "nothing".
func readTable(t *testing.T) table {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), tableFile))
	if err != nil {
		t.Fatal(err)
	}
	rows := table{}
	name := regexp.MustCompile("^`([a-z0-9/]+)`$")
	quoted := regexp.MustCompile("`([a-z0-9/]+)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		m := name.FindStringSubmatch(strings.TrimSpace(cells[0]))
		if len(cells) != 3 || m == nil {
			continue
		}
		allowed := []string{}
		for _, q := range quoted.FindAllStringSubmatch(cells[2], -1) {
			allowed = append(allowed, q[1])
		}
		if len(allowed) == 0 && strings.TrimSpace(cells[2]) != "nothing" {
			t.Errorf("%s: row of %s: the last column names packages in backticks, or says nothing; have %q", tableFile, m[1], cells[2])
		}
		rows[m[1]] = allowed
	}
	if len(rows) < 20 {
		t.Fatalf("%s: %d rows of the import table found", tableFile, len(rows))
	}
	return rows
}

// free are the folders outside the table: they may import anything, and nobody imports them, but for the benchmark program.
func free(path string) bool {
	return strings.HasPrefix(path, "integration/") || strings.HasPrefix(path, "bench/")
}

func ours(imports []string) (list []string) {
	for _, i := range imports {
		if rest, ok := strings.CutPrefix(i, module+"/"); ok {
			list = append(list, rest)
		}
	}
	return list
}

func TestImportTable(t *testing.T) {
	rows := readTable(t)
	known := map[string]bool{}
	for _, p := range all(t).pkgs {
		known[p.path] = true
		if free(p.path) {
			continue
		}
		allowed, ok := rows[p.path]
		if !ok {
			t.Errorf("package %s has no row in the table of %s: add one, or put the code where it belongs", p.path, tableFile)
			continue
		}
		for _, i := range ours(p.Imports) {
			if !slices.Contains(allowed, i) {
				t.Errorf("the arrow from %s to %s is not in the table of %s: state what is needed as an interface in %s, or change the table and write a decision",
					p.path, i, tableFile, p.path)
			}
		}
		for _, i := range allowed {
			if !slices.Contains(ours(p.Imports), i) {
				t.Errorf("%s lets %s import %s, which it does not: take it out of the row", tableFile, p.path, i)
			}
		}
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("%s has a row for %s, which is no package: remove it", tableFile, name)
		}
	}
}

// TestDirections: the engine must be testable without a mount, so its tests look no higher than it does; the other way round nobody
// stands on tests.
func TestDirections(t *testing.T) {
	for _, p := range all(t).pkgs {
		for _, i := range ours(p.Imports) {
			if free(i) && !free(p.path) && !(p.path == benchmark && strings.HasPrefix(i, "bench/")) {
				t.Errorf("%s imports %s: only tests do that", p.path, i)
			}
		}
		for _, i := range slices.Concat(ours(p.TestImports), ours(p.XTestImports)) {
			from, to := strings.Split(p.path, "/")[0], strings.Split(i, "/")[0]
			if from == "index" && (to == "fs" || to == "cmd") || from == "fs" && to == "cmd" {
				t.Errorf("a test of %s imports %s: test it in %s itself, or in integration/", p.path, i, i)
			}
		}
	}
}

// benchmark is the program that puts the packages of bench together.
const benchmark = "cmd/ddbench"

const fuseLibrary = "github.com/hanwen/go-fuse/"

// TestFuseLibrary keeps the library where it can be replaced; the benchmark measures the library itself.
func TestFuseLibrary(t *testing.T) {
	s := all(t)
	adapters := []string{"fs", "fs/node", "bench/contender"}
	for _, p := range s.pkgs {
		if slices.Contains(adapters, p.path) {
			for _, f := range p.files {
				for _, i := range f.Imports {
					path, _ := strconv.Unquote(i.Path.Value)
					if path == fuseLibrary+"v2/fuse" && (i.Name == nil || i.Name.Name != "fusefs") {
						t.Errorf("%s: import the FUSE library as fusefs, so that three packages called fs stay apart", s.at(i))
					}
				}
			}
			continue
		}
		imports := p.Imports
		if !free(p.path) {
			imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
		}
		for _, i := range imports {
			if strings.HasPrefix(i, fuseLibrary) {
				t.Errorf("%s imports %s: only fs and fs/node know the FUSE library; hand in what is needed as plain values", p.path, i)
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range all(t).pkgs {
		for part := range strings.SplitSeq(p.path, "/") {
			if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "base", "types"}, part) {
				t.Errorf("package %s: a name is a noun that says what the package owns", p.path)
			}
		}
		if p.Name != "main" && p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("package %s has no package comment: say what it owns and what it promises", p.path)
		}
	}
}

// TestLongestChain holds the sentence of the architecture page about the longest chain of imports.
func TestLongestChain(t *testing.T) {
	byPath := map[string]*pkg{}
	for _, p := range all(t).pkgs {
		byPath[p.path] = p
	}
	longest := map[string][]string{}
	var walk func(path string) []string
	walk = func(path string) []string {
		if have, ok := longest[path]; ok {
			return have
		}
		var best []string
		for _, i := range ours(byPath[path].Imports) {
			if c := walk(i); len(c) > len(best) {
				best = c
			}
		}
		longest[path] = append([]string{path}, best...)
		return longest[path]
	}
	chain := walk("cmd/ddumbfs")
	text, err := os.ReadFile(filepath.Join(root(), tableFile))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("The longest chain of imports has %d packages", len(chain)); !strings.Contains(string(text), want) {
		t.Errorf("%s: want the sentence %q; the chain is %s", tableFile, want, strings.Join(chain, " -> "))
	}
}
