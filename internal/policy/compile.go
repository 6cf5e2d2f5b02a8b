package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/prefix"
)

// Compile makes a program of a chain of policies. An empty chain rejects
// everything. Errors are *Error.
//
// The policies and their sets are used by the program and must not be changed
// any more.
func Compile(chain []*Policy, ctx Context) (*Program, error) {
	c := &compiler{ctx: ctx, p: &Program{asn: ctx.ASN, pref: cmp.Or(ctx.DefaultLocalPref, DefaultLocalPref)}}
	for _, policy := range chain {
		for i := range policy.Rules {
			if err := c.rule(policy, &policy.Rules[i]); err != nil {
				return nil, err
			}
		}
	}
	c.finish()
	return c.p, nil
}

type compiler struct {
	ctx Context
	p   *Program
}

func (c *compiler) rule(policy *Policy, src *Rule) error {
	r := rule{label: Label{policy.Name, src.Name, src.Pos}, then: src.Then}
	r.never = len(src.Match) > 0
	for i := range src.Match {
		m, err := c.match(&src.Match[i])
		if err != nil {
			return err
		}
		r.never = r.never && m.fixed && !m.always
		r.matches = append(r.matches, m)
	}
	if err := c.actions(&r.actions, &src.Set); err != nil {
		var at *Error
		if errors.As(err, &at) {
			return err
		}
		pos := src.Set.Pos
		if pos == (Pos{}) {
			pos = src.Pos
		}
		return &Error{pos, err}
	}
	c.p.rules = append(c.p.rules, r)
	return nil
}

// match compiles the conditions in a fixed order, the cheap ones first, and
// finds out whether the context settles them all.
func (c *compiler) match(src *Match) (match, error) {
	m := match{pos: src.Pos, always: true, fixed: true}
	never := false
	for i := range src.Conditions {
		cond, err := c.cond(&src.Conditions[i])
		if err != nil {
			var at *Error
			if errors.As(err, &at) {
				return m, err
			}
			return m, &Error{src.Conditions[i].Pos, err}
		}
		m.fixed = m.fixed && cond.fixed
		never = never || cond.fixed && !cond.value
		m.conds = append(m.conds, cond)
	}
	slices.SortStableFunc(m.conds, func(a, b cond) int { return cmp.Compare(a.src.Kind, b.src.Kind) })
	for i := range src.Not {
		not, err := c.match(&src.Not[i])
		if err != nil {
			return m, err
		}
		m.fixed = m.fixed && not.fixed
		never = never || not.fixed && not.always
		m.nots = append(m.nots, not)
	}
	if never {
		m.fixed, m.always = true, false
	}
	return m, nil
}

func (c *compiler) cond(src *Condition) (cond, error) {
	out := cond{src: src, prefixes: src.Prefixes, asns: src.ASNs}
	var err error
	if out.communities, err = c.filled(src.Communities); err != nil {
		return out, err
	}
	settle := func(value bool) { out.fixed, out.value = true, value }
	from := c.ctx.From
	switch src.Kind {
	case CondPrefix:
		if src.Slot {
			if c.ctx.Prefixes == nil {
				return out, c.unfilled("prefixes")
			}
			out.prefixes = append(slices.Clone(src.Prefixes), c.ctx.Prefixes)
		}
	case CondASPathOrigin:
		if src.Slot {
			if c.ctx.OriginASNs == nil {
				return out, c.unfilled("origin_asns")
			}
			out.asns = append(slices.Clone(src.ASNs), c.ctx.OriginASNs)
		}
	case CondNeighbor:
		if from != nil {
			settle(named(from.Neighbor, src.Names))
		}
	case CondGroup:
		if from != nil {
			settle(named(from.Group, src.Names))
		}
	case CondSource:
		for _, n := range src.Sources {
			out.mask |= 1 << n
		}
		if from != nil {
			settle(from.words()&out.mask != 0)
		}
	case CondOrigin:
		for _, o := range src.Origins {
			out.mask |= 1 << o
		}
	case CondRPKI, CondASPA:
		for _, s := range src.States {
			out.mask |= 1 << s
		}
	default:
		if src.Kind >= kinds {
			return out, fmt.Errorf("condition %d is unknown", src.Kind)
		}
	}
	for _, s := range out.prefixes {
		s.close()
	}
	for _, s := range out.asns {
		s.close()
	}
	for _, s := range out.communities {
		s.close()
	}
	return out, nil
}

// filled are sets with the neighbor's AS number in their slots.
func (c *compiler) filled(sets []*CommunitySet) ([]*CommunitySet, error) {
	out := sets
	for i, s := range sets {
		if s.Slot() == "" {
			continue
		}
		if c.ctx.NeighborASN == 0 {
			return nil, c.unfilled("asn")
		}
		if &out[0] == &sets[0] {
			out = slices.Clone(sets)
		}
		out[i] = s.fill(c.ctx.NeighborASN)
	}
	return out, nil
}

