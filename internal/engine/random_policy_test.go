package engine

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
	"holdfast/testkit/model"
)

// twin is a policy for both sides: what the engine runs and what it means.
type twin struct {
	policy *policy.Policy // nil: none configured
	model  model.Policy
}

func rule(set policy.Actions, then policy.Then, conds ...policy.Condition) policy.Rule {
	r := policy.Rule{Set: set, Then: then}
	if len(conds) > 0 {
		r.Match = []policy.Match{{Conditions: conds}}
	}
	return r
}

func communities(text string) *policy.CommunitySet {
	s := &policy.CommunitySet{}
	if err := s.Add(text, policy.Pos{}); err != nil {
		panic(err)
	}
	return s
}

func prefixes(text ...string) []*policy.PrefixSet {
	s := &policy.PrefixSet{}
	for _, t := range text {
		r, err := policy.ParsePrefixRange(t)
		if err != nil {
			panic(err)
		}
		s.Add(r, policy.Pos{})
	}
	return []*policy.PrefixSet{s}
}

func has(a *wire.Attrs, asn, value uint16) bool {
	want := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, asn), value)
	for c := a.Communities; len(c) >= 4; c = c[4:] {
		if bytes.Equal(c[:4], want) {
			return true
		}
	}
	return false
}

func add(a *wire.Attrs, asn, value uint16) {
	if !has(a, asn, value) {
		c := append([]byte(nil), a.Communities...)
		a.Communities = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(c, asn), value)
	}
}

func always(prefix.Prefix, *model.Route) bool { return true }

var imports = []twin{
	{&policy.Policy{Name: "all", Rules: []policy.Rule{rule(policy.Actions{}, policy.Accept)}}, always},
	{&policy.Policy{Name: "not one", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.1.0.0/16", "2001:db8:1::/48")}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, _ *model.Route) bool {
			return p != prefix.MustParse("10.1.0.0/16") && p != prefix.MustParse("2001:db8:1::/48")
		}},
	{&policy.Policy{Name: "preference", Rules: []policy.Rule{
		rule(policy.Actions{LocalPref: policy.Adjust{Op: policy.SetTo, Value: 200}}, policy.Continue,
			policy.Condition{Kind: policy.CondCommunity, Communities: []*policy.CommunitySet{communities("65000:1")}}),
		rule(policy.Actions{MED: policy.Adjust{Op: policy.SetTo, Value: 5}}, policy.Accept,
			policy.Condition{Kind: policy.CondPrefixLength, Ranges: []policy.Range{{Min: 17, Max: 24}}}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, a *model.Route) bool {
			if has(&a.Attrs, 65000, 1) {
				a.Has |= wire.HasLocalPref
				a.LocalPref = 200
			}
			if p.Bits >= 17 && p.Bits <= 24 {
				a.Has |= wire.HasMED
				a.MED = 5
			}
			return true
		}},
	{&policy.Policy{Name: "prepend", Rules: []policy.Rule{
		rule(policy.Actions{Prepend: policy.Prepend{ASN: 64999, Count: 1}}, policy.Accept)}},
		func(_ prefix.Prefix, a *model.Route) bool {
			a.ASPath = wire.Prepend(nil, a.ASPath, 64999, 1)
			return true
		}},
	{&policy.Policy{Name: "next hops", Rules: []policy.Rule{
		rule(nextHop(policy.NextHopDiscard), policy.Accept, policy.Condition{Kind: policy.CondPrefixLength, Ranges: []policy.Range{{Min: 24, Max: 48}}}),
		rule(nextHop(policy.NextHopAddress), policy.Continue),
		rule(nextHop(policy.NextHopSelf), policy.Accept, policy.Condition{Kind: policy.CondCommunity, Communities: []*policy.CommunitySet{communities("65000:1")}}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, a *model.Route) bool {
			a.Discard = p.Bits >= 24 && p.Bits <= 48
			if a.Own = a.Discard; !a.Own {
				a.NextHop = addressesOf[p.Family].AsSlice()
				a.Own = has(&a.Attrs, 65000, 1)
			}
			return true
		}},
	{&policy.Policy{Name: "rpki", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondRPKI, States: []rpki.State{rpki.Invalid}}),
		rule(policy.Actions{LocalPref: policy.Adjust{Op: policy.SetTo, Value: 110}}, policy.Accept,
			policy.Condition{Kind: policy.CondRPKI, States: []rpki.State{rpki.Valid}}, policy.Condition{Kind: policy.CondPrefixLength, Ranges: []policy.Range{{Min: 0, Max: 24}}}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, a *model.Route) bool {
			if a.State == "valid" && p.Bits <= 24 {
				a.Has |= wire.HasLocalPref
				a.LocalPref = 110
			}
			return a.State != "invalid"
		}},
	{&policy.Policy{Name: "aspa", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondASPA, States: []rpki.State{rpki.Invalid}}),
		rule(policy.Actions{MED: policy.Adjust{Op: policy.SetTo, Value: 9}}, policy.Accept,
			policy.Condition{Kind: policy.CondASPA, States: []rpki.State{rpki.Unknown}}, policy.Condition{Kind: policy.CondRPKI, States: []rpki.State{rpki.Unknown}}),
		rule(policy.Actions{}, policy.Accept)}},
		func(_ prefix.Prefix, a *model.Route) bool {
			if a.Path == "unknown" && a.State == "unknown" {
				a.Has |= wire.HasMED
				a.MED = 9
			}
			return a.Path != "invalid"
		}},
	{nil, nil},
}

