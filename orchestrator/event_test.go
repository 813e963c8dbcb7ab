package orchestrator_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/orchestrator"
)

func TestLacks(t *testing.T) {
	whole := orchestrator.Event{Severity: orchestrator.Failure, Subject: "a copy failed", Body: "no such device", Advice: "replace the disk", Machine: "dc"}
	for _, kind := range orchestrator.Kinds() {
		for want, change := range map[string]func(e *orchestrator.Event){
			"":           func(*orchestrator.Event) {},
			"what":       func(e *orchestrator.Event) { e.Subject = " \n" },
			"where":      func(e *orchestrator.Event) { e.Machine = "" },
			"why":        func(e *orchestrator.Event) { e.Body = "" },
			"what to do": func(e *orchestrator.Event) { e.Advice = "" },
		} {
			e := whole
			e.Kind = kind
			change(&e)
			have := strings.Join(e.Lacks(), ",")
			service := slices.Contains([]string{orchestrator.Started, orchestrator.NoVolume, orchestrator.SwitchEnded, orchestrator.Stalled, orchestrator.StepFailed, orchestrator.RebootFailed}, kind)
			if have != want && !(want == "where" && service && have == "") {
				t.Errorf("%s without %q: lacks %q", kind, want, have)
			}
		}
	}
	if have := (orchestrator.Event{Severity: orchestrator.Info, Subject: "fine"}).Lacks(); len(have) > 0 {
		t.Errorf("good news lack %q", have)
	}
}

// TestEveryMessage reads the source: whoever makes an event that can be a failure or a warning gives it a subject, a body and advice, in the literal or later
// in the same function, and each kind is made by somebody.
func TestEveryMessage(t *testing.T) {
	made := map[string]bool{}
	for _, top := range []string{".", "../cmd/internal"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok {
					audit(t, files, fn, made)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	constants := kinds(t)
	if have, want := slices.Sorted(slices.Values(orchestrator.Kinds())), slices.Sorted(maps.Values(constants)); !slices.Equal(have, want) {
		t.Errorf("Kinds() has %q, and event.go %q", have, want)
	}
	manual, err := os.ReadFile("../docs/tresor.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range constants {
		if !made[name] {
			t.Errorf("nobody makes an event of kind %s", name)
		}
		if !strings.Contains(string(manual), "\n| `"+kind+"` | ") {
			t.Errorf("docs/tresor.md says nothing of messages of kind %s", kind)
		}
	}
}

// kinds are the constants of event.go without a type, by their names.
func kinds(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			if v, ok := s.(*ast.ValueSpec); ok && v.Type == nil && len(v.Values) == 1 {
				if l, ok := v.Values[0].(*ast.BasicLit); ok {
					list[v.Names[0].Name] = strings.Trim(l.Value, `"`)
				}
			}
		}
	}
	return list
}

// audit holds the events that a function makes against what a message must have. Kinds that it names are noted in made.
func audit(t *testing.T, files *token.FileSet, fn *ast.FuncDecl, made map[string]bool) {
	t.Helper()
	set := map[string]bool{} // fields that are set by assignments
	var literals []*ast.CompositeLit
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if s, ok := left.(*ast.SelectorExpr); ok {
					set[s.Sel.Name] = true
				}
			}
		case *ast.CompositeLit:
			if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Event" && text(s.X) == "orchestrator" {
				literals = append(literals, n)
			}
		case *ast.SelectorExpr:
			if text(n.X) == "orchestrator" && !strings.HasSuffix(files.Position(n.Pos()).Filename, "notify/queue.go") { // that one only sorts them
				made[n.Sel.Name] = true
			}
		}
		return true
	})
	for _, l := range literals {
		fields, severity := maps.Clone(set), ""
		for _, e := range l.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				fields[text(kv.Key)] = true
				if s, ok := kv.Value.(*ast.SelectorExpr); ok && text(kv.Key) == "Severity" {
					severity = s.Sel.Name
				}
			}
		}
		want := []string{"Severity", "Kind", "Subject", "Body", "Advice"}
		if severity == "Info" && !set["Severity"] {
			want = want[:3]
		}
		if len(l.Elts) > 0 && fields["Subject"] == false && fn.Name.Name == "parse" { // what templates are tried on
			continue
		}
		for _, f := range want {
			if !fields[f] {
				t.Errorf("%s: %s makes an event without %s", files.Position(l.Pos()), fn.Name.Name, f)
			}
		}
	}
}

func text(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
