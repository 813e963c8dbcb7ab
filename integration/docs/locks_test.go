package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLocks: every mutex of the source has a row in docs/locking.md, and every row a mutex.
func TestLocks(t *testing.T) {
	var real, documented []string
	eachSource(t, func(name, text string) {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "integration/") || strings.HasPrefix(name, "bench/") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok {
					real = append(real, mutexes(filepath.Dir(name)+"."+ts.Name.Name, ts.Type)...)
				}
			}
		}
	})
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z/]+\\.\\w+(?:\\.\\w+)+)` \\|").FindAllStringSubmatch(read(t, "docs/locking.md"), -1) {
		documented = append(documented, m[1])
	}
	if len(real) < 15 {
		t.Fatalf("mutexes found: %q", real)
	}
	for _, m := range real {
		if !slices.Contains(documented, m) {
			t.Errorf("docs/locking.md has no row for %s: say what it guards, whether I/O is done under it, and its place in the order", m)
		}
	}
	for _, m := range documented {
		if !slices.Contains(real, m) {
			t.Errorf("docs/locking.md has a row for %s, which is no mutex", m)
		}
	}
}

// mutexes returns the mutexes in a type, by the names that lead to them.
func mutexes(path string, e ast.Expr) (list []string) {
	switch x := e.(type) {
	case *ast.ArrayType:
		return mutexes(path, x.Elt)
	case *ast.StructType:
		for _, f := range x.Fields.List {
			names := f.Names
			if sel, ok := f.Type.(*ast.SelectorExpr); ok && len(names) == 0 {
				names = []*ast.Ident{sel.Sel} // embedded
			}
			for _, n := range names {
				list = append(list, mutexes(path+"."+n.Name, f.Type)...)
			}
		}
	case *ast.SelectorExpr:
		if pkg, ok := x.X.(*ast.Ident); ok && pkg.Name == "sync" && (x.Sel.Name == "Mutex" || x.Sel.Name == "RWMutex") {
			return []string{path}
		}
	}
	return list
}
