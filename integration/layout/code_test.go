package layout

import (
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const (
	maxFile     = 500 // lines, tests included
	maxFunction = 100 // lines
)

// exception is a place where a rule does not hold, with the reason.
type exception struct{ path, name, reason string }

func excepted(list []exception, path, name string) bool {
	return slices.ContainsFunc(list, func(e exception) bool { return e.path == path && e.name == name })
}

// panics may be the answer to a mistake of a programmer, never to input.
func panics() []exception {
	return []exception{
		{"index/blockhash", "Sum", "the zero Kind cannot come from a volume: Lookup refuses unknown names"},
		{"index/table", "New", "entries of a length other than the geometry's"},
	}
}

// variables are package variables that change.
func variables() []exception {
	return []exception{
		{"index/disk/disktest", "siteNames", "a cache of the names of program counters, which never change"},
		{"index/recipe", "small", "a pool of unused memory, which ties no volumes together"},
		{"index/recipe", "large", "the same"},
	}
}

// callers of the operating system, where unsafe pointers and bare errno values are at home.
func talksToKernel(path string) bool {
	return path == "index/disk" || path == "fs/inode" || path == "fs/node"
}

// inspect calls fn for every node of every file of ours outside integration and bench, with the name of the function around it.
func inspect(t *testing.T, fn func(s *source, p *pkg, function string, n ast.Node)) {
	t.Helper()
	s := all(t)
	for _, p := range s.pkgs {
		if free(p.path) {
			continue
		}
		for _, f := range p.files {
			for _, d := range f.Decls {
				name := ""
				if fd, ok := d.(*ast.FuncDecl); ok {
					name = fd.Name.Name
				}
				ast.Inspect(d, func(n ast.Node) bool {
					if n != nil {
						fn(s, p, name, n)
					}
					return true
				})
			}
		}
	}
}

// called returns "package.Function" for a call of a function of another package, "panic" for the builtin.
func called(p *pkg, n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return ""
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		if b, ok := p.info.Uses[f].(*types.Builtin); ok {
			return b.Name()
		}
	case *ast.SelectorExpr:
		o := p.info.Uses[f.Sel]
		if o == nil || o.Pkg() == nil {
			return ""
		}
		if fn, ok := o.(*types.Func); ok && fn.Signature().Recv() != nil {
			return o.Pkg().Path() + ".(method)." + o.Name()
		}
		return o.Pkg().Path() + "." + o.Name()
	}
	return ""
}

func TestCalls(t *testing.T) {
	fatal := regexp.MustCompile(`^(log|log/slog|github\.com/sirupsen/logrus)\.(\(method\)\.)?(Fatal|Panic|Exit)`)
	inspect(t, func(s *source, p *pkg, function string, n ast.Node) {
		name := called(p, n)
		switch {
		case name == "os.Exit" && p.Name != "main":
			t.Errorf("%s: os.Exit outside a main: return an error; package cli makes the exit code of it", s.at(n))
		case fatal.MatchString(name):
			t.Errorf("%s: %s: libraries never end the process: return an error", s.at(n), name)
		case name == "panic" && !excepted(panics(), p.path, function):
			t.Errorf("%s: panic: return an error that says what is wrong; a bug is found by a test", s.at(n))
		case name == "time.Sleep":
			t.Errorf("%s: time.Sleep: wait for a signal (a channel, a condition) or use a ticker that can be stopped", s.at(n))
		case (name == "println" || name == "print" || regexp.MustCompile(`^fmt\.Print`).MatchString(name)) && p.Name != "main":
			t.Errorf("%s: %s: libraries never print: take an io.Writer, or return what is to be said", s.at(n), name)
		}
	})
}

func TestNoInit(t *testing.T) {
	inspect(t, func(s *source, p *pkg, _ string, n ast.Node) {
		if f, ok := n.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			t.Errorf("%s: func init: make it a constructor that its user calls", s.at(n))
		}
	})
}

