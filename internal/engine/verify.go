package engine

import (
	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/rib"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// Verification of AS paths (draft-ietf-sidrops-aspa-verification). The state is that
// of a block, so that memos know it with the rest of the block's result. When ASPAs
// change, what they know of neighbors whose policies ask is dropped, as by an edit of
// these policies.

// ASPAs is what AS paths are verified by; nil: there is nothing.
func (c *Core) ASPAs() *rpki.ASPAs { return c.aspas }

// Verify makes aspas what AS paths are verified by. There is one walk at a time: of
// what comes meanwhile, the last is the next one's.
func (c *Core) Verify(aspas *rpki.ASPAs) {
	switch {
	case c.verifying:
		c.nextASPAs = aspas
		return
	case c.aspas.Equal(aspas):
		return
	}
	c.aspas = aspas
	which := map[packet.ID]bool{}
	for id, n := range c.neighbors {
		if n.ID != 0 && n.verifies() {
			which[packet.ID(id)] = true
		}
	}
	if len(which) == 0 {
		return
	}
	c.verifying = true
	c.revise(which, rib.NewCause(rib.CauseRPKI, 0), false)
	c.jobs = append(c.jobs, job{0, func() bool {
		next := c.nextASPAs
		if c.verifying, c.nextASPAs = false, nil; next != nil {
			c.Verify(next)
		}
		return true
	}})
}

// verifies reports whether what is accepted of n depends on ASPAs.
func (n *neighbor) verifies() bool {
	if n.Verification.Direction == rpki.Unverified {
		return false
	}
	for f := range n.Families {
		if p := n.Families[f].Import; p != nil && p.Verifies() {
			return true
		}
	}
	return false
}

// verified is the state of the path of a block as it came.
func (c *Core) verified(n *neighbor, h attr.Handle) rpki.State {
	if h == 0 {
		return rpki.Unknown
	}
	var a wire.Attrs
	c.store.Parse(h, &a)
	return n.Verification.State(c.aspas, a.ASPath)
}
