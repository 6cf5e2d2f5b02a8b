package policy

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Step is what one rule did with a route.
type Step struct {
	Label
	Matched bool
	// Why has for a rule that matched each condition of the match block that
	// held, and otherwise for each match block the first that did not.
	Why []Reason
	// Changes is what the rule changed, one sentence each.
	Changes []string
	Then    Then
}

// Reason is a condition, or the entry of a set that decided it.
type Reason struct {
	Pos  Pos
	Text string
}

// Explain is Eval for people: every rule that the route came by. r.Attrs is
// changed as by Eval. Hits are not counted. It changes nothing in p.
func (p *Program) Explain(x prefix.Prefix, r *Route) ([]Step, Result) {
	res := Result{Weight: r.Weight}
	vector := p.answers(x)
	var scratch Scratch
	var steps []Step
	for i := range p.rules {
		rule := &p.rules[i]
		step := Step{Label: rule.label}
		step.Matched, step.Why = p.whySelects(rule, x, vector, r)
		if !step.Matched {
			steps = append(steps, step)
			continue
		}
		before, was := *r.Attrs, res
		rule.actions.apply(p, vector, r.Attrs, &scratch, &res)
		step.Then, step.Changes = rule.then, changes(&before, r.Attrs, was, res)
		steps = append(steps, step)
		if rule.then != Continue {
			res.Accept = rule.then == Accept
			break
		}
	}
	return steps, res
}

func (p *Program) whySelects(rule *rule, x prefix.Prefix, vector []uint64, r *Route) (bool, []Reason) {
	var failed []Reason
	if len(rule.matches) == 0 {
		return true, nil
	}
	for i := range rule.matches {
		ok, why := p.whyHolds(&rule.matches[i], x, vector, r)
		if ok {
			return true, why
		}
		failed = append(failed, why...)
	}
	return false, failed
}

// whyHolds gives every reason for which a match holds, or the first for which
// it does not.
func (p *Program) whyHolds(m *match, x prefix.Prefix, vector []uint64, r *Route) (bool, []Reason) {
	var why []Reason
	for i := range m.conds {
		c := &m.conds[i]
		ok := c.value
		switch {
		case c.fixed:
		case c.src.Kind == CondPrefix || c.src.Kind == CondPrefixLength || c.src.Kind == CondFamily:
			// In a match that can never hold they have no number.
			ok = c.ask(x)
		default:
			ok = p.is(c, vector, r)
		}
		reason := p.describe(c, ok, x, r)
		if !ok {
			return false, []Reason{reason}
		}
		why = append(why, reason)
	}
	for i := range m.nots {
		ok, inner := p.whyHolds(&m.nots[i], x, vector, r)
		for j := range inner {
			inner[j].Text = "not: " + inner[j].Text
		}
		switch {
		case ok && len(inner) == 0:
			return false, []Reason{{m.nots[i].pos, "not: an empty block excludes everything"}}
		case ok:
			return false, inner
		}
		why = append(why, inner...)
	}
	return true, why
}

// ask is the test of a condition on the prefix.
func (c *cond) ask(x prefix.Prefix) bool {
	switch c.src.Kind {
	case CondPrefix:
		return inPrefixSets(x, c.prefixes)
	case CondPrefixLength:
		return inRanges(uint32(x.Bits), c.src.Ranges)
	}
	return slices.Contains(c.src.Families, x.Family)
}