func isError(v types.Type) bool {
	named, ok := v.(*types.Named)
	return ok && named.Obj().Pkg() == nil && named.Obj().Name() == "error"
}

// bareErrno tells whether an expression is a constant of type syscall.Errno, such as unix.ENOENT.
func bareErrno(tv types.TypeAndValue) bool {
	named, ok := types.Unalias(tv.Type).(*types.Named)
	return ok && tv.Value != nil && named.Obj().Name() == "Errno" && named.Obj().Pkg().Path() == "syscall"
}

// TestErrorComparison: wrapped errors are not equal to what they wrap. What a system call returned may be compared with a number where
// it was called.
func TestErrorComparison(t *testing.T) {
	inspect(t, func(s *source, p *pkg, function string, n ast.Node) {
		if function == "Is" { // errors.Is calls it with what it has unwrapped
			return
		}
		var left, right ast.Expr
		switch x := n.(type) {
		case *ast.BinaryExpr:
			if x.Op != token.EQL && x.Op != token.NEQ {
				return
			}
			left, right = x.X, x.Y
		case *ast.SwitchStmt:
			if x.Tag == nil || !isError(p.info.Types[x.Tag].Type) {
				return
			}
			for _, c := range x.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					compare(t, s, p, x.Tag, e)
				}
			}
			return
		default:
			return
		}
		compare(t, s, p, left, right)
	})
}

func compare(t *testing.T, s *source, p *pkg, left, right ast.Expr) {
	t.Helper()
	l, r := p.info.Types[left], p.info.Types[right]
	if !isError(l.Type) && !isError(r.Type) || l.IsNil() || r.IsNil() {
		return
	}
	if talksToKernel(p.path) && (bareErrno(l) || bareErrno(r)) || s.excused(right, "errorlint") {
		return
	}
	t.Errorf("%s: errors compared with == or in a switch: use errors.Is, which sees through wrapping", s.at(right))
}

// TestPackageVariables: two volumes live in one process, and tests run side by side.
func TestPackageVariables(t *testing.T) {
	s := all(t)
	changed := changedVariables(s)
	for _, p := range s.pkgs {
		if free(p.path) {
			continue
		}
		for id, o := range p.info.Defs {
			v, ok := o.(*types.Var)
			if !ok || v.Parent() != v.Pkg().Scope() || id.Name == "_" || excepted(variables(), p.path, v.Name()) {
				continue
			}
			if why := changed[v.Pkg().Path()+"."+v.Name()]; why != "" {
				t.Errorf("%s: package variable %s changes (%s): hang it on a value that is handed around", s.at(id), v.Name(), why)
			} else if holdsState(v.Type()) {
				t.Errorf("%s: package variable %s of type %s is shared state: hang it on a value that is handed around", s.at(id), v.Name(), v.Type())
			}
		}
	}
}

// holdsState tells whether a variable of that type is there to be changed.
func holdsState(v types.Type) bool {
	if _, ok := v.Underlying().(*types.Chan); ok {
		return true
	}
	named, ok := types.Unalias(v).(*types.Named)
	return ok && named.Obj().Pkg() != nil && strings.HasPrefix(named.Obj().Pkg().Path(), "sync")
}

// changedVariables finds package variables that are assigned to, in whole or in part, or whose address is taken.
func changedVariables(s *source) map[string]string {
	changed := map[string]string{}
	for _, p := range s.pkgs {
		note := func(e ast.Expr, how string) {
			if v := rootVariable(p, e); v != nil && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
				changed[v.Pkg().Path()+"."+v.Name()] = how + " at " + s.at(e)
			}
		}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch x := n.(type) {
				case *ast.AssignStmt:
					for _, e := range x.Lhs {
						note(e, "assigned")
					}
				case *ast.IncDecStmt:
					note(x.X, "counted")
				case *ast.UnaryExpr:
					if x.Op == token.AND && !readOnlyTable(p, x.X) {
						note(x.X, "address taken")
					}
				}
				return true
			})
		}
	}
	return changed
}

