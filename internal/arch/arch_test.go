// Package arch holds the rules about the source tree itself: which package may
// import which, what the machines without I/O may use, and how large files get.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "holdfast/"

// rule says what a package may import of this module, and whether it is a
// machine: no I/O, no clock, no goroutines.
type rule struct {
	machine bool
	imports string // names below internal/, separated by spaces
	also    string // standard packages that this machine may use all the same
}

// rules is the direction of imports. A package stands below all that import
// it; rank checks that there is such an order. New packages are entered here.
var rules = map[string]rule{
	"internal/events": {machine: true},
	"internal/prefix": {machine: true},
	"internal/slab":   {machine: true},

	"internal/wire": {machine: true, imports: "prefix"},
	"internal/rpki": {machine: true, imports: "prefix"},
	"internal/fib":  {machine: true, imports: "prefix"},
	// A packet is shared by the engine and the sessions, hence the pool.
	"internal/packet": {machine: true, imports: "prefix", also: "sync sync/atomic"},
	"internal/fsm":    {machine: true, imports: "prefix wire"},
	// Sets are shared by policies and indexed once, by whoever is first.
	"internal/policy": {machine: true, imports: "prefix wire packet rpki", also: "sync"},
	"internal/attr":   {machine: true, imports: "prefix slab wire packet policy"},
	"internal/rib":    {machine: true, imports: "prefix slab wire packet attr"},
	"internal/export": {machine: true, imports: "prefix slab wire packet rpki attr rib policy"},
	// The configuration is read from files.
	"internal/config":  {machine: true, imports: "prefix wire rpki policy", also: "os"},
	"internal/lint":    {machine: true, imports: "prefix wire policy config"},
	"internal/starter": {machine: true, imports: "prefix policy config"},

	"internal/state":   {imports: "events"},
	"internal/kernel":  {imports: "events prefix fib"},
	"internal/radv":    {imports: "events"},
	"internal/bfd":     {imports: "events"},
	"internal/session": {imports: "events prefix wire packet fsm config"},
	"internal/engine":  {imports: "events prefix fib slab wire packet rpki attr policy rib export config fsm session"},
	"internal/mrt":     {imports: "prefix wire"},
	"internal/rtr":     {imports: "events prefix rpki"},
	"internal/replay":  {imports: "prefix wire packet fsm session mrt"},

	"internal/api/holdfastv1":                   {},
	"internal/api/holdfastv1/holdfastv1connect": {imports: "api/holdfastv1"},
	"internal/api":                              {imports: "events prefix wire api/holdfastv1 api/holdfastv1/holdfastv1connect"},
	"internal/metrics":                          {imports: "events prefix api engine"},
	"internal/view":                             {imports: "prefix wire config api api/holdfastv1"},
	"internal/privilege":                        {},
	"internal/systemd":                          {imports: "events"},
	"internal/daemon":                           {imports: "events fib kernel rpki rtr prefix wire packet attr policy rib export config lint fsm session engine mrt api api/holdfastv1 metrics privilege systemd state radv bfd"},
	"internal/demo":                             {imports: "prefix wire config mrt api api/holdfastv1 view daemon replay"},
	"internal/cli":                              {imports: "events prefix wire policy config starter mrt api api/holdfastv1 view systemd daemon demo replay"},
}

// forbidden to machines, and why.
var forbidden = map[string]string{
	"net":         "I/O belongs to session and cli (net/netip is fine)",
	"os":          "I/O belongs to the packages around it",
	"os/exec":     "I/O belongs to the packages around it",
	"log":         "return what happened; the caller logs",
	"log/slog":    "return what happened; the caller logs",
	"sync":        "a machine has one caller at a time",
	"sync/atomic": "a machine has one caller at a time",
	"context":     "a machine does not wait",
}

// clock has the functions of package time that read or wait for the clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}

const maxLines = 600

type source struct {
	path string // from the root of the repository
	file *ast.File
	fset *token.FileSet
	test bool
}

func (s source) dir() string { return path.Dir(s.path) }

func (s source) at(p token.Pos) string { return s.path + ":" + strconv.Itoa(s.fset.Position(p).Line) }

func (s source) imports() []string {
	var all []string
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			all = append(all, p)
		}
	}
	return all
}

