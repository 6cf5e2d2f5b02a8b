package config

import (
	"bytes"
	"iter"
	"reflect"
	"slices"

	"holdfast/internal/policy"
)

// Equal reports whether two neighbors have the same settings, wherever these
// were written. Policies count by name. If only Transport is equal, the change
// needs no reset.
func (n *Neighbor) Equal(o *Neighbor) bool {
	settings := func(n *Neighbor) Neighbor {
		c := *n
		c.Pos, c.Own, c.OwnFamily = Pos{}, Settings{}, FamilySettings{}
		c.Prefixes, c.OriginASNs = nil, nil
		return c
	}
	return reflect.DeepEqual(settings(n), settings(o)) &&
		equalSets(n.Prefixes, o.Prefixes, (*policy.PrefixSet).All) &&
		equalSets(n.OriginASNs, o.OriginASNs, (*policy.ASSet).All)
}

// Equal reports whether two configurations mean the same: comments, layout,
// places and the order of arguments do not count, what text files contain
// does.
func (c *Config) Equal(o *Config) bool {
	return bytes.Equal(Print(c), Print(o)) &&
		slices.EqualFunc(c.PrefixSets, o.PrefixSets, func(a, b *PrefixSet) bool { return equalSets(a.Set, b.Set, (*policy.PrefixSet).All) }) &&
		slices.EqualFunc(c.ASSets, o.ASSets, func(a, b *ASSet) bool { return equalSets(a.Set, b.Set, (*policy.ASSet).All) }) &&
		slices.EqualFunc(c.CommunitySets, o.CommunitySets, func(a, b *CommunitySet) bool { return equalSets(a.Set, b.Set, (*policy.CommunitySet).All) }) &&
		slices.EqualFunc(c.ASPathSets, o.ASPathSets, func(a, b *ASPathSet) bool { return equalSets(a.Set, b.Set, (*policy.ASPathSet).All) }) &&
		slices.EqualFunc(c.Neighbors, o.Neighbors, (*Neighbor).Equal) &&
		slices.EqualFunc(c.Ranges, o.Ranges, func(a, b *Range) bool { return a.Example.Equal(b.Example) })
}

// equalSets compares the entries of two sets, in order.
func equalSets[S any, E comparable](a, b *S, all func(*S) iter.Seq2[E, Pos]) bool {
	if a == nil || b == nil {
		return a == b
	}
	next, stop := iter.Pull2(all(b))
	defer stop()
	for e := range all(a) {
		if other, _, ok := next(); !ok || other != e {
			return false
		}
	}
	_, _, more := next()
	return !more
}
