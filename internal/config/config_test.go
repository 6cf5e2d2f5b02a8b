package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// golden compares with a file, or rewrites it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("cannot read what is expected: %v (run with -update to write it)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed (run with -update if that is meant), now:\n%s", file, got)
	}
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) < 3 {
		t.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	return names
}

func rendered(t *testing.T, ds Diagnostics) []byte {
	t.Helper()
	return []byte(ds.Text())
}

// privateKeys gives the password files of testdata the permissions that a
// checkout does not keep.
func privateKeys(t *testing.T) {
	t.Helper()
	for _, k := range glob(t, "testdata/*/*.key") {
		if err := os.Chmod(k, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGood(t *testing.T) {
	privateKeys(t)
	for _, file := range glob(t, "testdata/good/*.hcl") {
		c, ds := Load(file)
		if ds.HasErrors() {
			t.Errorf("%s:\n%s", file, rendered(t, ds))
			continue
		}
		base := strings.TrimSuffix(file, ".hcl")
		printed := Print(c)
		golden(t, base+".print", printed)
		golden(t, base+".diags", rendered(t, ds))

		again, ds := Parse(file, printed)
		if ds.HasErrors() {
			t.Errorf("%s does not load when printed:\n%s", file, rendered(t, ds))
			continue
		}
		if !c.Equal(again) || !again.Equal(c) {
			t.Errorf("%s is not the same when printed and loaded", file)
		}
		if p := Print(again); !bytes.Equal(p, printed) {
			t.Errorf("%s prints differently the second time:\n%s", file, p)
		}
	}
}

func TestBad(t *testing.T) {
	privateKeys(t)
	for _, file := range glob(t, "testdata/bad/*.hcl") {
		_, ds := Load(file)
		if !ds.HasErrors() {
			t.Errorf("%s has no error", file)
		}
		for _, d := range ds {
			if d.Pos.File == "" || d.Pos.Line == 0 && filepath.Base(file) != "no_router.hcl" {
				t.Errorf("%s: no position: %s", file, d)
			}
		}
		golden(t, strings.TrimSuffix(file, ".hcl")+".want", rendered(t, ds))
	}
}