// generated is what `go help generate` asks generators to write.
func (s source) generated() bool { return ast.IsGenerated(s.file) }

// sources parses every Go file of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	fset := token.NewFileSet()
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); p != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "dist") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(rel), f, fset, strings.HasSuffix(p, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d Go files below %s", len(all), root)
	}
	return all
}

func TestImportDirection(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.path, "internal/") {
			continue
		}
		r, ok := rules[s.dir()]
		if !ok {
			t.Errorf("%s: package %s is not in the table of internal/arch: enter what it may import", s.path, s.dir())
			continue
		}
		for _, i := range s.imports() {
			name, internal := strings.CutPrefix(i, module+"internal/")
			switch {
			case internal && !slices.Contains(strings.Fields(r.imports), name):
				t.Errorf("%s imports %s: the table of internal/arch does not allow that", s.path, i)
			case !internal && strings.HasPrefix(i, module):
				t.Errorf("%s imports %s: internal packages import only internal packages", s.path, i)
			}
			if why := forbidden[i]; r.machine && why != "" && !slices.Contains(strings.Fields(r.also), i) {
				t.Errorf("%s imports %s: %s", s.path, i, why)
			}
		}
	}
}

// TestRank makes sure that the table itself has a direction.
func TestRank(t *testing.T) {
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(name string, from []string)
	visit = func(name string, from []string) {
		from = append(from, name)
		switch state[name] {
		case visiting:
			t.Fatalf("the table has a circle: %s", strings.Join(from, " → "))
		case done:
			return
		}
		state[name] = visiting
		for _, i := range strings.Fields(rules["internal/"+name].imports) {
			if _, ok := rules["internal/"+i]; !ok {
				t.Errorf("%s may import %s, which is not in the table", name, i)
			}
			if rules["internal/"+name].machine && !rules["internal/"+i].machine {
				t.Errorf("%s is a machine and may not import %s, which is none", name, i)
			}
			visit(i, from)
		}
		state[name] = done
	}
	for p := range rules {
		visit(strings.TrimPrefix(p, "internal/"), nil)
	}
}

// TestClock keeps machines free of the clock: they are told the time.
func TestClock(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !rules[s.dir()].machine {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
					t.Errorf("%s: time.%s in a package without clock: take the time as an argument", s.at(n.Pos()), n.Sel.Name)
				}
			case *ast.GoStmt:
				t.Errorf("%s: go statement in a package without goroutines", s.at(n.Pos()))
			}
			return true
		})
	}
}

func TestPackageComments(t *testing.T) {
	comments := map[string][]string{}
	for _, s := range sources(t) {
		if s.test || s.generated() {
			continue
		}
		where := comments[s.dir()]
		if s.file.Doc != nil {
			where = append(where, s.path)
		}
		comments[s.dir()] = where
	}
	for dir, where := range comments {
		if len(where) != 1 {
			t.Errorf("%s has %d package comments %v, want one", dir, len(where), where)
		}
	}
}

func TestFileSizes(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.generated() {
			continue
		}
		if lines := s.fset.File(s.file.Pos()).LineCount(); lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: is it one thing?", s.path, lines, maxLines)
		}
	}
}

// TestKitStaysOutside keeps test helpers out of the binary.
func TestKitStaysOutside(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.path, "testkit/") || strings.HasPrefix(s.path, "test/") {
			continue
		}
		for _, i := range s.imports() {
			if i == "testing" || strings.HasPrefix(i, module+"testkit/") || strings.HasPrefix(i, module+"test/") {
				t.Errorf("%s imports %s outside a test", s.path, i)
			}
		}
	}
}

// TestNoSkips: a skipped test proves nothing. What cannot run somewhere has a
// build tag.
func TestNoSkips(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test && !strings.HasPrefix(s.path, "testkit/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Skip" && sel.Sel.Name != "Skipf" && sel.Sel.Name != "SkipNow" {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains([]string{"t", "b", "f", "tb", "rt"}, x.Name) {
				t.Errorf("%s: %s.%s: a skipped test proves nothing; use a build tag", s.at(n.Pos()), x.Name, sel.Sel.Name)
			}
			return true
		})
	}
}
