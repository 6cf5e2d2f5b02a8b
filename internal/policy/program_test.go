package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// check runs an import or export program over one route and reports whether it
// passes.
func check(t *testing.T, p *Program, x string, a *wire.Attrs, from *Source) bool {
	t.Helper()
	var s Scratch
	copied := *a
	steps, explained := p.Explain(mp(x), &Route{Attrs: &copied, Source: from})
	got := p.Eval(p.Variant(mp(x)), &Route{Attrs: a, Source: from}, &s)
	if explained.Accept != got.Accept || explained.Changed != got.Changed || explained.Weight != got.Weight || explained.NextHop != got.NextHop {
		t.Errorf("Explain says %+v, Eval %+v: %+v", explained, got, steps)
	}
	if len(steps) > 0 && !steps[len(steps)-1].Matched && len(steps[len(steps)-1].Why) == 0 {
		t.Error("no reason given")
	}
	return got.Accept
}

func TestConditions(t *testing.T) {
	ebgp := &Source{Kind: EBGP, Neighbor: "n1", Group: "g1"}
	sets := prefixes(t, "203.0.113.0/24", "198.51.100.0/22 le 24", "2001:db8::/32 ge 48 le 48")
	for _, c := range []struct {
		name  string
		cond  Condition
		x     string
		attrs string
		from  *Source
		want  bool
	}{
		{"prefix exact", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "203.0.113.0/24", "", nil, true},
		{"prefix longer", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "203.0.113.0/25", "", nil, false},
		{"prefix range", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "198.51.101.0/24", "", nil, true},
		{"prefix range itself", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "198.51.100.0/22", "", nil, true},
		{"prefix over le", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "198.51.101.0/25", "", nil, false},
		{"prefix shorter", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "198.51.0.0/16", "", nil, false},
		{"prefix v6", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "2001:db8:1::/48", "", nil, true},
		{"prefix v6 below ge", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, "2001:db8::/32", "", nil, false},
		{"prefix two sets", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{prefixes(t), sets}}, "203.0.113.0/24", "", nil, true},
		{"prefix empty set", Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{prefixes(t)}}, "203.0.113.0/24", "", nil, false},
		{"prefix slot", Condition{Kind: CondPrefix, Slot: true}, "192.0.2.0/24", "", nil, true},
		{"prefix slot not", Condition{Kind: CondPrefix, Slot: true}, "203.0.113.0/24", "", nil, false},
		{"prefix slot or list", Condition{Kind: CondPrefix, Slot: true, Prefixes: []*PrefixSet{sets}}, "203.0.113.0/24", "", nil, true},
		{"length", Condition{Kind: CondPrefixLength, Ranges: []Range{{8, 24}}}, "10.0.0.0/24", "", nil, true},
		{"length over", Condition{Kind: CondPrefixLength, Ranges: []Range{{8, 24}}}, "10.0.0.0/25", "", nil, false},
		{"length second range", Condition{Kind: CondPrefixLength, Ranges: []Range{{8, 8}, {25, 32}}}, "10.0.0.0/25", "", nil, true},
		{"length v6", Condition{Kind: CondPrefixLength, Ranges: []Range{{48, 128}}}, "2001:db8::/47", "", nil, false},
		{"next hop", Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "192.0.2.1/32")}}, "10.0.0.0/8", "nh=192.0.2.1", nil, true},
		{"next hop other", Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "192.0.2.1/32")}}, "10.0.0.0/8", "nh=192.0.2.2", nil, false},
		{"next hop in block", Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "192.0.2.0/24 le 32")}}, "10.0.0.0/8", "nh=192.0.2.2", nil, true},
		{"next hop v6", Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "2001:db8::1/128")}}, "10.0.0.0/8", "nh=2001:db8::1", nil, true},
		{"next hop v6 and link-local", Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "2001:db8::1/128")}}, "2001:db8::/32", "nh=2001:db8::1,fe80::1", nil, true},
		{"next hop missing", Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "0.0.0.0/0 le 32")}}, "10.0.0.0/8", "", nil, false},
		{"neighbor", Condition{Kind: CondNeighbor, Names: []string{"n0", "n1"}}, "10.0.0.0/8", "", ebgp, true},
		{"neighbor other", Condition{Kind: CondNeighbor, Names: []string{"n0"}}, "10.0.0.0/8", "", ebgp, false},
		{"neighbor none", Condition{Kind: CondNeighbor, Names: []string{""}}, "10.0.0.0/8", "", &Source{}, false},
		{"group", Condition{Kind: CondGroup, Names: []string{"g1"}}, "10.0.0.0/8", "", ebgp, true},
		{"group other", Condition{Kind: CondGroup, Names: []string{"n1"}}, "10.0.0.0/8", "", ebgp, false},
		{"path", Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "9", "1 .* 3")}}, "10.0.0.0/8", "path=1,2,3", nil, true},
		{"path not", Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "9", "1 .* 3")}}, "10.0.0.0/8", "path=1,2", nil, false},
		{"path empty", Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "^$")}}, "10.0.0.0/8", "", nil, true},
		{"contains", Condition{Kind: CondASPathContains, ASNs: []*ASSet{asns(t, "7", "64512-65534")}}, "10.0.0.0/8", "path=1,65000,2", nil, true},
		{"contains in set", Condition{Kind: CondASPathContains, ASNs: []*ASSet{asns(t, "7")}}, "10.0.0.0/8", "path=1,{6,7}", nil, true},
		{"contains not", Condition{Kind: CondASPathContains, ASNs: []*ASSet{asns(t, "7")}}, "10.0.0.0/8", "path=1,2", nil, false},
		{"origin AS", Condition{Kind: CondASPathOrigin, ASNs: []*ASSet{asns(t, "3")}}, "10.0.0.0/8", "path=1,2,3", nil, true},
		{"origin AS not", Condition{Kind: CondASPathOrigin, ASNs: []*ASSet{asns(t, "1")}}, "10.0.0.0/8", "path=1,2,3", nil, false},
		{"origin AS of an aggregate", Condition{Kind: CondASPathOrigin, ASNs: []*ASSet{asns(t, "0-4294967295")}}, "10.0.0.0/8", "path=1,{3}", nil, false},
		{"origin AS here", Condition{Kind: CondASPathOrigin, ASNs: []*ASSet{asns(t, "64500")}}, "10.0.0.0/8", "", nil, true},
		{"origin AS slot", Condition{Kind: CondASPathOrigin, Slot: true}, "10.0.0.0/8", "path=1,64700", nil, true},
		{"origin AS slot not", Condition{Kind: CondASPathOrigin, Slot: true}, "10.0.0.0/8", "path=64700,1", nil, false},
		{"first AS", Condition{Kind: CondASPathFirst, ASNs: []*ASSet{asns(t, "1")}}, "10.0.0.0/8", "path=1,2", nil, true},
		{"first AS not", Condition{Kind: CondASPathFirst, ASNs: []*ASSet{asns(t, "2")}}, "10.0.0.0/8", "path=1,2", nil, false},
		{"first AS of nothing", Condition{Kind: CondASPathFirst, ASNs: []*ASSet{asns(t, "0-4294967295")}}, "10.0.0.0/8", "", nil, false},
		{"path length", Condition{Kind: CondASPathLength, Ranges: []Range{{3, 5}}}, "10.0.0.0/8", "path=1,2,{3,4}", nil, true},
		{"path length over", Condition{Kind: CondASPathLength, Ranges: []Range{{0, 2}}}, "10.0.0.0/8", "path=1,2,{3,4}", nil, false},
		{"community", Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "1:1", "65000:*")}}, "10.0.0.0/8", "2:2 65000:9", nil, true},
		{"community large", Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "1:1", "65000:1:*")}}, "10.0.0.0/8", "65000:1:5", nil, true},
		{"community extended", Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "rt:1:1")}}, "10.0.0.0/8", "rt:1:1", nil, true},
		{"community other kind", Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "1:1")}}, "10.0.0.0/8", "1:1:1 rt:1:1", nil, false},
		{"community second set", Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "1:1"), comms(t, "no-export")}}, "10.0.0.0/8", "no-export", nil, true},
		{"community none", Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "*:*")}}, "10.0.0.0/8", "", nil, false},
		{"all communities", Condition{Kind: CondCommunityAll, Communities: []*CommunitySet{comms(t, "1:*", "2:2:*"), comms(t, "rt:3:3")}}, "10.0.0.0/8", "1:9 2:2:2 rt:3:3 4:4", nil, true},
		{"all communities but one", Condition{Kind: CondCommunityAll, Communities: []*CommunitySet{comms(t, "1:*", "2:2:*"), comms(t, "rt:3:3")}}, "10.0.0.0/8", "1:9 rt:3:3 4:4", nil, false},
		{"all communities of an empty set", Condition{Kind: CondCommunityAll, Communities: []*CommunitySet{comms(t)}}, "10.0.0.0/8", "1:9", nil, false},
		{"med", Condition{Kind: CondMED, Ranges: []Range{{5, 10}}}, "10.0.0.0/8", "med=10", nil, true},
		{"med outside", Condition{Kind: CondMED, Ranges: []Range{{5, 10}}}, "10.0.0.0/8", "med=11", nil, false},
		{"med missing", Condition{Kind: CondMED, Ranges: []Range{{0, 4294967295}}}, "10.0.0.0/8", "", nil, false},
		{"local_pref", Condition{Kind: CondLocalPref, Ranges: []Range{{200, 200}}}, "10.0.0.0/8", "lp=200", nil, true},
		{"local_pref default", Condition{Kind: CondLocalPref, Ranges: []Range{{100, 100}}}, "10.0.0.0/8", "", nil, true},
		{"origin", Condition{Kind: CondOrigin, Origins: []uint8{wire.OriginIGP, wire.OriginEGP}}, "10.0.0.0/8", "origin=egp", nil, true},
		{"origin not", Condition{Kind: CondOrigin, Origins: []uint8{wire.OriginIGP, wire.OriginEGP}}, "10.0.0.0/8", "origin=incomplete", nil, false},
		{"family", Condition{Kind: CondFamily, Families: []prefix.Family{prefix.IPv6}}, "2001:db8::/32", "", nil, true},
		{"family not", Condition{Kind: CondFamily, Families: []prefix.Family{prefix.IPv6}}, "10.0.0.0/8", "", nil, false},
		{"family both", Condition{Kind: CondFamily, Families: []prefix.Family{prefix.IPv6, prefix.IPv4}}, "10.0.0.0/8", "", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			words := strings.Fields(c.attrs)
			for i := range words {
				if strings.HasPrefix(words[i], "path=") {
					words[i] = strings.ReplaceAll(words[i], ",", " ")
				}
			}
			slots := Context{Neighbor: "n", Prefixes: prefixes(t, "192.0.2.0/24"), OriginASNs: asns(t, "64700")}
			imported := slots
			if imported.From = c.from; c.from == nil {
				imported.From = ebgp
			}
			negated := &Policy{Name: "not", Rules: []Rule{{Match: []Match{{Not: []Match{{Conditions: []Condition{c.cond}}}}}, Then: Accept}}}
			for dir, ctx := range map[string]Context{"export": slots, "import": imported} {
				if got := check(t, mustCompile(t, ctx, one(c.cond)), c.x, attrs(t, words...), c.from); got != c.want {
					t.Errorf("%s: %v", dir, got)
				}
				if got := check(t, mustCompile(t, ctx, negated), c.x, attrs(t, words...), c.from); got == c.want {
					t.Errorf("%s, negated: %v", dir, got)
				}
			}
		})
	}
}

