package lint

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/config"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

func load(t *testing.T, file string) *config.Config {
	t.Helper()
	c, ds := config.Load(file)
	if ds.HasErrors() {
		t.Fatal(ds.Err())
	}
	return c
}

// TestFindings compares what is found in testdata/*.hcl with *.want.
func TestFindings(t *testing.T) {
	if err := os.Chmod("testdata/ix.key", 0o600); err != nil { // which a checkout does not keep
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.hcl")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		c := load(t, file)
		ds := Check(c)
		got, want := ds.Text(), strings.TrimSuffix(file, ".hcl")+".want"
		if *update {
			if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		text, err := os.ReadFile(want)
		if err != nil || string(text) != got {
			t.Errorf("%s: %v (run with -update if the change is meant)\n%s", want, err, got)
		}
		for _, d := range ds {
			if d.Severity != config.Warning || d.Pos.Line == 0 || d.Fix == "" {
				t.Errorf("%s: %s", file, d)
			}
		}
	}
}

// TestExamples: what the documentation shows and the demo runs is without
// fault.
func TestExamples(t *testing.T) {
	for _, file := range []string{"../../README.md", "../../docs/configuration.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, m := range regexp.MustCompile("(?s)```hcl\n(router.*?)```").FindAllSubmatch(text, -1) {
			whole++
			c, ds := config.Parse(file, m[1])
			if ds = append(ds, Check(c)...); len(ds) > 0 {
				t.Errorf("%s:\n%s", file, ds.Text())
			}
		}
		if whole != 1 {
			t.Errorf("%s has %d whole configurations", file, whole)
		}
	}
	// The second is what is measured against other routers.
	for _, file := range []string{"../demo/config/edge.hcl", "../config/testdata/good/race.hcl"} {
		if ds := Check(load(t, file)); len(ds) > 0 {
			t.Errorf("%s:\n%s", file, ds.Text())
		}
	}
}
