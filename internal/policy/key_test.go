package policy

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

func TestKeys(t *testing.T) {
	cond := func(c Condition) []*Policy { return []*Policy{one(c)} }
	act := func(a Actions) []*Policy { return []*Policy{actionPolicy(a)} }
	prefixCond := func(s ...*PrefixSet) []*Policy { return cond(Condition{Kind: CondPrefix, Prefixes: s}) }
	comm := func(k Kind, s ...*CommunitySet) []*Policy { return cond(Condition{Kind: k, Communities: s}) }
	as := func(k Kind, s ...*ASSet) []*Policy { return cond(Condition{Kind: k, ASNs: s}) }
	named := func(name string, s *PrefixSet) *PrefixSet { s.Name, s.Pos = name, Pos{"x", 9, 9}; return s }
	both := func(a, b Condition) []*Policy {
		return []*Policy{{Rules: []Rule{{Match: []Match{{Conditions: []Condition{a, b}}}, Then: Accept}}}}
	}
	med := Condition{Kind: CondMED, Ranges: []Range{{1, 2}}}
	origin := Condition{Kind: CondOrigin, Origins: []uint8{1}}
	customer, peer := &Source{Kind: EBGP, Relation: Customer, Neighbor: "a"}, &Source{Kind: EBGP, Relation: Peer, Neighbor: "b"}
	source := cond(Condition{Kind: CondSource, Sources: []SourceName{FromCustomer}})
	slot := cond(Condition{Kind: CondPrefix, Slot: true})
	ends := func(rest Actions) []*Policy {
		return []*Policy{{Rules: []Rule{{Then: Accept}, {Set: rest, Then: Reject}}}}
	}
	for _, c := range []struct {
		name   string
		a, b   []*Policy
		ca, cb Context
		want   bool
	}{
		{name: "names and positions of sets", a: prefixCond(prefixes(t, "10.0.0.0/8")), b: prefixCond(named("x", prefixes(t, "10.0.0.0/8"))), want: true},
		{name: "order in a set", a: prefixCond(prefixes(t, "10.0.0.0/8", "11.0.0.0/8")), b: prefixCond(prefixes(t, "11.0.0.0/8", "10.0.0.0/8")), want: true},
		{name: "order of sets", a: prefixCond(prefixes(t, "10.0.0.0/8"), prefixes(t)), b: prefixCond(prefixes(t), prefixes(t, "10.0.0.0/8")), want: true},
		{name: "an entry more", a: prefixCond(prefixes(t, "10.0.0.0/8")), b: prefixCond(prefixes(t, "10.0.0.0/8", "::/0"))},
		{name: "another length", a: prefixCond(prefixes(t, "10.0.0.0/8")), b: prefixCond(prefixes(t, "10.0.0.0/8 le 9"))},
		{name: "a slot as a list", a: prefixCond(prefixes(t, "10.0.0.0/8")), b: slot, cb: Context{Prefixes: prefixes(t, "10.0.0.0/8")}, want: true},
		{name: "slots filled alike", a: slot, b: slot, ca: Context{Prefixes: prefixes(t, "10.0.0.0/8")}, cb: Context{Prefixes: prefixes(t, "10.0.0.0/8")}, want: true},
		{name: "slots filled otherwise", a: slot, b: slot, ca: Context{Prefixes: prefixes(t, "10.0.0.0/8")}, cb: Context{Prefixes: prefixes(t, "11.0.0.0/8")}},
		{name: "next hop or prefix", a: prefixCond(prefixes(t, "10.0.0.0/8")), b: cond(Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "10.0.0.0/8")}})},
		{name: "communities in order", a: comm(CondCommunity, comms(t, "1:1", "1:2")), b: comm(CondCommunity, comms(t, "1:2", "1:1", "1:1")), want: true},
		{name: "names of communities", a: comm(CondCommunity, comms(t, "no-export")), b: comm(CondCommunity, comms(t, "65535:65281")), want: true},
		{name: "any or all", a: comm(CondCommunity, comms(t, "1:1")), b: comm(CondCommunityAll, comms(t, "1:1"))},
		{name: "all of something else", a: comm(CondCommunityAll, comms(t, "1:1", "1:2")), b: comm(CondCommunityAll, comms(t, "1:1", "1:*"))},
		{name: "a wildcard", a: comm(CondCommunity, comms(t, "1:0")), b: comm(CondCommunity, comms(t, "1:*"))},
		{name: "kinds of communities", a: comm(CondCommunity, comms(t, "rt:1:1")), b: comm(CondCommunity, comms(t, "soo:1:1"))},
		{name: "AS ranges", a: as(CondASPathContains, asns(t, "1-5")), b: as(CondASPathContains, asns(t, "4-5", "1", "2-3")), want: true},
		{name: "AS numbers", a: as(CondASPathContains, asns(t, "1")), b: as(CondASPathContains, asns(t, "2"))},
		{name: "where the AS is", a: as(CondASPathContains, asns(t, "1")), b: as(CondASPathFirst, asns(t, "1"))},
		{name: "blanks in a pattern", a: cond(Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "^1 .*$")}}), b: cond(Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "1   .*")}}), want: true},
		{name: "patterns", a: cond(Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "1 .*")}}), b: cond(Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "1 .+")}})},
		{name: "order of conditions", a: both(med, origin), b: both(origin, med), want: true},
		{name: "ranges that touch", a: cond(Condition{Kind: CondMED, Ranges: []Range{{1, 2}, {3, 4}}}), b: cond(Condition{Kind: CondMED, Ranges: []Range{{1, 4}}}), want: true},
		{name: "ranges", a: cond(Condition{Kind: CondMED, Ranges: []Range{{1, 2}}}), b: cond(Condition{Kind: CondMED, Ranges: []Range{{1, 3}}})},
		{name: "what has the range", a: cond(Condition{Kind: CondMED, Ranges: []Range{{1, 2}}}), b: cond(Condition{Kind: CondLocalPref, Ranges: []Range{{1, 2}}})},
		{name: "families", a: cond(Condition{Kind: CondFamily, Families: []prefix.Family{0}}), b: cond(Condition{Kind: CondFamily, Families: []prefix.Family{1}})},
		{name: "states", a: cond(Condition{Kind: CondRPKI, States: []rpki.State{rpki.Valid}}), b: cond(Condition{Kind: CondRPKI, States: []rpki.State{rpki.Invalid}})},
		{name: "whose states", a: cond(Condition{Kind: CondRPKI, States: []rpki.State{rpki.Valid}}), b: cond(Condition{Kind: CondASPA, States: []rpki.State{rpki.Valid}})},
		{name: "states of paths", a: cond(Condition{Kind: CondASPA, States: []rpki.State{rpki.Valid}}), b: cond(Condition{Kind: CondASPA, States: []rpki.State{rpki.Invalid}})},
		{name: "order of states", a: cond(Condition{Kind: CondRPKI, States: []rpki.State{rpki.Valid, rpki.Unknown}}), b: cond(Condition{Kind: CondRPKI, States: []rpki.State{rpki.Unknown, rpki.Valid}}), want: true},
		{name: "names of neighbors", a: cond(Condition{Kind: CondNeighbor, Names: []string{"a", "b"}}), b: cond(Condition{Kind: CondNeighbor, Names: []string{"ab"}})},
		{name: "neighbor or group", a: cond(Condition{Kind: CondNeighbor, Names: []string{"a"}}), b: cond(Condition{Kind: CondGroup, Names: []string{"a"}})},
		{name: "a source on export", a: source, b: source, want: true},
		{name: "sources that differ", a: source, b: source, ca: Context{From: customer}, cb: Context{From: peer}},
		{name: "sources that differ elsewhere", a: source, b: source, ca: Context{From: customer}, cb: Context{From: &Source{Kind: EBGP, Relation: Customer, Neighbor: "c"}}, want: true},
		{name: "a source of no interest", a: cond(med), b: cond(med), ca: Context{From: customer}, cb: Context{From: peer}, want: true},
		{name: "a rule that cannot match", a: both(med, Condition{Kind: CondNeighbor, Names: []string{"z"}}), b: both(origin, Condition{Kind: CondNeighbor, Names: []string{"z"}}), ca: Context{From: peer}, cb: Context{From: peer}, want: true},
		{name: "a rule behind the end", a: ends(Actions{}), b: ends(Actions{MED: Adjust{SetTo, 1}}), want: true},
		{name: "a chain or one policy", a: []*Policy{one(med), one(origin)}, b: []*Policy{{Rules: append(one(med).Rules, one(origin).Rules...)}}, want: true},
		{name: "an empty match block", a: []*Policy{{Rules: []Rule{{Then: Accept}}}}, b: []*Policy{{Rules: []Rule{{Match: []Match{{}}, Then: Accept}}}}, want: true},
		{name: "accept or reject", a: []*Policy{{Rules: []Rule{{Then: Accept}}}}, b: []*Policy{{Rules: []Rule{{Then: Reject}}}}},
		{name: "not", a: cond(med), b: []*Policy{{Rules: []Rule{{Match: []Match{{Not: []Match{{Conditions: []Condition{med}}}}}, Then: Accept}}}}},
		{name: "own AS", a: act(Actions{Prepend: Prepend{0, 1}}), b: act(Actions{Prepend: Prepend{64500, 1}}), want: true},
		{name: "prepend", a: act(Actions{Prepend: Prepend{0, 1}}), b: act(Actions{Prepend: Prepend{0, 2}})},
		{name: "prepend the first", a: act(Actions{Prepend: Prepend{0, 1}}), b: act(Actions{Prepend: Prepend{0, 1}, PrependFirst: true})},
		{name: "an AS in a community", a: comm(CondCommunity, comms(t, "0:neighbor.asn")), b: comm(CondCommunity, comms(t, "0:64700")), ca: Context{NeighborASN: 64700}, want: true},
		{name: "another AS in a community", a: comm(CondCommunity, comms(t, "0:neighbor.asn")), b: comm(CondCommunity, comms(t, "0:neighbor.asn")), ca: Context{NeighborASN: 64700}, cb: Context{NeighborASN: 64701}},
		{name: "an AS that is not asked for", a: comm(CondCommunity, comms(t, "0:1")), b: comm(CondCommunity, comms(t, "0:1")), ca: Context{NeighborASN: 64700}, cb: Context{NeighborASN: 64701}, want: true},
		{name: "an AS that is added", a: act(Actions{AddCommunities: comms(t, "1:neighbor.asn")}), b: act(Actions{AddCommunities: comms(t, "1:neighbor.asn")}), ca: Context{NeighborASN: 64700}, cb: Context{NeighborASN: 64701}},
		{name: "med", a: act(Actions{MED: Adjust{SetTo, 1}}), b: act(Actions{MED: Adjust{Add, 1}})},
		{name: "med or local_pref", a: act(Actions{MED: Adjust{SetTo, 1}}), b: act(Actions{LocalPref: Adjust{SetTo, 1}})},
		{name: "origin 0", a: act(Actions{}), b: act(Actions{Origin: ptr[uint8](0)})},
		{name: "weight 0", a: act(Actions{}), b: act(Actions{Weight: ptr[uint32](0)})},
		{name: "replace by nothing", a: act(Actions{}), b: act(Actions{ReplaceCommunities: comms(t)})},
		{name: "add or replace", a: act(Actions{AddCommunities: comms(t, "1:1")}), b: act(Actions{ReplaceCommunities: comms(t, "1:1")})},
		{name: "remove", a: act(Actions{RemoveCommunities: []*CommunitySet{comms(t, "1:1")}}), b: act(Actions{RemoveCommunities: []*CommunitySet{comms(t, "1:*")}})},
		{name: "next_hop", a: act(Actions{NextHop: NextHop{Mode: NextHopSelf}}), b: act(Actions{NextHop: NextHop{Mode: NextHopUnchanged}})},
		{name: "next_hop addresses", a: act(Actions{NextHop: NextHop{Mode: NextHopAddress, IPv4: netip.MustParseAddr("1.2.3.4")}}), b: act(Actions{NextHop: NextHop{Mode: NextHopAddress, IPv4: netip.MustParseAddr("1.2.3.5")}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := mustCompile(t, c.ca, c.a...), mustCompile(t, c.cb, c.b...)
			if a.Equal(b) != c.want || (a.Key() == b.Key()) != c.want {
				t.Errorf("equal: %v", a.Equal(b))
			}
		})
	}
}

