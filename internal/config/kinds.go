package config

import (
	"net/netip"
	"strconv"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

var prefixSets = setKind[policy.PrefixSet]{
	block: "prefix_set", argument: "prefixes",
	create: func(name string, at Pos) *policy.PrefixSet { return &policy.PrefixSet{Name: name, Pos: at} },
	add: func(v value, to *policy.PrefixSet) (string, bool) {
		s, ok := v.str("prefixes in quotes", `["192.0.2.0/24"]`)
		if !ok {
			return "", false
		}
		return addPrefix(v, to, s)
	},
	read: (*policy.PrefixSet).Read,
	merge: func(to, from *policy.PrefixSet) {
		for e, at := range from.All() {
			to.Add(e, at)
		}
	},
	list:    func(c *Config) *[]*PrefixSet { return &c.PrefixSets },
	builtin: func(c *Config) []*PrefixSet { return c.builtinPrefixes },
	name:    func(s *policy.PrefixSet) string { return s.Name },
	texts: func(s *policy.PrefixSet) (all []string) {
		for e := range s.All() {
			all = append(all, quote(e.String()))
		}
		return all
	},
}

func addPrefix(v value, to *policy.PrefixSet, s string) (string, bool) {
	e, err := policy.ParsePrefixRange(s)
	if err != nil {
		v.fail("", "%v", err)
		return "", false
	}
	to.Add(e, pos(v.at()))
	return quote(e.String()), true
}

// addressSets are prefix sets in which an address may stand for itself.
var addressSets = func() setKind[policy.PrefixSet] {
	k := prefixSets
	k.add = func(v value, to *policy.PrefixSet) (string, bool) {
		s, ok := v.str("addresses or prefixes in quotes", `["192.0.2.1"]`)
		if !ok {
			return "", false
		}
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			p := prefix.FromNetip(netip.PrefixFrom(a, a.BitLen()))
			to.Add(policy.PrefixRange{Prefix: p, Ge: p.Bits, Le: p.Bits}, pos(v.at()))
			return quote(p.String()), true
		}
		return addPrefix(v, to, s)
	}
	return k
}()

var asSets = setKind[policy.ASSet]{
	block: "as_set", argument: "asns",
	create: func(name string, at Pos) *policy.ASSet { return &policy.ASSet{Name: name, Pos: at} },
	add: func(v value, to *policy.ASSet) (string, bool) {
		s, isText := v.text()
		if !isText {
			n, ok := v.number(0, 1<<32-1)
			if ok {
				to.Add(policy.Range{Min: uint32(n), Max: uint32(n)}, pos(v.at()))
			}
			return strconv.FormatUint(n, 10), ok
		}
		r, err := policy.ParseASRange(s)
		if err != nil {
			v.fail("", "%v", err)
			return "", false
		}
		to.Add(r, pos(v.at()))
		return asText(r), true
	},
	read: (*policy.ASSet).Read,
	merge: func(to, from *policy.ASSet) {
		for e, at := range from.All() {
			to.Add(e, at)
		}
	},
	list:    func(c *Config) *[]*ASSet { return &c.ASSets },
	builtin: func(c *Config) []*ASSet { return c.builtinASNs },
	name:    func(s *policy.ASSet) string { return s.Name },
	texts: func(s *policy.ASSet) (all []string) {
		for e := range s.All() {
			all = append(all, asText(e))
		}
		return all
	},
}

func asText(r policy.Range) string {
	if r.Min == r.Max {
		return r.String()
	}
	return quote(r.String())
}

var communitySets = setKind[policy.CommunitySet]{
	block: "community_set", argument: "communities",
	create: func(name string, at Pos) *policy.CommunitySet { return &policy.CommunitySet{Name: name, Pos: at} },
	add: func(v value, to *policy.CommunitySet) (string, bool) {
		return addText(v, "communities in quotes", `["64500:100"]`, to.Add)
	},
	read:  (*policy.CommunitySet).Read,
	list:  func(c *Config) *[]*CommunitySet { return &c.CommunitySets },
	name:  func(s *policy.CommunitySet) string { return s.Name },
	texts: func(s *policy.CommunitySet) []string { return quoted(s.All()) },
}

var asPathSets = setKind[policy.ASPathSet]{
	block: "as_path_set", argument: "patterns",
	create: func(name string, at Pos) *policy.ASPathSet { return &policy.ASPathSet{Name: name, Pos: at} },
	add: func(v value, to *policy.ASPathSet) (string, bool) {
		return addText(v, "AS-path patterns in quotes", `["64500 .*"]`, to.Add)
	},
	read:  (*policy.ASPathSet).Read,
	list:  func(c *Config) *[]*ASPathSet { return &c.ASPathSets },
	name:  func(s *policy.ASPathSet) string { return s.Name },
	texts: func(s *policy.ASPathSet) []string { return quoted(s.All()) },
}

func addText(v value, what, example string, add func(string, Pos) error) (string, bool) {
	s, ok := v.str(what, example)
	if !ok {
		return "", false
	}
	if err := add(s, pos(v.at())); err != nil {
		v.fail("", "%v", err)
		return "", false
	}
	return quote(s), true
}

func quoted(all func(func(string, Pos) bool)) (texts []string) {
	for s := range all {
		texts = append(texts, quote(s))
	}
	return texts
}
