package engine

import (
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// Announce makes a route of this router that an operator or a program asks for
// at run time, in the place of an earlier one for the prefix. It stands in the
// place of what the configuration originates, too, whatever the attributes of
// the two say: who announces a prefix with a longer path wants that path to be
// seen.
func (c *Core) Announce(o Origination) {
	t := c.tables[o.Table][o.Prefix.Family]
	h, old := c.local(t, policy.Originated, policy.NextHopDefault, o.Attrs), t.announced[o.Prefix]
	if h == old || h == 0 {
		c.store.Release(h)
		return
	}
	if t.announced == nil {
		t.announced = handles{}
	}
	t.announced[o.Prefix] = h
	c.setLocal(t, o.Prefix, localOriginated, h, rib.NewCause(rib.CauseOperator, 0))
	c.store.Release(old)
}

// Withdraw ends what Announce began. It reports whether the configuration
// originates the prefix as well, whose route comes back then.
func (c *Core) Withdraw(id TableID, p prefix.Prefix) (originated bool) {
	t := c.tables[id][p.Family]
	own := t.standing[localOriginated][p]
	if h := t.announced[p]; h != 0 {
		delete(t.announced, p)
		c.setLocal(t, p, localOriginated, own, rib.NewCause(rib.CauseOperator, 0))
		c.store.Release(h)
	}
	return own != 0
}

// Prepended is an AS path of this router's AS number, n times.
func (c *Core) Prepended(n int) []byte { return wire.Prepend(nil, nil, c.cfg.ASN, n) }