// Equal keys must mean equal behaviour: a part of a chain is drawn again, and
// where the keys do not notice, no route may.
func TestEqualKeysBehaveAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := genContext(t)
		chain := genChain(t)
		edited := []*Policy{}
		for _, p := range chain {
			q := *p
			q.Rules = append([]Rule(nil), p.Rules...)
			edited = append(edited, &q)
		}
		if pol := edited[0]; len(pol.Rules) > 0 {
			r := &pol.Rules[rapid.IntRange(0, len(pol.Rules)-1).Draw(t, "which")]
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				r.Set = genActions(t)
			case 1:
				r.Match = []Match{genMatch(t, 1)}
			case 2:
				r.Then = Then(rapid.IntRange(0, 2).Draw(t, "then"))
			}
		}
		p, err := Compile(chain, ctx)
		if err != nil {
			t.Fatal(err)
		}
		q, err := Compile(edited, ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Equal(q) {
			return
		}
		var s1, s2 Scratch
		for range 20 {
			w, a := genRoute(t, ctx)
			b := *a
			r1 := p.Eval(w.variant(p), &Route{Attrs: a, Source: &w.from}, &s1)
			r2 := q.Eval(w.variant(q), &Route{Attrs: &b, Source: &w.from}, &s2)
			if r1 != r2 || r1.Accept && !sameAttrs(a, &b) {
				t.Fatalf("%+v and %+v", r1, r2)
			}
		}
	})
}

