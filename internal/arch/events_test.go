package arch

import (
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const running = "docs/running.md"

// TestEvents: every line of the log has an id that can be matched, and
// docs/running.md explains each, with the level that it has.
func TestEvents(t *testing.T) {
	ids := map[string]string{}             // by the names of the constants
	levels := map[string]map[string]bool{} // by the same names
	logging := map[string]string{"Debug": "", "Info": "INFO", "Warn": "WARN", "Error": "ERROR", "Log": "", "LogAttrs": ""}
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.path, "internal/") {
			continue
		}
		if s.dir() == "internal/events" {
			constants(t, s, ids)
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok && named(x.X, "events") && x.Sel.Name != "ID" && levels[x.Sel.Name] == nil {
				levels[x.Sel.Name] = map[string]bool{}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !named(f.X, "log", "Log", "slog") {
				return true
			}
			level, logs := logging[f.Sel.Name]
			if !logs || f.Sel.Name == "Debug" {
				return true
			}
			id, has := eventOf(call)
			if !has {
				t.Errorf("%s: a line of the log without an event: give it one of internal/events as \"event\", and explain it in %s", s.at(call.Pos()), running)
			}
			if id != "" && level != "" {
				if levels[id] == nil {
					levels[id] = map[string]bool{}
				}
				levels[id][level] = true
			}
			return true
		})
	}
	for name, id := range ids {
		if levels[name] == nil {
			t.Errorf("the event %s is never logged", id)
		}
	}
	documented := eventTable(t)
	for name, id := range ids {
		level, ok := documented[id]
		switch {
		case !ok:
			t.Errorf("%s does not explain the event %s", running, id)
		case len(levels[name]) > 0 && !levels[name][level]:
			t.Errorf("%s says that %s has level %s, the code %v", running, id, level, slices.Collect(maps.Keys(levels[name])))
		}
	}
	known := slices.Collect(maps.Values(ids))
	for id := range documented {
		if !slices.Contains(known, id) {
			t.Errorf("%s explains the event %s, which there is none of", running, id)
		}
	}
}

// named reports whether x, or its last part, has one of these names.
func named(x ast.Expr, names ...string) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return slices.Contains(names, x.Name)
	case *ast.SelectorExpr:
		return slices.Contains(names, x.Sel.Name)
	}
	return false
}

// eventOf looks for the event of a call that logs: the name of its constant if
// it stands there, and whether there is one at all. A helper that is given the
// id has it in a variable.
func eventOf(call *ast.CallExpr) (name string, has bool) {
	ast.Inspect(call, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if named(n.X, "events") {
				name, has = n.Sel.Name, true
			}
		case *ast.BasicLit:
			has = has || n.Kind == token.STRING && n.Value == `"event"`
		}
		return true
	})
	return name, has
}

func constants(t *testing.T, s source, ids map[string]string) {
	form := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	for _, d := range s.file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			id, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if !form.MatchString(id) {
				t.Errorf("%s: %q is not two or more words like neighbor-up", s.at(v.Pos()), id)
			}
			if slices.Contains(slices.Collect(maps.Values(ids)), id) {
				t.Errorf("%s: %q is there twice", s.at(v.Pos()), id)
			}
			if v.Comment == nil && v.Doc == nil {
				t.Errorf("%s: %q has no comment", s.at(v.Pos()), id)
			}
			ids[v.Names[0].Name] = id
		}
	}
}

// eventTable reads the table of events: the level of each.
func eventTable(t *testing.T) map[string]string {
	text, err := os.ReadFile(filepath.Join("..", "..", running))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	_, table, _ := strings.Cut(string(text), "| event |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ([A-Z]+) \\|.*\\|.*\\|$").FindAllStringSubmatch(table, -1) {
		if all[m[1]] != "" {
			t.Errorf("%s explains %s twice", running, m[1])
		}
		all[m[1]] = m[2]
	}
	return all
}
