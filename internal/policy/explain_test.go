package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestExplain compares with what is in testdata/explain.txt.
func TestExplain(t *testing.T) {
	sets := prefixes(t, "203.0.113.0/24", "198.51.100.0/22 le 24")
	sets.Name = "customers"
	conds := func(cs ...Condition) []Match {
		for i := range cs {
			cs[i].Pos = Pos{"p.hcl", 10 + i, 5}
		}
		return []Match{{Conditions: cs, Pos: Pos{"p.hcl", 9, 3}}}
	}
	chain := []*Policy{
		{Name: "common", Rules: []Rule{
			{Name: "bogons", Pos: Pos{"p.hcl", 1, 3}, Match: conds(Condition{Kind: CondPrefixLength, Ranges: []Range{{25, 32}, {0, 7}}}), Then: Reject},
			{Name: "from others", Match: conds(Condition{Kind: CondNeighbor, Names: []string{"x"}}, Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}), Then: Reject},
			{Name: "mark", Match: []Match{{Not: conds(Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "64500:*")}})}},
				Set: Actions{AddCommunities: comms(t, "64500:1", "rt:1:1"), RemoveCommunities: []*CommunitySet{comms(t, "1:*:*")}, Prepend: Prepend{Count: 1}, Weight: ptr[uint32](5)}},
		}},
		{Name: "main", Rules: []Rule{
			{Name: "path", Match: conds(Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, "1 .*")}}), Then: Reject},
			{Name: "contains", Match: conds(Condition{Kind: CondASPathContains, ASNs: []*ASSet{asns(t, "99")}}), Then: Reject},
			{Name: "origin", Match: conds(Condition{Kind: CondASPathOrigin, Slot: true}), Then: Reject},
			{Name: "first", Match: conds(Condition{Kind: CondASPathFirst, ASNs: []*ASSet{asns(t, "99")}}), Then: Reject},
			{Name: "length", Match: conds(Condition{Kind: CondASPathLength, Ranges: []Range{{9, 9}}}), Then: Reject},
			{Name: "all", Match: conds(Condition{Kind: CondCommunityAll, Communities: []*CommunitySet{comms(t, "64500:1", "9:9")}}), Then: Reject},
			{Name: "med", Match: conds(Condition{Kind: CondMED, Ranges: []Range{{9, 9}}}), Then: Reject},
			{Name: "local_pref", Match: conds(Condition{Kind: CondLocalPref, Ranges: []Range{{9, 9}}}), Then: Reject},
			{Name: "origin code", Match: conds(Condition{Kind: CondOrigin, Origins: []uint8{wire.OriginEGP}}), Then: Reject},
			{Name: "family", Match: conds(Condition{Kind: CondFamily, Families: []prefix.Family{prefix.IPv6}}), Then: Reject},
			{Name: "next hop", Match: conds(Condition{Kind: CondNextHop, Prefixes: []*PrefixSet{prefixes(t, "192.0.2.9/32")}}), Then: Reject},
			{Name: "source", Match: conds(Condition{Kind: CondSource, Sources: []SourceName{FromPeer, FromProvider}}), Then: Reject},
			{Name: "ours", Match: conds(Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{sets}}, Condition{Kind: CondSource, Sources: []SourceName{FromCustomer}}),
				Set: Actions{LocalPref: Adjust{SetTo, 200}, MED: Adjust{Op: Remove}, NextHop: NextHop{Mode: NextHopSelf}, Origin: ptr[uint8](2)}, Then: Accept},
			{Name: "never seen", Then: Reject},
		}},
	}
	p := mustCompile(t, Context{From: &Source{Kind: EBGP, Relation: Customer, Neighbor: "shop"}, OriginASNs: asns(t, "64700")}, chain...)
	a := attrs(t, "path=7 {8 9} 3", "med=5", "1:1:1", "2:2", "nh=192.0.2.1")
	steps, res := p.Explain(mp("198.51.101.0/24"), &Route{Attrs: a})
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "policy %s, rule %q: matched %v\n", s.Policy, s.Rule, s.Matched)
		for _, w := range s.Why {
			fmt.Fprintf(&b, "  %s: %s\n", w.Pos, w.Text)
		}
		for _, c := range s.Changes {
			fmt.Fprintf(&b, "  * %s\n", c)
		}
		if s.Matched {
			fmt.Fprintf(&b, "  then %s\n", s.Then)
		}
	}
	fmt.Fprintf(&b, "accepted %v, next hop %s\n", res.Accept, res.NextHop)
	want, err := os.ReadFile("testdata/explain.txt")
	if err != nil || b.String() != string(want) {
		t.Errorf("%v: got\n%s", err, b.String())
	}
}