func TestSources(t *testing.T) {
	for _, c := range []struct {
		from *Source
		want string
	}{
		{nil, "originated"},
		{&Source{Kind: Originated}, "originated"},
		{&Source{Kind: Kernel}, "kernel"},
		{&Source{Kind: IBGP, Relation: Customer}, "ibgp"},
		{&Source{Kind: EBGP}, "ebgp"},
		{&Source{Kind: EBGP, Relation: Customer}, "ebgp customer"},
		{&Source{Kind: EBGP, Relation: Provider}, "ebgp provider"},
		{&Source{Kind: EBGP, Relation: Peer}, "ebgp peer"},
	} {
		for _, name := range sourceWords {
			s, _ := SourceByName(name)
			pol := one(Condition{Kind: CondSource, Sources: []SourceName{s}})
			want := strings.Contains(" "+c.want+" ", " "+name+" ")
			if got := check(t, mustCompile(t, Context{}, pol), "10.0.0.0/8", attrs(t), c.from); got != want {
				t.Errorf("%v as %s: %v", c.from, name, got)
			}
			if c.from == nil {
				continue
			}
			if got := check(t, mustCompile(t, Context{From: c.from}, pol), "10.0.0.0/8", attrs(t), nil); got != want {
				t.Errorf("%v as %s on import: %v", c.from, name, got)
			}
		}
	}
}

