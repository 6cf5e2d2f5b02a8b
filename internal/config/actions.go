package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
)

func (r *reader) actions(b *hclsyntax.Block) policy.Actions {
	r.unlabeled(b)
	a := policy.Actions{Pos: pos(b.TypeRange)}
	decode(r, setActions, "set block", b.DefRange(), b.Body, &a)
	if (a.Prepend.ASN != 0 || a.PrependFirst) && a.Prepend.Count == 0 {
		r.errorf(b.DefRange(), "add prepend = 1", "prepend_asn does nothing without prepend")
	}
	return a
}

var setActions = schema[policy.Actions]{arguments: []argument[policy.Actions]{
	plain("local_pref", adjust(false), func(a *policy.Actions) *policy.Adjust { return &a.LocalPref }, isZero),
	plain("med", adjust(true), func(a *policy.Actions) *policy.Adjust { return &a.MED }, isZero),
	oneCommunitySet("replace_communities", func(a *policy.Actions) **policy.CommunitySet { return &a.ReplaceCommunities }),
	{
		name: "remove_communities",
		read: func(v value, to *policy.Actions) {
			if m, ok := mixedCodec(communitySets, "").read(v); ok {
				to.RemoveCommunities = m.sets
			}
		},
		write: func(from *policy.Actions) string {
			if len(from.RemoveCommunities) == 0 {
				return ""
			}
			return mixedCodec(communitySets, "").write(mixed[policy.CommunitySet]{sets: from.RemoveCommunities})
		},
	},
	oneCommunitySet("add_communities", func(a *policy.Actions) **policy.CommunitySet { return &a.AddCommunities }),
	plain("prepend", number[uint8](1, 32), func(a *policy.Actions) *uint8 { return &a.Prepend.Count }, isZero),
	{
		name: "prepend_asn",
		read: func(v value, to *policy.Actions) {
			if s, ok := v.text(); ok && s == "first" {
				to.PrependFirst = true
			} else if asn, ok := asNumber.read(v); ok {
				to.Prepend.ASN = asn
			}
		},
		write: func(from *policy.Actions) string {
			switch {
			case from.PrependFirst:
				return quote("first")
			case from.Prepend.ASN != 0:
				return asNumber.write(from.Prepend.ASN)
			}
			return ""
		},
	},
	plain("next_hop", setNextHop, func(a *policy.Actions) *policy.NextHop { return &a.NextHop }, isZero),
	optional("origin", origin, func(a *policy.Actions) **uint8 { return &a.Origin }),
	optional("weight", number[uint32](0, math.MaxUint32), func(a *policy.Actions) **uint32 { return &a.Weight }),
}}

// oneCommunitySet is an action that takes a named set, or communities in
// place.
func oneCommunitySet(name string, field func(*policy.Actions) **policy.CommunitySet) argument[policy.Actions] {
	return argument[policy.Actions]{
		name: name,
		read: func(v value, to *policy.Actions) {
			sets, m, ok := communitySets.members(v, v.elements())
			switch {
			case !ok:
			case len(m.Sets) == 0:
				*field(to) = m.Set
			case len(m.Sets) > 1 || len(m.Inline) > 0:
				v.fail("name one community_set that has all of them, or write them all here",
					"%s takes one community_set, or communities in place", name)
			case len(sets) == 1:
				*field(to) = sets[0]
			}
			if s := *field(to); s != nil {
				if text, at := s.Wildcard(); text != "" {
					v.fail("write each community in full", "%s cannot add %s (%s), which stands for more than one community", name, quote(text), at)
					*field(to) = nil
				}
			}
		},
		write: func(from *policy.Actions) string {
			s := *field(from)
			if s == nil {
				return ""
			}
			texts := communitySets.setTexts(s)
			if s.Name != "" {
				return texts[0]
			}
			return bracketed(texts)
		},
	}
}

// adjust is a number, "+10" or "-10", or with remove "none".
func adjust(remove bool) codec[policy.Adjust] {
	return codec[policy.Adjust]{
		read: func(v value) (policy.Adjust, bool) {
			s, isText := v.text()
			if !isText {
				n, ok := v.number(0, math.MaxUint32)
				return policy.Adjust{Op: policy.SetTo, Value: uint32(n)}, ok
			}
			if remove && s == "none" {
				return policy.Adjust{Op: policy.Remove}, true
			}
			digits, op := s, policy.SetTo
			if d, ok := strings.CutPrefix(s, "+"); ok {
				digits, op = d, policy.Add
			} else if d, ok := strings.CutPrefix(s, "-"); ok {
				digits, op = d, policy.Subtract
			}
			n, err := strconv.ParseUint(digits, 10, 32)
			switch {
			case err == nil && op == policy.SetTo:
				v.fail("write "+v.name+" = "+digits, "%s wants a number without quotes", v.name)
			case err != nil && remove:
				v.fail(`write 100, "+10", "-10" or "none"`, "%s is no change of %s", quote(s), v.name)
			case err != nil:
				v.fail(`write 100, "+10" or "-10"`, "%s is no change of %s", quote(s), v.name)
			default:
				return policy.Adjust{Op: op, Value: uint32(n)}, true
			}
			return policy.Adjust{}, false
		},
		write: func(a policy.Adjust) string {
			n := strconv.FormatUint(uint64(a.Value), 10)
			switch a.Op {
			case policy.Add:
				return quote("+" + n)
			case policy.Subtract:
				return quote("-" + n)
			case policy.Remove:
				return quote("none")
			}
			return n
		},
	}
}

// setNextHop is "self", "unchanged", "discard", or an address for each family.
var setNextHop = codec[policy.NextHop]{
	read: func(v value) (policy.NextHop, bool) {
		var n policy.NextHop
		for _, e := range v.elements() {
			if s, ok := e.text(); ok && s == policy.NextHopDiscard.String() && len(v.elements()) == 1 {
				return policy.NextHop{Mode: policy.NextHopDiscard}, true
			}
			one, ok := nextHop.read(e)
			if !ok {
				return policy.NextHop{}, false
			}
			field := &n.IPv4
			if one.Address.Is6() {
				field = &n.IPv6
			}
			switch {
			case one.Mode == policy.NextHopDefault:
				e.fail("remove it", `"auto" is what happens without next_hop`)
				return policy.NextHop{}, false
			case n.Mode == policy.NextHopDefault:
				n.Mode, *field = one.Mode, one.Address
			case n.Mode != policy.NextHopAddress || one.Mode != policy.NextHopAddress || field.IsValid():
				v.fail("write one address for each family, or one word", "next_hop has more than one value")
				return policy.NextHop{}, false
			default:
				*field = one.Address
			}
		}
		return n, true
	},
	write: func(n policy.NextHop) string {
		if n.Mode != policy.NextHopAddress {
			return quote(n.Mode.String())
		}
		var all []string
		for _, a := range []netip.Addr{n.IPv4, n.IPv6} {
			if a.IsValid() {
				all = append(all, quote(a.String()))
			}
		}
		return oneOrMany(all)
	},
}