func TestVariants(t *testing.T) {
	set := prefixes(t, "10.0.0.0/8 le 24")
	p := mustCompile(t, Context{}, &Policy{Rules: []Rule{
		{Match: []Match{{Conditions: []Condition{{Kind: CondPrefix, Prefixes: []*PrefixSet{set}}}}}, Then: Continue},
		{Match: []Match{{Conditions: []Condition{{Kind: CondPrefix, Prefixes: []*PrefixSet{prefixes(t, "10.0.0.0/8 le 24")}}}}}, Then: Continue},
		{Match: []Match{{Conditions: []Condition{{Kind: CondPrefixLength, Ranges: []Range{{0, 24}}}}}}, Then: Accept},
	}})
	if p.Variants() != 4 {
		t.Errorf("%d variants: equal sets are one question", p.Variants())
	}
	numbers := map[uint32]bool{}
	for x, same := range map[string]string{"10.0.0.0/8": "10.1.0.0/16", "10.0.0.0/25": "11.0.0.0/32", "11.0.0.0/8": "2001:d00::/24"} {
		v := p.Variant(mp(x))
		if v != p.Variant(mp(same)) || v != p.Variant(mp(x)) {
			t.Errorf("%s and %s are different variants", x, same)
		}
		numbers[v] = true
	}
	if len(numbers) != 3 || !numbers[0] || !numbers[1] || !numbers[2] {
		t.Errorf("variants %v", numbers)
	}
	if q := mustCompile(t, Context{}, actionPolicy(Actions{})); q.Variants() != 1 || q.Variant(mp("10.0.0.0/8")) != 0 {
		t.Error("a program that does not ask for the prefix has variants")
	}
	// Forty sets make more combinations than can be counted.
	many := &Policy{}
	for i := range 40 {
		s := prefixes(t, fmt.Sprintf("10.%d.0.0/16", i))
		many.Rules = append(many.Rules, Rule{Match: []Match{{Conditions: []Condition{{Kind: CondPrefix, Prefixes: []*PrefixSet{s}}}}}, Set: Actions{MED: Adjust{SetTo, uint32(i)}}, Then: Accept})
	}
	q := mustCompile(t, Context{}, many)
	var s Scratch
	for i := range 40 {
		a := attrs(t)
		v := q.Variant(mp(fmt.Sprintf("10.%d.0.0/16", i)))
		if r := q.Eval(v, &Route{Attrs: a}, &s); !r.Accept || a.MED != uint32(i) || v != uint32(i) {
			t.Errorf("10.%d.0.0/16: variant %d, %+v, MED %d", i, v, r, a.MED)
		}
	}
}