// addressesOf are the next hops that policies set. That of IPv4 is on a link.
var addressesOf = [...]netip.Addr{netip.MustParseAddr("10.1.2.2"), netip.MustParseAddr("2001:db9::7")}

func nextHop(m policy.NextHopMode) policy.Actions {
	n := policy.NextHop{Mode: m}
	if m == policy.NextHopAddress {
		n.IPv4, n.IPv6 = addressesOf[prefix.IPv4], addressesOf[prefix.IPv6]
	}
	return policy.Actions{NextHop: n}
}

var exports = []twin{
	imports[0],
	{&policy.Policy{Name: "rpki", Rules: []policy.Rule{
		rule(policy.Actions{AddCommunities: communities("65000:8")}, policy.Accept, policy.Condition{Kind: policy.CondRPKI, States: []rpki.State{rpki.Unknown}}),
		rule(policy.Actions{}, policy.Accept, policy.Condition{Kind: policy.CondRPKI, States: []rpki.State{rpki.Valid}})}},
		func(_ prefix.Prefix, a *model.Route) bool {
			if a.State == "unknown" {
				add(&a.Attrs, 65000, 8)
			}
			return a.State != "invalid"
		}},
	{&policy.Policy{Name: "marked", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondCommunity, Communities: []*policy.CommunitySet{communities("65000:2")}}),
		rule(policy.Actions{AddCommunities: communities("65000:9"), MED: policy.Adjust{Op: policy.SetTo, Value: 7}}, policy.Accept,
			policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.0.0.0/8 ge 8 le 16")}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, a *model.Route) bool {
			if has(&a.Attrs, 65000, 2) {
				return false
			}
			if p.Bits <= 16 && prefix.MustParse("10.0.0.0/8").Covers(p) {
				add(&a.Attrs, 65000, 9)
				a.Has |= wire.HasMED
				a.MED = 7
			}
			return true
		}},
	{&policy.Policy{Name: "unchanged", Rules: []policy.Rule{rule(nextHop(policy.NextHopUnchanged), policy.Accept)}},
		func(_ prefix.Prefix, a *model.Route) bool {
			a.Own, a.Kept = false, true
			return true
		}},
	{nil, nil},
}
