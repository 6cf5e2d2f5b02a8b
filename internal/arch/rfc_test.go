package arch

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	rfcRow   = regexp.MustCompile(`(?m)^\| (\d+) \|.*\| ([^|]*) \|$`)
	rfcName  = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(.+)\.((?:Test|Fuzz)\w+)$`)
)

// TestRFCs makes sure that docs/rfc.md names only tests that exist, at least
// one for each RFC.
func TestRFCs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rfc.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[strings.TrimPrefix(s.dir(), "internal/")+"."+f.Name.Name] = true
			}
		}
	}
	rows := rfcRow.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 25 {
		t.Fatalf("docs/rfc.md has only %d rows that can be read", len(rows))
	}
	var seen []string
	for _, row := range rows {
		rfc, names := row[1], rfcName.FindAllStringSubmatch(row[2], -1)
		if slices.Contains(seen, rfc) {
			t.Errorf("RFC %s stands there twice", rfc)
		}
		seen = append(seen, rfc)
		if len(names) == 0 {
			t.Errorf("RFC %s names no test", rfc)
		}
		for _, n := range names {
			switch {
			case testName.MatchString(n[1]):
				if !tests[n[1]] {
					t.Errorf("RFC %s names %s, which does not exist", rfc, n[1])
				}
			default:
				if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(n[1]))); err != nil {
					t.Errorf("RFC %s names %s: %v", rfc, n[1], err)
				}
			}
		}
	}
}
