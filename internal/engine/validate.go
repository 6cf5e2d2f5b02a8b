package engine

import (
	"holdfast/internal/attr"
	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/rpki"
)

// Origin validation (RFC 6811). The state of a route is a part of the variant by
// which memos know it, for programs that ask for it and for no others. So when
// VRPs change, memos stay, and only routes that the changed ones cover are judged
// again.

// VRPs is what routes are validated by; nil: there is nothing.
func (c *Core) VRPs() *rpki.Table { return c.vrps }

// Validate makes vrps what routes are validated by. changed has what is in them or
// was in those before, but not in both.
func (c *Core) Validate(vrps, changed *rpki.Table) {
	c.vrps = vrps
	switch {
	case changed.Set().Len() == 0:
	case !c.validating:
		c.revalidate(changed)
	case c.changed == nil:
		c.changed = changed
	default:
		c.changed = rpki.NewTable(rpki.Union(c.changed.Set(), changed.Set()))
	}
}

// revalidate judges routes again that VRPs cover, in slices. There is one such walk
// at a time: what changes meanwhile is the next one's.
func (c *Core) revalidate(changed *rpki.Table) {
	c.validating = true
	c.revising++
	cause := rib.NewCause(rib.CauseRPKI, 0)
	c.eachSlice(func(t *table, from rib.ID) rib.ID {
		if !c.asksRPKI(t) {
			return 0
		}
		return t.Each(from, c.pace.walk, func(id rib.ID) {
			if changed.Covers(t.Prefix(id)) {
				c.revalidateOne(t, id, cause)
			}
		})
	})
	c.jobs = append(c.jobs, job{0, func() bool {
		c.revising--
		c.checkLimits()
		next := c.changed
		if c.validating, c.changed = next != nil, nil; c.validating {
			c.revalidate(next)
		}
		return true
	}})
}

// asksRPKI reports whether a policy that has to do with a table asks for the
// validation state.
func (c *Core) asksRPKI(t *table) bool {
	for _, n := range c.neighbors {
		if n.ID != 0 && c.of(n, t.Family()) == t && validates(n.Families[t.Family()].Import) {
			return true
		}
	}
	for _, g := range t.groups {
		if validates(g.Program()) {
			return true
		}
	}
	for _, l := range t.leaks {
		if validates(l.Policy) {
			return true
		}
	}
	return t.install != nil && validates(t.install.Policy)
}

func validates(p *policy.Program) bool { return p != nil && p.Validates() }

func (c *Core) revalidateOne(t *table, id rib.ID, cause rib.Cause) {
	f := t.Family()
	t.ReviseOne(id, cause, func(id packet.ID) bool {
		n := c.neighbors[id]
		return validates(n.Families[f].Import) && c.of(n, f) == t
	}, func(p prefix.Prefix, path *rib.Path) (attr.Handle, uint8) {
		return c.rejudge(f, p, path, false)
	}, func(id packet.ID, d rib.Delta) { c.neighbors[id].counts[f].add(d) })
	for _, g := range t.groups {
		if validates(g.Program()) {
			g.Touch(id)
		}
	}
	for _, l := range t.leaks {
		if validates(l.Policy) {
			l.pass(c, id, cause)
		}
	}
	if t.install != nil && validates(t.install.Policy) {
		t.install.touch(id)
	}
}

// variant is a program's for a block and a prefix.
func (c *Core) variant(p *policy.Program, h attr.Handle, x prefix.Prefix) uint32 {
	return export.Variant(p, c.store, c.vrps, h, x)
}
