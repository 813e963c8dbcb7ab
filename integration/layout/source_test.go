package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const module = "tresor"

// root is the directory of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath, Dir, Name, Export      string
	Doc                                string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
	Module                             *struct{ Path string }
}

// pkg is one package of ours with its syntax and types.
type pkg struct {
	listed
	path  string // without the module
	files []*ast.File
	info  *types.Info
}

// source is everything, loaded once for all tests of this package.
type source struct {
	fset *token.FileSet
	pkgs []*pkg
}

// load parses and type-checks every package of ours; test files are not among them.
var load = sync.OnceValues(func() (*source, error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Name,Doc,Export,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Module", "./...")
	cmd.Dir = root()
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, messages.String())
	}
	s := &source{fset: token.NewFileSet()}
	exports := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[l.ImportPath] = l.Export
		if l.Module != nil && l.Module.Path == module {
			s.pkgs = append(s.pkgs, &pkg{listed: l, path: strings.TrimPrefix(l.ImportPath, module+"/")})
		}
	}
	imports := importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range s.pkgs {
		if err := s.check(p, imports); err != nil {
			return nil, err
		}
	}
	return s, nil
})

func (s *source) check(p *pkg, imports types.Importer) error {
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(s.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p.files = append(p.files, f)
	}
	p.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: imports}
	if _, err := conf.Check(p.ImportPath, s.fset, p.files, p.info); err != nil {
		return fmt.Errorf("check types of %s: %w", p.path, err)
	}
	return nil
}

// all returns the source or ends the test.
func all(t *testing.T) *source {
	t.Helper()
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.pkgs) < 20 {
		t.Fatalf("%d packages found: the walk is broken", len(s.pkgs))
	}
	return s
}

// at is a position for messages.
func (s *source) at(n ast.Node) string {
	pos := s.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", relative(pos.Filename), pos.Line)
}

// excused tells whether the line of a node ends in a comment `//nolint:RULE // reason`.
func (s *source) excused(n ast.Node, rule string) bool {
	pos := s.fset.Position(n.Pos())
	for _, p := range s.pkgs {
		for _, f := range p.files {
			if s.fset.Position(f.Pos()).Filename != pos.Filename {
				continue
			}
			for _, group := range f.Comments {
				for _, c := range group.List {
					if s.fset.Position(c.Pos()).Line == pos.Line && strings.HasPrefix(c.Text, "//nolint:"+rule+" // ") {
						return true
					}
				}
			}
		}
	}
	return false
}

func relative(name string) string {
	if rel, err := filepath.Rel(root(), name); err == nil {
		return rel
	}
	return name
}

// eachFile calls fn for every file of the repository whose name ends in one of the endings, with its text.
func eachFile(t *testing.T, fn func(name, text string), endings ...string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := relative(path)
		if d.IsDir() && (name == ".git" || name == "bin" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		for _, ending := range endings {
			if !d.Type().IsRegular() || !strings.HasSuffix(name, ending) {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			seen++
			fn(name, string(text))
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Fatalf("read the files with %v: %d seen, %v", endings, seen, err)
	}
}