// encoded is a set as lists for a route, in the order written.
func (c *compiler) encoded(s *CommunitySet) (out [communityKinds][]byte, err error) {
	sets, err := c.filled([]*CommunitySet{s})
	if err != nil {
		return out, err
	}
	return encodeCommunities(sets[0])
}

func (c *compiler) unfilled(slot string) error {
	if c.ctx.Neighbor == "" {
		return fmt.Errorf("neighbor.%s needs a neighbor that fills it: name one", slot)
	}
	return fmt.Errorf("neighbor.%s is empty: neighbor %q sets no %s; set it there, or use another policy", slot, c.ctx.Neighbor, slot)
}

func (c *compiler) actions(out *actions, src *Actions) error {
	out.localPref, out.med, out.origin, out.weight = src.LocalPref, src.MED, src.Origin, src.Weight
	if src.LocalPref.Op == Remove {
		return errors.New("local_pref cannot be removed: set it to a number")
	}
	var err error
	if src.ReplaceCommunities != nil {
		out.replaces = true
		if out.replace, err = c.encoded(src.ReplaceCommunities); err != nil {
			return err
		}
	}
	if src.AddCommunities != nil {
		out.adds = src.AddCommunities.Len() > 0
		if out.add, err = c.encoded(src.AddCommunities); err != nil {
			return err
		}
	}
	if out.remove, err = c.filled(src.RemoveCommunities); err != nil {
		return err
	}
	for _, s := range out.remove {
		s.close()
	}
	if n := src.Prepend.Count; n > 0 {
		out.prependFirst = src.PrependFirst
		asn := cmp.Or(src.Prepend.ASN, c.ctx.ASN)
		if asn == 0 {
			return errors.New("prepend needs an AS number here")
		}
		out.prepend = encodeASNs(asn, n)
	}
	out.nextHop = src.NextHop.Mode
	if out.nextHop == NextHopAddress {
		if a := src.NextHop.IPv4; a.IsValid() {
			if !a.Is4() {
				return fmt.Errorf("the next hop %s is not an IPv4 address", a)
			}
			out.address[prefix.IPv4] = a.AsSlice()
		}
		if a := src.NextHop.IPv6; a.IsValid() {
			if !a.Is6() || a.Zone() != "" {
				return fmt.Errorf("the next hop %s is not an IPv6 address", a)
			}
			out.address[prefix.IPv6] = a.AsSlice()
		}
		if out.address[prefix.IPv4] == nil && out.address[prefix.IPv6] == nil {
			return errors.New("next_hop needs an address")
		}
	}
	return nil
}

func encodeCommunities(s *CommunitySet) (out [communityKinds][]byte, err error) {
	if text, pos := s.Wildcard(); text != "" {
		return out, &Error{pos, fmt.Errorf("%s stands for many communities: only a single one can be added", text)}
	}
	for _, e := range s.entries {
		if len(e.patterns) == 0 {
			continue
		}
		p := e.patterns[0]
		if one := p.value.appendTo(nil, p.kind); !contains(out[p.kind], one) {
			out[p.kind] = append(out[p.kind], one...)
		}
	}
	return out, nil
}

// finish numbers the tests of the rules that can be reached, and makes the key.
func (c *compiler) finish() {
	p := c.p
	k := binary.BigEndian.AppendUint32([]byte("policy 1"), p.asn)
	k = binary.BigEndian.AppendUint32(k, p.pref)
	ended := false
	for i := range p.rules {
		r := &p.rules[i]
		if r.never = r.never || ended; r.never {
			k = append(k, 'n')
			continue
		}
		always := len(r.matches) == 0
		for j := range r.matches {
			always = always || r.matches[j].fixed && r.matches[j].always
		}
		if always {
			r.matches = nil
			ended = r.then != Continue
		}
		k = append(k, 'r')
		for j := range r.matches {
			k = c.number(&r.matches[j], k)
		}
		k = c.actionKey(append(k, 'a', byte(r.then)), &r.actions)
	}
	sum := sha256.Sum256(k)
	p.key = string(sum[:])
	p.width = (len(p.tests) + 63) / 64
	if len(p.tests) > 0 {
		p.tree = make([][2]uint32, 1)
	}
}

// number gives the tests of a match their numbers and appends its key.
func (c *compiler) number(m *match, k []byte) []byte {
	if m.fixed {
		if m.always {
			return append(k, 'T')
		}
		return append(k, 'F')
	}
	k = append(k, '(')
	for i := range m.conds {
		if x := &m.conds[i]; !x.fixed {
			k = c.condKey(k, x)
		}
	}
	for i := range m.nots {
		k = c.number(&m.nots[i], append(k, '!'))
	}
	return append(k, ')')
}

// test is the number of a question about the prefix.
func (c *compiler) test(t test) int {
	for i := range c.p.tests {
		if c.p.tests[i].key == t.key {
			return i
		}
	}
	c.p.tests = append(c.p.tests, t)
	return len(c.p.tests) - 1
}

func familyTest(families ...prefix.Family) test {
	t := test{}
	for _, f := range families {
		t.families |= 1 << f
	}
	t.key = string([]byte{byte(CondFamily), t.families})
	return t
}
