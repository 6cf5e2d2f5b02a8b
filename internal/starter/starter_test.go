package starter

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/lint"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

func neighbors(t *testing.T, texts string) (all []Neighbor) {
	t.Helper()
	for _, s := range strings.Fields(texts) {
		n, err := ParseNeighbor(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

func prefixes(texts string) (all []prefix.Prefix) {
	for _, s := range strings.Fields(texts) {
		all = append(all, prefix.MustParse(s))
	}
	return all
}

const (
	v4, v6 = "203.0.113.0/24", "2a00:1450::/32"
	own    = v4 + " " + v6
)

// shapes are configurations of every shape, with few and with many neighbors.
func shapes(t *testing.T) map[string]Options {
	id := netip.MustParseAddr("192.0.2.1")
	n := func(s string) []Neighbor { return neighbors(t, s) }
	return map[string]Options{
		"edge":      {Shape: Edge, ASN: 3320, ID: id, Prefixes: prefixes(v4), Transits: n("3356@192.0.2.9 174@192.0.2.13")},
		"edge both": {Shape: Edge, ASN: 4200000000, ID: id, Prefixes: prefixes(own), Transits: n("3356@192.0.2.9 3356@2001:db8::9 174@192.0.2.13")},
		"edge all": {Shape: Edge, ASN: 3320, ID: id, Prefixes: prefixes(own), Transits: n("3356@192.0.2.9 174@2001:db8::13"),
			Peers: n("6939@192.0.2.21 6939@2001:db8::21 3333@192.0.2.22"), RouteServers: n("6777@192.0.2.23 6777@192.0.2.24 6777@2001:db8::23")},
		"ix servers":      {Shape: IX, ASN: 3320, ID: id, Prefixes: prefixes(v6), RouteServers: n("6777@2001:db8::23")},
		"ix peers":        {Shape: IX, ASN: 3320, ID: id, Prefixes: prefixes(v4), Peers: n("6939@192.0.2.21")},
		"ix with transit": {Shape: IX, ASN: 3320, ID: id, Prefixes: prefixes(own), Peers: n("6939@192.0.2.21"), Transits: n("3356@2001:db8::9")},
		"host":            {Shape: Host, ASN: 3320, ID: id, Prefixes: prefixes("203.0.113.1/32"), Transits: n("3356@192.0.2.9")},
		"host both":       {Shape: Host, ASN: 65010, ID: id, Prefixes: prefixes(own + " " + v4), Transits: n("3356@192.0.2.9 3356@2001:db8::9 174@192.0.2.13")},
		"laboratory":      {Shape: Edge, ASN: 64500, ID: id, Prefixes: prefixes("10.0.0.0/16"), Transits: n("64501@192.0.2.9 65001@192.0.2.10"), Peers: n("64502@192.0.2.11")},
	}
}

func write(t *testing.T, o Options) (string, *config.Config) {
	t.Helper()
	text, err := Write(o)
	if err != nil {
		t.Fatal(err)
	}
	c, ds := config.Parse("init.hcl", text)
	if ds = append(ds, lint.Check(c)...); len(ds) > 0 {
		t.Errorf("%s\n%s", text, ds.Text())
	}
	return string(text), c
}

// What is written has no fault, and reads well.
func TestWrite(t *testing.T) {
	for name, o := range shapes(t) {
		t.Run(name, func(t *testing.T) {
			text, c := write(t, o)
			if formatted := config.Format([]byte(text)); !bytes.Equal(formatted, []byte(text)) {
				t.Error("it is not in the layout of fmt")
			}
			if want := len(o.Transits) + len(o.Peers) + len(o.RouteServers); len(c.Neighbors) != want {
				t.Errorf("%d neighbors, want %d", len(c.Neighbors), want)
			}
			for _, n := range c.Neighbors {
				for f, on := range n.Transport.Families {
					if on != (prefix.FamilyOf(n.Transport.Address) == prefix.Family(f)) || on && n.Families[f].MaxPrefixes.Limit == 0 {
						t.Errorf("neighbor %s: %s is %v, limit %d", n.Name, prefix.Family(f), on, n.Families[f].MaxPrefixes.Limit)
					}
				}
			}
			for _, line := range strings.Split(text, "\n") {
				if len(line) > 100 || strings.TrimRight(line, " ") != line {
					t.Errorf("the line %q", line)
				}
			}
			if strings.Contains(text, "\n\n\n") || !strings.HasSuffix(text, "}\n") || strings.HasSuffix(text, "\n\n") {
				t.Errorf("blank lines in\n%s", text)
			}
		})
	}
}

// The recipes work when their # is taken off.
func TestRecipes(t *testing.T) {
	recipe := regexp.MustCompile(`(?m)^( *)#([^ \n#].*|  .*)$`)
	for name, o := range shapes(t) {
		if name == "laboratory" {
			continue // whose recipe is for real neighbors
		}
		text, err := Write(o)
		if err != nil {
			t.Fatal(err)
		}
		open := regexp.MustCompile(`(?m)^.*(password_file|multihop) .*\n`).ReplaceAll(recipe.ReplaceAll(text, []byte("$1$2")), nil)
		c, ds := config.Parse("init.hcl", open)
		ds = slices.DeleteFunc(append(ds, lint.Check(c)...), func(d config.Diagnostic) bool {
			return strings.Contains(d.Message, "does not watch who is announced them")
		})
		if len(ds) > 0 {
			t.Errorf("%s:\n%s\n%s", name, open, ds.Text())
		}
		if o.Shape == Edge && (len(c.Originates) != 2 || len(c.Statics) != 1 || c.Policy("from-customer") == nil || len(c.Protects) != 1 || len(c.RPKI) != 1) {
			t.Errorf("%s: recipes are missing in\n%s", name, open)
		}
	}
}

// accepts asks a neighbor's policy about a route.
func accepts(t *testing.T, c *config.Config, n *config.Neighbor, names []string, x string, from policy.Source, path ...uint32) bool {
	t.Helper()
	p, err := policy.Compile(c.Chain(names), policy.Context{ASN: c.Router.ASN, Neighbor: n.Name, Prefixes: n.Prefixes})
	if err != nil {
		t.Fatal(err)
	}
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}
	for _, asn := range slices.Backward(path) {
		a.ASPath = wire.Prepend(nil, a.ASPath, asn, 1)
	}
	y := prefix.MustParse(x)
	return p.Eval(p.Variant(y), &policy.Route{Attrs: &a, Source: &from}, &policy.Scratch{}).Accept
}

// The policies do what the comments say.
func TestPolicies(t *testing.T) {
	outside := policy.Source{Kind: policy.EBGP, Relation: policy.Provider}
	for name, o := range shapes(t) {
		_, c := write(t, o)
		for _, n := range c.Neighbors {
			f := n.Families[prefix.IPv4]
			if n.Transport.Families[prefix.IPv6] {
				f = n.Families[prefix.IPv6]
			}
			in := func(want bool, x string, path ...uint32) {
				t.Helper()
				if got := accepts(t, c, n, f.Import, x, outside, append([]uint32{n.Transport.ASN}, path...)...); got != want {
					t.Errorf("%s: %s over %v from %s: accepted: %v", name, x, path, n.Name, got)
				}
			}
			whole := o.Shape != Host
			in(whole, "193.0.0.0/21", 3333)
			in(whole, "2001:67c:2e8::/48", 3333)
			in(!whole, "0.0.0.0/0")
			in(!whole, "::/0")
			for _, p := range o.Prefixes {
				in(false, p.String())
				if p.Bits < 30 {
					in(false, fmt.Sprintf("%s/%d", p.Addr(), p.Bits+1))
				}
			}
			for _, x := range []string{"10.0.0.0/8", "192.168.1.0/24", "198.51.100.0/24", "fd00::/8", "2001:db8::/32", "3fff::/20", "193.0.0.0/25", "2001:67c:2e8::/64", "4.0.0.0/6"} {
				in(false, x, 3333)
			}
			if name != "laboratory" {
				in(false, "193.0.0.0/21", 65001, 3333)
				in(false, "193.0.0.0/21", 23456)
			}

			out := func(want bool, from policy.Source) {
				t.Helper()
				if got := accepts(t, c, n, f.Export, "193.0.0.0/21", from, 3333); got != want {
					t.Errorf("%s: from %+v to %s: sent: %v", name, from, n.Name, got)
				}
			}
			out(true, policy.Source{Kind: policy.Originated})
			out(whole, policy.Source{Kind: policy.EBGP, Relation: policy.Customer})
			for _, r := range []policy.Relation{policy.NoRelation, policy.Provider, policy.Peer} {
				out(false, policy.Source{Kind: policy.EBGP, Relation: r})
			}
			out(false, policy.Source{Kind: policy.IBGP})
		}
	}
}

func TestNames(t *testing.T) {
	o := shapes(t)["edge all"]
	_, c := write(t, o)
	var names []string
	for _, n := range c.Neighbors {
		names = append(names, n.Name)
	}
	const want = "transit-a transit-b route-server-a route-server-a-2 route-server-a-v6 peer-a peer-a-v6 peer-b"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s", got)
	}
}

func TestRefusals(t *testing.T) {
	id := netip.MustParseAddr("192.0.2.1")
	good := Options{Shape: Edge, ASN: 3320, ID: id, Prefixes: prefixes(v4), Transits: neighbors(t, "3356@192.0.2.9")}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Shape = "router" }, `there is no configuration for "router": choose edge, host, ix`},
		{func(o *Options) { o.Prefixes = nil }, "a router needs a prefix of its own to announce"},
		{func(o *Options) { o.Transits = nil }, "somebody must carry our traffic: name a transit"},
		{func(o *Options) { o.Shape = IX }, "an exchange needs a route server or a peer"},
		{func(o *Options) { o.Shape, o.Peers = Host, o.Transits }, "a host has transits only: peers and route servers are for edge and ix"},
		{func(o *Options) { o.ASN = 3356 }, "3356@192.0.2.9 is in our own AS: name neighbors in others"},
		{func(o *Options) { o.Prefixes = prefixes(own) }, "2a00:1450::/32 would be announced to nobody: name a neighbor with an IPv6 address"},
		{func(o *Options) { o.ASN = 23456 }, "AS 23456 only stands in for larger numbers on old routers: write the real number, which is larger than 65535"},
		{func(o *Options) { o.Peers = o.Transits }, "two neighbors have the address 192.0.2.9"},
	} {
		o := good
		c.change(&o)
		if _, err := Write(o); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	for _, bad := range []string{"", "3356", "192.0.2.9", "3356@", "x@192.0.2.9", "3356@192.0.2.300", "3356@fe80::1%eth0"} {
		if n, err := ParseNeighbor(bad); err == nil || !strings.Contains(err.Error(), "is no neighbor") {
			t.Errorf("%q: %v, %v", bad, n, err)
		}
	}
}
