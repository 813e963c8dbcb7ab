package docs

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tresor/index/format"
)

// root is the directory of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are all documents: the README and what is below docs.
func pages(t *testing.T) (names []string) {
	t.Helper()
	names = []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		list, err := filepath.Glob(filepath.Join(root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range list {
			rel, err := filepath.Rel(root(), name)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, rel)
		}
	}
	if len(names) < 10 {
		t.Fatalf("documents found: %q", names)
	}
	return names
}

func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root(), filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// TestEveryPageIsReachable: a page that nobody links to is not found at night.
func TestEveryPageIsReachable(t *testing.T) {
	readme := read(t, "README.md")
	for _, page := range pages(t)[1:] {
		if !strings.Contains(readme, page) && !strings.HasPrefix(page, "docs/decisions/") {
			t.Errorf("README.md does not link to %s", page)
		}
	}
}

// TestNamedFilesExist: paths in backticks are files, folders or patterns of the repository.
func TestNamedFilesExist(t *testing.T) {
	named := regexp.MustCompile("`((?:index|fs|cmd|integration|docs|bench|\\.ci)/[^` ]*)`")
	seen := 0
	for _, page := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, page), -1) {
			name := strings.TrimSuffix(m[1], "...")
			if regexp.MustCompile(`^[a-z/]+\.\w+(\.\w+)+$`).MatchString(name) {
				continue // a mutex: see TestLocks
			}
			seen++
			if list, err := filepath.Glob(filepath.Join(root(), name) + "*"); err != nil || len(list) == 0 {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
	if seen < 20 {
		t.Fatalf("%d names found: the pattern is broken", seen)
	}
}

// TestNamedTargetsExist: `make X` in a document is a target, and every target of the Makefile is listed by `make`.
func TestNamedTargetsExist(t *testing.T) {
	cmd := exec.Command("make", "--no-print-directory", "help")
	cmd.Dir = root()
	help, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  make ([a-z-]+) `).FindAllStringSubmatch(string(help), -1) {
		listed[m[1]] = true
	}
	for _, page := range pages(t) {
		for _, m := range regexp.MustCompile("(?m)(?:`|^    |^)make ([a-z-]+)").FindAllStringSubmatch(read(t, page), -1) {
			if !listed[m[1]] {
				t.Errorf("%s names `make %s`, which `make` does not list", page, m[1])
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		if !listed[m[1]] && !strings.HasPrefix(m[1], "need-") {
			t.Errorf("target %s has no description (## ...), so that `make` does not list it", m[1])
		}
	}
}

// TestOverhead recomputes the README's table of what a volume costs.
func TestOverhead(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\| (\d+[kM]) \| ([\d.]+[kMGT]) \| ([\d.]+) % \|$`).FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(rows) < 3 {
		t.Fatalf("README.md: rows of the table of overhead: have %q", rows)
	}
	for _, row := range rows {
		block, err := format.ParseSize(row[1])
		if err != nil {
			t.Fatal(err)
		}
		c, err := format.NewConfig(format.CreateOptions{Hash: "BLAKE3", Size: 1 << 40, BlockSize: int(block), Overflow: 1.3,
			IndexFilename: "ddfsidx", BlockFilename: "ddfsblocks"})
		if err != nil {
			t.Fatal(err)
		}
		share := fmt.Sprintf("%.3f", math.Round(1e5*float64(c.NodeSize)/float64(block))/1e3)
		if have := format.FormatSize(c.IndexSize); have != row[2] || share != row[3] {
			t.Errorf("README.md, blocks of %s: have %s and %s %%, want %s and %s %%", row[1], row[2], row[3], have, share)
		}
	}
}

// TestGoldenCount holds the number of golden volumes in the README.
func TestGoldenCount(t *testing.T) {
	list, err := filepath.Glob(filepath.Join(root(), "integration/testdata/golden/*.tar.zst"))
	if want := fmt.Sprintf("over %d volumes made by the original", len(list)); err != nil || !strings.Contains(read(t, "README.md"), want) {
		t.Errorf("README.md: want %q (%v)", want, err)
	}
}

// TestVariables: the environment variables of the tests are all in docs/testing.md.
func TestVariables(t *testing.T) {
	used := map[string]bool{}
	name := regexp.MustCompile(`"(TRESOR_[A-Z]+)"`)
	eachSource(t, func(_, text string) {
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
		}
	})
	testing := read(t, "docs/testing.md")
	for v := range used {
		if !strings.Contains(testing, "| `"+v+"` |") {
			t.Errorf("docs/testing.md does not describe the variable %s", v)
		}
	}
	for _, m := range regexp.MustCompile("`(TRESOR_[A-Z]+)`").FindAllStringSubmatch(testing, -1) {
		if !used[m[1]] {
			t.Errorf("docs/testing.md describes the variable %s, which no source uses", m[1])
		}
	}
}

// eachSource calls fn for every Go file but those of this package.
func eachSource(t *testing.T, fn func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(root(), func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "testdata"}, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.Contains(path, "/integration/docs/"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root(), path)
		fn(rel, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