// readOnlyTable tells whether an expression is an array: a pointer to one is how a large table is read.
func readOnlyTable(p *pkg, e ast.Expr) bool {
	_, ok := p.info.Types[e].Type.Underlying().(*types.Array)
	return ok
}

// rootVariable is the variable that x, x.f, x[i] and *x begin with.
func rootVariable(p *pkg, e ast.Expr) *types.Var {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			v, _ := p.info.Uses[x].(*types.Var)
			return v
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok {
				if _, ok := p.info.Uses[id].(*types.PkgName); ok {
					v, _ := p.info.Uses[x.Sel].(*types.Var)
					return v
				}
			}
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func TestUnsafe(t *testing.T) {
	for _, p := range all(t).pkgs {
		if slices.Contains(p.Imports, "unsafe") && !talksToKernel(p.path) && !free(p.path) {
			t.Errorf("package %s imports unsafe: only those that call the kernel themselves do; copy the bytes", p.path)
		}
	}
}

func TestSizes(t *testing.T) {
	generated := regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	eachFile(t, func(name, text string) {
		if n := strings.Count(text, "\n"); n > maxFile && !generated.MatchString(text) {
			t.Errorf("%s has %d lines, want at most %d: split it by concern", name, n, maxFile)
		}
	}, ".go")
	s := all(t)
	for _, p := range s.pkgs {
		for _, f := range p.files {
			if ast.IsGenerated(f) {
				continue
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				n := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1
				if n > maxFunction {
					t.Errorf("%s: %s has %d lines, want at most %d: name its steps", s.at(fn), fn.Name.Name, n, maxFunction)
				}
			}
		}
	}
}

// TestComments: every exported name says what it promises. Methods that only satisfy an interface are left out where their type is not exported.
func TestComments(t *testing.T) {
	s := all(t)
	for _, p := range s.pkgs {
		if free(p.path) || p.Name == "main" {
			continue
		}
		for _, f := range p.files {
			for _, d := range f.Decls {
				switch x := d.(type) {
				case *ast.FuncDecl:
					if x.Name.IsExported() && x.Doc == nil && exportedReceiver(x) && !obvious(x.Name.Name) {
						t.Errorf("%s: %s has no comment: say what it promises, with units and errors", s.at(x), x.Name.Name)
					}
				case *ast.GenDecl:
					for _, spec := range x.Specs {
						if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && x.Doc == nil && ts.Doc == nil && ts.Comment == nil {
							t.Errorf("%s: type %s has no comment: say what it stands for", s.at(ts), ts.Name.Name)
						}
					}
				}
			}
		}
	}
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	e := f.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	id, ok := e.(*ast.Ident)
	return ok && id.IsExported()
}

// obvious are methods of the standard library's interfaces.
func obvious(name string) bool {
	return slices.Contains([]string{"Error", "Is", "As", "Unwrap", "String", "Len", "Less", "Swap"}, name)
}

// TestErrorTexts: lower case, the operation first, no "failed to".
func TestErrorTexts(t *testing.T) {
	clumsy := regexp.MustCompile(`(?i)^(failed to|error while|error:|could not)`)
	inspect(t, func(s *source, p *pkg, _ string, n ast.Node) {
		name := called(p, n)
		if name != "errors.New" && name != "fmt.Errorf" {
			return
		}
		lit, ok := n.(*ast.CallExpr).Args[0].(*ast.BasicLit)
		if !ok {
			return
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil || text == "" {
			t.Errorf("%s: error without a text", s.at(lit))
			return
		}
		r := []rune(text)
		if unicode.IsUpper(r[0]) && len(r) > 1 && unicode.IsLower(r[1]) || clumsy.MatchString(text) || strings.HasSuffix(text, ".") {
			t.Errorf("%s: error text %q: write it in lower case, the operation first, without \"failed to\" and without a full stop", s.at(lit), text)
		}
	})
}