func TestRelabel(t *testing.T) {
	make := func(file string) *Program {
		s := &PrefixSet{Name: file}
		s.Add(PrefixRange{mp("10.0.0.0/8"), 8, 8}, Pos{file, 3, 1})
		return mustCompile(t, Context{}, &Policy{Name: file, Rules: []Rule{{Name: "r of " + file, Pos: Pos{file, 5, 1},
			Match: []Match{{Conditions: []Condition{{Kind: CondPrefix, Prefixes: []*PrefixSet{s}}}}}, Then: Accept}}})
	}
	p, q := make("old"), make("new")
	var s Scratch
	r := p.Eval(p.Variant(mp("10.0.0.0/8")), &Route{Attrs: attrs(t)}, &s)
	p.Count(r.Trace, 3)
	p.Relabel(q)
	hits := p.Hits()
	if len(hits) != 1 || hits[0].Hits != 3 || hits[0].Rule != "r of new" || hits[0].Policy != "new" || hits[0].Pos.File != "new" {
		t.Errorf("hits %+v", hits)
	}
	if l := p.Matched(r.Trace); len(l) != 1 || l[0].Rule != "r of new" {
		t.Errorf("matched %+v", l)
	}
	steps, _ := p.Explain(mp("10.0.0.0/8"), &Route{Attrs: attrs(t)})
	if why := steps[0].Why[0]; why.Pos != (Pos{"new", 3, 1}) || why.Text != "prefix: 10.0.0.0/8 is in prefix_set.new: 10.0.0.0/8" {
		t.Errorf("why %+v", why)
	}
	p.Relabel(mustCompile(t, Context{}, actionPolicy(Actions{})))
	if p.Hits()[0].Rule != "r of new" {
		t.Error("a program took the names of one that is not equal")
	}
}

// A neighbor can choose communities so that every route is selected by another
// combination of rules. What is kept about them is bounded.
func TestTracesAreBounded(t *testing.T) {
	pol := &Policy{}
	for i := range 17 {
		pol.Rules = append(pol.Rules, Rule{Match: []Match{{Conditions: []Condition{{Kind: CondCommunity,
			Communities: []*CommunitySet{comms(t, fmt.Sprintf("1:%d", i))}}}}}})
	}
	pol.Rules = append(pol.Rules, Rule{Name: "last", Then: Accept})
	p := mustCompile(t, Context{}, pol)
	var s Scratch
	for n := range uint32(1 << 17) {
		a := wire.Attrs{}
		for i := range uint32(17) {
			if n>>i&1 != 0 {
				a.Communities = append(a.Communities, 0, 1, 0, byte(i))
			}
		}
		r := p.Eval(0, &Route{Attrs: &a}, &s)
		if r.Trace > maxTraces+18 {
			t.Fatalf("trace %d", r.Trace)
		}
		p.Count(r.Trace, 1)
	}
	hits := p.Hits()
	if last := hits[17]; last.Hits != 1<<17 {
		t.Errorf("the last rule selected %d of %d routes", last.Hits, 1<<17)
	}
}
