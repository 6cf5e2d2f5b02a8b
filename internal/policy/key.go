package policy

import (
	"encoding/binary"
	"slices"

	"holdfast/internal/prefix"
)

// condKey appends what names a condition's behaviour, and numbers its test.
func (c *compiler) condKey(k []byte, x *cond) []byte {
	src := x.src
	k = append(k, 'c', byte(src.Kind))
	switch src.Kind {
	case CondPrefix:
		t := test{sets: x.prefixes, key: string(append([]byte{byte(src.Kind)}, digests(nil, x.prefixes)...))}
		x.test = c.test(t)
		return append(k, t.key...)
	case CondPrefixLength:
		t := test{ranges: src.Ranges, key: string(rangesKey([]byte{byte(src.Kind)}, src.Ranges))}
		x.test = c.test(t)
		return append(k, t.key...)
	case CondFamily:
		t := familyTest(src.Families...)
		x.test = c.test(t)
		return append(k, t.key...)
	case CondNextHop:
		return digests(k, x.prefixes)
	case CondNeighbor, CondGroup:
		names := slices.Clone(src.Names)
		slices.Sort(names)
		names = slices.Compact(names)
		k = binary.BigEndian.AppendUint32(k, uint32(len(names)))
		for _, n := range names {
			k = append(binary.BigEndian.AppendUint32(k, uint32(len(n))), n...)
		}
		return k
	case CondRPKI:
		c.p.validates = true
		return binary.BigEndian.AppendUint32(k, x.mask)
	case CondASPA:
		c.p.verifies = true
		return binary.BigEndian.AppendUint32(k, x.mask)
	case CondSource, CondOrigin:
		return binary.BigEndian.AppendUint32(k, x.mask)
	case CondASPath:
		return digests(k, src.Patterns)
	case CondASPathContains, CondASPathOrigin, CondASPathFirst:
		return digests(k, x.asns)
	case CondCommunity:
		return digests(k, x.communities)
	case CondCommunityAll:
		k = binary.BigEndian.AppendUint32(k, uint32(len(x.communities)))
		for _, s := range x.communities {
			k = s.appendSource(k)
		}
		return k
	}
	return rangesKey(k, src.Ranges)
}

func (s *PrefixSet) name() digest    { return s.digest }
func (s *ASSet) name() digest        { return s.digest }
func (s *CommunitySet) name() digest { return s.digest }
func (s *ASPathSet) name() digest    { return s.sum() }

// digests appends those of sets, in an order of their own: they are
// alternatives.
func digests[S interface{ name() digest }](k []byte, sets []S) []byte {
	all := make([]digest, len(sets))
	for i, s := range sets {
		all[i] = s.name()
	}
	slices.SortFunc(all, func(a, b digest) int { return slices.Compare(a[:], b[:]) })
	all = slices.Compact(all)
	k = binary.BigEndian.AppendUint32(k, uint32(len(all)))
	for _, d := range all {
		k = append(k, d[:]...)
	}
	return k
}

func rangesKey(k []byte, ranges []Range) []byte {
	merged := mergeRanges(slices.Clone(ranges))
	k = binary.BigEndian.AppendUint32(k, uint32(len(merged)))
	for _, r := range merged {
		k = binary.BigEndian.AppendUint32(k, r.Min)
		k = binary.BigEndian.AppendUint32(k, r.Max)
	}
	return k
}

// actionKey appends what names the behaviour of actions, and numbers the test
// that a next hop's address needs.
func (c *compiler) actionKey(k []byte, a *actions) []byte {
	lists := func(lists [communityKinds][]byte) {
		for _, l := range lists {
			k = append(binary.BigEndian.AppendUint32(k, uint32(len(l))), l...)
		}
	}
	for _, d := range []Adjust{a.localPref, a.med} {
		k = binary.BigEndian.AppendUint32(append(k, byte(d.Op)), d.Value)
	}
	if a.replaces {
		k = append(k, 'R')
		lists(a.replace)
	}
	k = digests(k, a.remove)
	lists(a.add)
	k = append(binary.BigEndian.AppendUint32(k, uint32(len(a.prepend))), a.prepend...)
	if a.prependFirst {
		k = append(k, 'f')
	}
	k = append(k, byte(a.nextHop))
	if a.nextHop == NextHopAddress {
		a.ipv4 = c.test(familyTest(prefix.IPv4))
		for _, b := range a.address {
			k = append(append(k, byte(len(b))), b...)
		}
	}
	if a.origin != nil {
		k = append(k, 'o', *a.origin)
	}
	if a.weight != nil {
		k = binary.BigEndian.AppendUint32(append(k, 'w'), *a.weight)
	}
	return k
}
