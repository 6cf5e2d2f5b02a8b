package engine

import (
	"slices"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
)

// setProtected makes the prefixes of protect blocks those that come first. Where
// they have changed, a walk finds them among those that are there.
func (c *Core) setProtected(old []*policy.PrefixSet) {
	if slices.EqualFunc(old, c.cfg.Protect, (*policy.PrefixSet).Equal) {
		return
	}
	sets := c.cfg.Protect
	c.all(func(t *table) { t.IsFirst = protects(sets) })
	c.eachSlice(func(t *table, from rib.ID) rib.ID { return t.ReviewFirst(from, c.pace.walk) })
}

// protects is nil where nothing is protected: a new prefix costs nothing then.
func protects(sets []*policy.PrefixSet) func(prefix.Prefix) bool {
	if len(sets) == 0 {
		return nil
	}
	return func(p prefix.Prefix) bool {
		return slices.ContainsFunc(sets, func(s *policy.PrefixSet) bool { return s.Contains(p) })
	}
}
