package engine

import (
	"holdfast/internal/attr"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// Path IDs that tell the routes of this router itself apart.
const (
	pathOriginated = iota
	pathAggregate
)

// aggregate is a route that stands while more specific ones do.
type aggregate struct {
	prefix       prefix.Prefix
	block        attr.Handle // with a reference
	contributors int
}

// contribute counts a prefix that has come or gone for the aggregates around it.
func (c *Core) contribute(f prefix.Family, ch rib.Change) {
	t := c.tables[f]
	if !t.Live(ch.ID) {
		return
	}
	k := t.Existence(ch.ID)
	if k == 0 {
		return
	}
	p := t.Prefix(ch.ID)
	for _, a := range c.aggregates[f] {
		if a.prefix.Bits < p.Bits && a.prefix.Covers(p) {
			a.contributors += k
			if a.contributors == 0 || a.contributors == 1 && k == 1 {
				c.showAggregate(f, a, ch.Cause)
			}
		}
	}
}

// showAggregate announces or withdraws an aggregate.
func (c *Core) showAggregate(f prefix.Family, a *aggregate, cause rib.Cause) {
	h := attr.Handle(0)
	if a.contributors > 0 {
		h = a.block
	}
	c.setLocal(a.prefix, pathAggregate, h, cause)
}

// setLocal announces a route of this router, or with h 0 withdraws it.
func (c *Core) setLocal(p prefix.Prefix, pathID uint32, h attr.Handle, cause rib.Cause) {
	if h != 0 {
		c.store.Retain(h, 1)
	}
	op := []rib.Op{{Prefix: p, PathID: pathID, Pre: h, Post: h}}
	c.tables[p.Family].Apply(op, c.now, cause)
}

// local makes the block of a route of this router.
func (c *Core) local(f prefix.Family, a wire.Attrs) attr.Handle {
	a.Has |= wire.HasOrigin | wire.HasASPath
	return c.intern(attr.Key{Family: f}, &a)
}

// setOriginations makes the configured originations those that stand.
func (c *Core) setOriginations(want []Origination, cause rib.Cause) {
	old := c.originated
	c.originated = make(map[prefix.Prefix]attr.Handle, len(want))
	for _, o := range want {
		h := c.local(o.Prefix.Family, o.Attrs)
		c.store.Release(c.originated[o.Prefix])
		c.originated[o.Prefix] = h
	}
	for p, h := range c.originated {
		if old[p] != h {
			c.setLocal(p, pathOriginated, h, cause)
		}
	}
	for p, h := range old {
		if c.originated[p] == 0 {
			c.setLocal(p, pathOriginated, 0, cause)
		}
		c.store.Release(h)
	}
}

// setAggregates makes the configured aggregates those that stand, and counts
// their contributors.
func (c *Core) setAggregates(want []Aggregate, cause rib.Cause) {
	c.distribute() // the old aggregates have counted what has happened so far
	old := c.aggregates
	c.aggregates = [prefix.Families][]*aggregate{}
	for _, w := range want {
		f := w.Prefix.Family
		c.aggregates[f] = append(c.aggregates[f], &aggregate{prefix: w.Prefix, block: c.local(f, w.Attrs)})
	}
	for f, t := range c.tables {
		if len(c.aggregates[f]) == 0 && len(old[f]) == 0 {
			continue
		}
		for id := rib.ID(1); id <= t.Top(); id++ {
			if !t.Live(id) {
				continue
			}
			t.Existence(id)
			p := t.Prefix(id)
			for _, a := range c.aggregates[f] {
				if t.Best(id) != nil && a.prefix.Bits < p.Bits && a.prefix.Covers(p) {
					a.contributors++
				}
			}
		}
		kept := map[prefix.Prefix]bool{}
		for _, a := range c.aggregates[f] {
			kept[a.prefix] = true
			c.showAggregate(prefix.Family(f), a, cause)
		}
		for _, a := range old[f] {
			if !kept[a.prefix] {
				c.setLocal(a.prefix, pathAggregate, 0, cause)
			}
			c.store.Release(a.block)
		}
	}
}