func TestSemantics(t *testing.T) {
	med := func(n uint32) []Match {
		return []Match{{Conditions: []Condition{{Kind: CondMED, Ranges: []Range{{n, n}}}}}}
	}
	set := func(n uint32) Actions { return Actions{MED: Adjust{SetTo, n}} }
	accept, reject := Rule{Then: Accept}, Rule{Then: Reject}
	pol := func(rules ...Rule) *Policy { return &Policy{Name: "p", Rules: rules} }
	for _, c := range []struct {
		name  string
		chain []*Policy
		want  bool
	}{
		{"nothing at all", nil, false},
		{"an empty policy rejects", []*Policy{pol()}, false},
		{"the end rejects", []*Policy{pol(Rule{Match: med(6), Then: Accept})}, false},
		{"a rule without match", []*Policy{pol(accept)}, true},
		{"an empty match", []*Policy{pol(Rule{Match: []Match{{}}, Then: Accept})}, true},
		{"the first rule wins", []*Policy{pol(reject, accept)}, false},
		{"continue alone does not accept", []*Policy{pol(Rule{Then: Continue})}, false},
		{"continue is seen by later rules", []*Policy{pol(Rule{Set: set(6), Then: Continue}, Rule{Match: med(6), Then: Accept})}, true},
		{"continue hides what was", []*Policy{pol(Rule{Set: set(6), Then: Continue}, Rule{Match: med(5), Then: Accept})}, false},
		{"any match block", []*Policy{pol(Rule{Match: append(med(6), med(5)...), Then: Accept})}, true},
		{"all conditions", []*Policy{pol(Rule{Match: []Match{{Conditions: []Condition{
			{Kind: CondMED, Ranges: []Range{{5, 5}}}, {Kind: CondOrigin, Origins: []uint8{2}}}}}, Then: Accept})}, false},
		{"not", []*Policy{pol(Rule{Match: []Match{{Not: med(6)}}, Then: Accept})}, true},
		{"each not", []*Policy{pol(Rule{Match: []Match{{Not: append(med(6), med(5)...)}}, Then: Accept})}, false},
		{"not not", []*Policy{pol(Rule{Match: []Match{{Not: []Match{{Not: med(5)}}}}, Then: Accept})}, true},
		{"not of nothing", []*Policy{pol(Rule{Match: []Match{{Not: []Match{{}}}}, Then: Accept})}, false},
		{"the chain goes on behind an end", []*Policy{pol(Rule{Match: med(6), Then: Reject}), pol(accept)}, true},
		{"the chain sees changes", []*Policy{pol(Rule{Set: set(6), Then: Continue}), pol(Rule{Match: med(6), Then: Accept})}, true},
		{"accept ends the chain", []*Policy{pol(accept), pol(reject)}, true},
		{"reject ends the chain", []*Policy{pol(reject), pol(accept)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := check(t, mustCompile(t, Context{}, c.chain...), "10.0.0.0/8", attrs(t, "med=5"), nil); got != c.want {
				t.Error(got)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	at := Pos{"policy.hcl", 7, 3}
	cond := func(c Condition) *Policy { c.Pos = at; return one(c) }
	act := func(a Actions) *Policy { a.Pos = at; return actionPolicy(a) }
	for _, c := range []struct {
		pol  *Policy
		ctx  Context
		want string
	}{
		{cond(Condition{Kind: CondPrefix, Slot: true}), Context{ASN: 1, Neighbor: "shop"},
			`policy.hcl:7:3: neighbor.prefixes is empty: neighbor "shop" sets no prefixes; set it there, or use another policy`},
		{cond(Condition{Kind: CondASPathOrigin, Slot: true}), Context{ASN: 1}, "policy.hcl:7:3: neighbor.origin_asns"},
		{cond(Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "0:neighbor.asn")}}), Context{ASN: 1}, "policy.hcl:7:3: neighbor.asn needs a neighbor"},
		{act(Actions{AddCommunities: comms(t, "1:neighbor.asn")}), Context{ASN: 1}, "neighbor.asn needs a neighbor"},
		{cond(Condition{Kind: kinds}), Context{ASN: 1}, "policy.hcl:7:3: condition 19 is unknown"},
		{act(Actions{LocalPref: Adjust{Op: Remove}}), Context{ASN: 1}, "policy.hcl:7:3: local_pref cannot be removed"},
		{act(Actions{AddCommunities: comms(t, "1:1", "65000:*")}), Context{ASN: 1}, "test.hcl:2:3: 65000:* stands for many communities"},
		{act(Actions{ReplaceCommunities: comms(t, "rt:*:1")}), Context{ASN: 1}, "test.hcl:1:3: rt:*:1 stands for many communities"},
		{act(Actions{Prepend: Prepend{Count: 1}}), Context{}, "policy.hcl:7:3: prepend needs an AS number here"},
		{act(Actions{NextHop: NextHop{Mode: NextHopAddress}}), Context{ASN: 1}, "policy.hcl:7:3: next_hop needs an address"},
		{act(Actions{NextHop: NextHop{Mode: NextHopAddress, IPv4: netip.MustParseAddr("::1")}}), Context{ASN: 1}, "the next hop ::1 is not an IPv4 address"},
		{act(Actions{NextHop: NextHop{Mode: NextHopAddress, IPv6: netip.MustParseAddr("1.1.1.1")}}), Context{ASN: 1}, "the next hop 1.1.1.1 is not an IPv6 address"},
		{&Policy{Rules: []Rule{{Pos: at, Match: []Match{{Not: []Match{{Conditions: []Condition{{Kind: CondPrefix, Slot: true, Pos: at}}}}}}}}}, Context{ASN: 1}, "policy.hcl:7:3: neighbor.prefixes"},
	} {
		_, err := Compile([]*Policy{c.pol}, c.ctx)
		var e *Error
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &e) {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}