// describe says in words what a condition found.
func (p *Program) describe(c *cond, ok bool, x prefix.Prefix, r *Route) Reason {
	src, a := c.src, r.Attrs
	why := Reason{Pos: src.Pos}
	is := "is"
	if !ok {
		is = "is not"
	}
	say := func(format string, args ...any) Reason {
		why.Text = src.Kind.String() + ": " + fmt.Sprintf(format, args...)
		return why
	}
	source := r.Source
	if source == nil {
		source = &Source{}
	}
	switch src.Kind {
	case CondPrefix:
		for i, s := range c.prefixes {
			if e, pos, found := s.Find(x); found {
				why.Pos = pos
				return say("%s is in %s: %s", x, setName("prefix_set", s.Name, src.Slot && i == len(c.prefixes)-1, "prefixes"), e.String()+s.because(pos))
			}
		}
		return say("%s is not in %s", x, p.prefixSets(c, src))
	case CondPrefixLength:
		return say("%d %s in %s", x.Bits, is, rangeList(src.Ranges))
	case CondNextHop:
		nh, given := nextHopPrefix(a.NextHop)
		if !given {
			return say("the route has none")
		}
		return say("%s %s in %s", nh.Addr(), is, p.prefixSets(c, src))
	case CondNeighbor, CondGroup:
		if c.fixed {
			if src.Kind == CondGroup {
				return say("this neighbor's group %s %s", is, strings.Join(src.Names, " or "))
			}
			return say("this neighbor %s %s", is, strings.Join(src.Names, " or "))
		}
		name := source.Neighbor
		if src.Kind == CondGroup {
			name = source.Group
		}
		return say("%q %s %s", name, is, strings.Join(src.Names, " or "))
	case CondSource:
		var names []string
		for _, s := range src.Sources {
			names = append(names, s.String())
		}
		return say("the route %s from %s", is, strings.Join(names, " or "))
	case CondASPath:
		for _, s := range src.Patterns {
			if text, pos, found := s.Find(a.ASPath); found {
				why.Pos = pos
				return say("%q describes the path %q", text, wire.PathText(a.ASPath))
			}
		}
		return say("no pattern describes the path %q", wire.PathText(a.ASPath))
	case CondASPathContains:
		for h := (pathHops{path: a.ASPath}); ok && h.next(); {
			for hop := h.hop; len(hop) >= 4; hop = hop[4:] {
				asn := binary.BigEndian.Uint32(hop)
				if entry, pos, found := c.findASN(asn); found {
					why.Pos = pos
					return say("AS %d of the path %q is in %s", asn, wire.PathText(a.ASPath), entry)
				}
			}
		}
		return say("no AS of the path %q is in %s", wire.PathText(a.ASPath), asSets(c))
	case CondASPathOrigin:
		asn, one := pathOrigin(a.ASPath, p.asn)
		if !one {
			return say("the path %q ends with an AS_SET", wire.PathText(a.ASPath))
		}
		if entry, pos, found := c.findASN(asn); found {
			why.Pos = pos
			return say("AS %d is in %s", asn, entry)
		}
		return say("AS %d is not in %s", asn, asSets(c))
	case CondASPathFirst:
		return say("the first AS of the path %q %s in %s", wire.PathText(a.ASPath), is, asSets(c))
	case CondASPathLength:
		return say("%d %s in %s", wire.PathLen(a.ASPath), is, rangeList(src.Ranges))
	case CondCommunity, CondCommunityAll:
		return describeCommunities(c, ok, a, say, &why)
	case CondMED:
		if a.Has&wire.HasMED == 0 {
			return say("the route has none")
		}
		return say("%d %s in %s", a.MED, is, rangeList(src.Ranges))
	case CondLocalPref:
		return say("%d %s in %s", p.localPref(a), is, rangeList(src.Ranges))
	case CondOrigin:
		return say("the route has %s", wire.OriginName(a.Origin))
	case CondRPKI:
		return say("the route is %s", r.Validity)
	case CondASPA:
		return say("the AS path is %s", r.Path)
	}
	return say("the route is %s", x.Family)
}

func describeCommunities(c *cond, ok bool, a *wire.Attrs, say func(string, ...any) Reason, why *Reason) Reason {
	lists := communities(a)
	for _, s := range c.communities {
		if c.src.Kind == CondCommunity {
			if text, pos, found := s.find(&lists); found {
				why.Pos = pos
				return say("the route has %s", text)
			}
			continue
		}
		for i := range s.entries {
			if e := &s.entries[i]; !e.in(&lists) {
				why.Pos = s.pos(e.at)
				return say("the route does not have %s", e.text)
			}
		}
	}
	if ok {
		return say("the route has all of them")
	}
	return say("the route has none of them")
}

func setName(block, name string, slot bool, field string) string {
	switch {
	case slot:
		return "neighbor." + field
	case name == "":
		return "the list"
	}
	return block + "." + name
}

func (p *Program) prefixSets(c *cond, src *Condition) string {
	var names []string
	for i, s := range c.prefixes {
		names = append(names, setName("prefix_set", s.Name, src.Slot && i == len(c.prefixes)-1, "prefixes"))
	}
	return strings.Join(names, ", ")
}

func asSets(c *cond) string {
	var names []string
	for i, s := range c.asns {
		names = append(names, setName("as_set", s.Name, c.src.Slot && i == len(c.asns)-1, "origin_asns"))
	}
	return strings.Join(names, ", ")
}

func rangeList(ranges []Range) string {
	var s []string
	for _, r := range ranges {
		s = append(s, r.String())
	}
	return strings.Join(s, " or ")
}

// findASN says which entry of which set has an AS number.
func (c *cond) findASN(asn uint32) (string, Pos, bool) {
	for i, s := range c.asns {
		if r, pos, found := s.Find(asn); found {
			name := setName("as_set", s.Name, c.src.Slot && i == len(c.asns)-1, "origin_asns")
			return name + ": " + r.String() + s.because(pos), pos, true
		}
	}
	return "", Pos{}, false
}
