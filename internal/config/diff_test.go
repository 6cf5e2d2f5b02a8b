package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const diffBase = `
router {
  asn = 64500
  id = "192.0.2.1"
}
prefix_set "customers" {
  prefixes = ["203.0.113.0/24", "198.51.100.0/22"]
}
as_set "bad" { asns = [64666, "64700-64710"] }
policy "in" {
  rule "listed" {
    match { prefix = prefix_set.customers }
    match {
      as_path_contains = as_set.bad
      not { med = 5 }
    }
    set { local_pref = 200 }
    then = "continue"
  }
  rule "small" {
    match { prefix_length = "25-32" }
    then = "reject"
  }
  rule "rest" { then = "accept" }
}
group "transit" {
  import = policy.in
  family "ipv4" {
    max_prefixes = 1000
  }
}
neighbor "a" {
  group = group.transit
  address = "192.0.2.9"
  asn = 64601
}
originate "own" { prefixes = prefix_set.customers }
`

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, ds := Parse("test.hcl", []byte(text))
	if ds.HasErrors() {
		t.Fatalf("%s", rendered(t, ds))
	}
	return c
}

func TestDiff(t *testing.T) {
	old := parsed(t, diffBase)
	for _, c := range []struct {
		edits []string // pairs
		want  []string
	}{
		{nil, nil},
		{[]string{"  rule \"rest\"", "\n  # a comment\n\n  rule \"rest\"", "asn = 64601", "asn   =   64601"}, nil},
		{[]string{"64500", "64501"}, []string{`changed router at 2: asn 64500 → 64501`}},
		{[]string{`["203.0.113.0/24", `, `["192.0.2.0/24", "192.0.3.0/24", `}, []string{`changed prefix_set "customers" at 6: +192.0.2.0/24, +192.0.3.0/24, -203.0.113.0/24`}},
		{[]string{`[64666, "64700-64710"]`, `["64700-64710", 64666]`}, []string{`changed as_set "bad" at 9: the order of entries`}},
		{[]string{`{ asns = [64666, "64700-64710"] }`, `{ asns = [1, 2, 3, 4, 5, 6, 7] }`},
			[]string{`changed as_set "bad" at 9: +1, +2, +3, +4, +5 and 4 more`}},
		{[]string{"local_pref = 200", "local_pref = 300", "med = 5", "med = 6", `"25-32"`, `"26-32"`},
			[]string{`changed policy "in" at 10: rule "listed": match 2 not med 5 → 6, set local_pref 200 → 300, rule "small": match prefix_length "25-32" → "26-32"`}},
		{[]string{`rule "rest" {`, `rule "end" {`}, []string{`changed policy "in" at 10: rule "end" added, rule "rest" removed`}},
		{[]string{"  rule \"small\" {\n    match { prefix_length = \"25-32\" }\n    then = \"reject\"\n  }\n", "",
			"policy \"in\" {", "policy \"in\" {\n  rule \"small\" {\n    match { prefix_length = \"25-32\" }\n    then = \"reject\"\n  }\n"},
			[]string{`changed policy "in" at 10: the order of rules`}},
		{[]string{"max_prefixes = 1000", "max_prefixes = 2000\nmax_prefixes_action = \"warn\""},
			[]string{`changed group "transit" at 26: family "ipv4" max_prefixes 1000 → 2000, family "ipv4" max_prefixes_action = "warn" added`}},
		{[]string{`neighbor "a"`, `neighbor "b"`}, []string{`added neighbor "b" at 32:`, `removed neighbor "a" at 32:`}},
		{[]string{`  group = group.transit`, `  passive = true`}, []string{`changed neighbor "a" at 32: passive = true added, group = group.transit removed`}},
		{[]string{`prefixes = ["203.0.113.0/24"`, `prefixes = ["192.0.2.0/25", "192.0.2.128/25", "192.0.3.0/25", "192.0.3.128/25", "192.0.4.0/24", "203.0.113.0/24"`},
			[]string{`changed prefix_set "customers" at 6: +192.0.2.0/25, +192.0.2.128/25, +192.0.3.0/25, +192.0.3.128/25, +192.0.4.0/24`}},
		{[]string{`prefix_length = "25-32"`, `prefix = ["192.0.2.0/25", "192.0.2.128/25", "192.0.3.0/25", "192.0.3.128/25", "192.0.4.0/24"]`},
			[]string{`changed policy "in" at 10: rule "small": match prefix = ["192.0.2.0/25", "192.0.2.128/25", "192.0.3.0/25", "192.0.3.128/25", "192.0.4.0/24"] added, match prefix_length = "25-32" removed`}},
		{[]string{`originate "own" { prefixes = prefix_set.customers }`, ``}, []string{`removed originate "own" at 37:`}},
	} {
		text := diffBase
		for i := 0; i < len(c.edits); i += 2 {
			if !strings.Contains(text, c.edits[i]) {
				t.Fatalf("no %q in the text", c.edits[i])
			}
			text = strings.Replace(text, c.edits[i], c.edits[i+1], 1)
		}
		is := parsed(t, text)
		var got []string
		for _, d := range Diff(old, is) {
			got = append(got, strings.TrimRight(fmt.Sprintf("%s %s at %d: %s", d.Kind, d.Object, d.Pos.Line, d.Detail), " "))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q:\ngot  %q\nwant %q", c.edits, got, c.want)
		}
		if len(got) == 0 != old.Equal(is) {
			t.Errorf("%q: %d differences, but equal is %v", c.edits, len(got), old.Equal(is))
		}
	}
}

// TestDiffOfFiles changes what the configuration names and not itself.
func TestDiffOfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.hcl", `
router {
  asn = 64500
  id = "192.0.2.1"
}
prefix_set "p" { prefixes_file = "p.txt" }
originate "p" { prefixes = prefix_set.p }
group "g" { password_file = "key" }
neighbor "n" {
  group = group.g
  address = "192.0.2.2"
  asn = 64501
}`)
	write("p.txt", "203.0.113.0/24\n")
	write("key", "secret")
	load := func() *Config {
		c, ds := Load(dir)
		if ds.HasErrors() {
			t.Fatalf("%s", rendered(t, ds))
		}
		return c
	}
	old := load()
	write("p.txt", "198.51.100.0/24\n")
	write("key", "another")
	got := fmt.Sprint(Diff(old, load()))
	for _, part := range []string{`prefix_set "p" +198.51.100.0/24, -203.0.113.0/24`, `neighbor "n" another password`} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is missing in %s", part, got)
		}
	}
	if strings.Contains(got, "secret") {
		t.Errorf("a password stands in %s", got)
	}
}

func TestDescribe(t *testing.T) {
	p := parsed(t, diffBase).Policy("in")
	for i, want := range []string{
		`[either prefix = prefix_set.customers or as_path_contains = as_set.bad and not (med = 5)] [local_pref = 200]`,
		`[prefix_length = "25-32"] []`, `[] []`,
	} {
		match, set := Describe(&p.Rules[i])
		if got := fmt.Sprint(match, " ", set); got != want {
			t.Errorf("rule %d: %s, want %s", i, got, want)
		}
	}
}
