package config

import (
	"iter"
	"os"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

const builtinPolicy = `
policy "p" {
  rule "bogons" {
    match { prefix = prefix_set.builtin-bogons }
    then = "reject"
  }
  rule "lengths" {
    match { prefix = prefix_set["builtin-bad-lengths"] }
    then = "reject"
  }
  rule "path" {
    match { as_path_contains = [as_set.builtin-bogon-asns, 3] }
    then = "reject"
  }
}
`

// Nobody has to declare them; they are no part of what is printed, and the same
// in every configuration.
func TestBuiltin(t *testing.T) {
	c, ds := Parse("test.hcl", []byte(routerText+builtinPolicy+"neighbor \"n\" {\n  address = \"192.0.2.9\"\n  asn     = 64500\n  import  = policy.p\n}\n"))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	if printed := string(Print(c)); strings.Contains(printed, "prefix_set \"") || !strings.Contains(printed, "prefix = prefix_set.builtin-bogons\n") {
		t.Errorf("printed as\n%s", printed)
	}
	same(t, c)
	if match, _ := Describe(&c.Policies[0].Rules[1]); match[0] != "prefix = prefix_set.builtin-bad-lengths" {
		t.Errorf("described as %q", match)
	}
	p, err := policy.Compile(c.Policies, policy.Context{ASN: 64500})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		prefix string
		path   []byte
		place  string
		why    string
	}{
		{"10.1.0.0/16", nil, "builtin:bogons:2", "prefix: 10.1.0.0/16 is in prefix_set.builtin-bogons: 10.0.0.0/8 le 32: private use (RFC 1918)"},
		{"8.8.8.0/25", nil, "builtin:bad-lengths:2", "prefix: 8.8.8.0/25 is in prefix_set.builtin-bad-lengths: 0.0.0.0/0 ge 25: longer than /24"},
		{"8.8.8.0/24", []byte{2, 2, 0, 0, 0x0d, 0x1c, 0, 0, 0xfc, 0x01}, "builtin:bogon-asns:4",
			`as_path_contains: AS 64513 of the path "3356 64513" is in as_set.builtin-bogon-asns: 64512-65534: private use (RFC 6996)`},
	} {
		steps, _ := p.Explain(prefix.MustParse(w.prefix), route(w.path))
		last := steps[len(steps)-1]
		if !last.Matched || last.Why[0].Pos.String() != w.place || last.Why[0].Text != w.why {
			t.Errorf("%s: %+v", w.prefix, last)
		}
	}
}

// The default route and what is used on the Internet are in none of them.
func TestBuiltinContents(t *testing.T) {
	c := parse(t, builtinPolicy)
	bogons, lengths, asns := c.builtinPrefixes[0].Set, c.builtinPrefixes[1].Set, c.builtinASNs[0].Set
	for _, p := range []string{"0.0.0.0/0", "::/0", "1.1.1.0/24", "192.0.1.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "198.17.0.0/16",
		"223.255.255.0/24", "2001:4:112::/48", "2001:500::/48", "2400::/16", "2606:4700::/32", "2620:4f:8000::/48", "2a00::/16"} {
		if x := prefix.MustParse(p); bogons.Contains(x) || lengths.Contains(x) {
			t.Errorf("%s is refused", p)
		}
	}
	for _, p := range []string{"0.0.0.0/8", "10.0.0.0/8", "10.255.255.255/32", "100.127.0.0/16", "192.88.99.0/24", "198.19.0.0/16", "203.0.113.0/24", "239.0.0.0/8",
		"255.255.255.255/32", "::/8", "::1/128", "100::/64", "100:0:0:1::/64", "64:ff9b:1::/48", "2001:db8:1::/48", "2002:c000::/24", "3fff:fff::/32", "5f00::/16", "fd00::/8", "fe80::/64", "ff02::/16"} {
		if !bogons.Contains(prefix.MustParse(p)) {
			t.Errorf("%s is no bogon", p)
		}
	}
	for p, bad := range map[string]bool{"8.0.0.0/7": true, "8.0.0.0/8": false, "8.8.8.0/24": false, "8.8.8.0/25": true, "2a00::/15": true, "2a00::/16": false, "2a00::/48": false, "2a00::/49": true} {
		if lengths.Contains(prefix.MustParse(p)) != bad {
			t.Errorf("%s: a bad length: %v", p, !bad)
		}
	}
	for asn, bogon := range map[uint32]bool{0: true, 1: false, 23455: false, 23456: true, 64495: false, 64496: true, 64511: true, 64512: true, 65535: true, 65536: true,
		131071: true, 131072: false, 4199999999: false, 4200000000: true, 1<<32 - 1: true} {
		if asns.Contains(asn) != bogon {
			t.Errorf("AS %d: a bogon: %v", asn, !bogon)
		}
	}
}

func TestBuiltinNames(t *testing.T) {
	_, ds := Parse("test.hcl", []byte(routerText+`
prefix_set "builtin-bogons" {
  prefixes = ["10.0.0.0/8"]
}
as_path_set "builtin-x" {
  patterns = ["1 .*"]
}
policy "builtin-p" {
  rule "r" {
    match { prefix = prefix_set.builtin-bogon }
    then = "accept"
  }
}
`))
	const want = `test.hcl:6:12: error: names that begin with builtin- are those of built-in sets: give it another name; docs/policy.md lists the built-in sets, which need no declaration
test.hcl:9:13: error: names that begin with builtin- are those of built-in sets: give it another name; docs/policy.md lists the built-in sets, which need no declaration
test.hcl:14:22: error: there is no prefix_set "builtin-bogon": did you mean prefix_set.builtin-bogons?
`
	var got strings.Builder
	for _, d := range ds {
		got.WriteString(d.String() + "\n")
	}
	if got.String() != want {
		t.Errorf("got\n%s", got.String())
	}
}

// TestBuiltinDocs: the guide has every entry and why it is there, in order.
func TestBuiltinDocs(t *testing.T) {
	guide, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, builtinPolicy)
	for _, s := range c.builtinPrefixes {
		documentedSet(t, string(guide), "prefix_set", s, (*policy.PrefixSet).All)
	}
	for _, s := range c.builtinASNs {
		documentedSet(t, string(guide), "as_set", s, (*policy.ASSet).All)
	}
}

func documentedSet[S any, E interface{ String() string }](t *testing.T, guide, kind string, s *Set[S], all func(*S) iter.Seq2[E, Pos]) {
	t.Helper()
	text, err := builtinTexts.ReadFile("builtin/" + strings.TrimPrefix(s.Name, reserved) + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	var want []string
	for e, at := range all(s.Set) {
		_, why, _ := strings.Cut(lines[at.Line-1], "# ")
		want = append(want, "| `"+e.String()+"` | "+why+" |")
	}
	_, section, found := strings.Cut(guide, "### `"+kind+"."+s.Name+"`\n")
	section, _, _ = strings.Cut(section, "\n### ")
	got := regexp.MustCompile("(?m)^\\| `.*$").FindAllString(section, -1)
	if !found || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("docs/policy.md lists for %s\n%s\nand it is\n%s", s.Name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func route(path []byte) *policy.Route {
	return &policy.Route{Attrs: &wire.Attrs{ASPath: path}, Source: &policy.Source{Kind: policy.EBGP}}
}
