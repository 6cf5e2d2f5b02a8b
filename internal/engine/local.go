package engine

import (
	"maps"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// localKind tells the routes of this router itself apart: it is their path ID.
// Of two kinds that tie, the first wins.
type localKind uint32

const (
	localOriginated localKind = iota
	localAggregate
	localStatic
	localKernel // redistributed from the kernel
	localKinds
)

// aggregate is a route that stands while more specific ones do.
type aggregate struct {
	prefix       prefix.Prefix
	block        attr.Handle // with a reference
	suppress     bool
	contributors int
}

// has reports whether a prefix contributes.
func (a *aggregate) has(p prefix.Prefix) bool { return a.prefix.Bits < p.Bits && a.prefix.Covers(p) }

// suppressed reports whether an aggregate stands for a prefix, which has a route
// and so makes it stand.
func (t *table) suppressed(p prefix.Prefix) bool {
	return slices.ContainsFunc(t.aggregates, func(a *aggregate) bool { return a.suppress && a.block != 0 && a.has(p) })
}

// suppress notes whether a prefix is suppressed, and tells the update groups of a
// change. They are told in any case when the prefix gets or loses a route.
func (t *table) suppress(id rib.ID, on bool) {
	if s := &t.env.Suppressed; on && s.Set(uint32(id)) || !on && s.Clear(uint32(id)) {
		for _, g := range t.groups {
			g.Touch(id)
		}
	}
}

// contribute counts a prefix that has come or gone for the aggregates around it.
func (c *Core) contribute(t *table, ch rib.Change) {
	if !t.Live(ch.ID) {
		return
	}
	k := t.Existence(ch.ID)
	if k == 0 {
		return
	}
	p := t.Prefix(ch.ID)
	t.suppress(ch.ID, k > 0 && t.suppressed(p))
	for _, a := range t.aggregates {
		if a.has(p) {
			a.contributors += k
			if a.contributors == 0 || a.contributors == 1 && k == 1 {
				c.showAggregate(t, a, ch.Cause)
			}
		}
	}
}

// showAggregate announces or withdraws an aggregate.
func (c *Core) showAggregate(t *table, a *aggregate, cause rib.Cause) {
	h := attr.Handle(0)
	if a.contributors > 0 {
		h = a.block
	}
	c.setLocal(t, a.prefix, localAggregate, h, cause)
}

// setLocal announces a route of this router, or with h 0 withdraws it.
func (c *Core) setLocal(t *table, p prefix.Prefix, k localKind, h attr.Handle, cause rib.Cause) {
	if a := t.announced[p]; a != 0 && k == localOriginated {
		h = a
	}
	if h != 0 {
		c.store.Retain(h, 1)
	}
	op := []rib.Op{{Prefix: p, PathID: uint32(k), Pre: h, Post: h}}
	t.Apply(op, c.now, cause)
	if id := t.Lookup(p); k == localStatic && t.install != nil && id != 0 {
		t.install.touch(id) // packets go by it also where another path is the best one
	}
}

// local makes the block of a route of this router. It returns 0 for one whose
// attributes fit no message.
func (c *Core) local(t *table, kind policy.SourceKind, nextHop policy.NextHopMode, a wire.Attrs) attr.Handle {
	a.Has |= wire.HasOrigin | wire.HasASPath
	return c.store.InternAttrs(attr.Key{Family: t.Family(), Source: kind, NextHop: nextHop, Table: uint8(t.id)}, &a)
}

// handles are blocks by prefix, with references.
type handles map[prefix.Prefix]attr.Handle

// locals are routes of our own that are to stand.
type locals map[*table]handles

func (l locals) put(s *attr.Store, t *table, p prefix.Prefix, h attr.Handle) {
	if l[t] == nil {
		l[t] = handles{}
	}
	s.Release(l[t][p])
	l[t][p] = h
}

// stand makes the routes of a kind in all tables those that are wanted, whose
// references it takes.
func (c *Core) stand(k localKind, want locals, cause rib.Cause) {
	c.all(func(t *table) {
		old := t.standing[k]
		t.standing[k] = want[t]
		for _, p := range slices.SortedFunc(maps.Keys(want[t]), prefix.Compare) { // the same at every start
			if h := want[t][p]; old[p] != h {
				c.setLocal(t, p, k, h, cause)
			}
		}
		for p, h := range old {
			if want[t][p] == 0 {
				c.setLocal(t, p, k, 0, cause)
			}
			c.store.Release(h)
		}
	})
}

// standOne makes h the block of one route of a kind, or with h 0 withdraws it. It
// takes the reference.
func (c *Core) standOne(t *table, k localKind, p prefix.Prefix, h attr.Handle, cause rib.Cause) {
	old := t.standing[k][p]
	switch {
	case h == 0:
		delete(t.standing[k], p)
	case t.standing[k] == nil:
		t.standing[k] = handles{p: h}
	default:
		t.standing[k][p] = h
	}
	if h != old {
		c.setLocal(t, p, k, h, cause)
	}
	c.store.Release(old)
}

// setOriginations makes the configured originations those that stand.
func (c *Core) setOriginations(want []Origination, cause rib.Cause) {
	l := locals{}
	clear(c.present)
	for _, o := range want {
		if c.hops != nil && o.WhileInKernel != 0 {
			c.present[fib.Key{Table: o.WhileInKernel, Prefix: o.Prefix}] = o
			if !c.inKernel(&o) {
				c.log.Warn("origination inactive: the kernel has no route for the prefix", "event", events.OriginationInactive, "prefix", o.Prefix, "table", o.WhileInKernel)
				continue
			}
		}
		t := c.tables[o.Table][o.Prefix.Family]
		l.put(c.store, t, o.Prefix, c.local(t, policy.Originated, policy.NextHopDefault, o.Attrs))
	}
	c.stand(localOriginated, l, cause)
}

// setAggregates makes the configured aggregates those that stand, and counts
// their contributors.
func (c *Core) setAggregates(want []Aggregate, cause rib.Cause) {
	c.distribute() // the old aggregates have counted what has happened so far
	c.all(func(t *table) {
		old := t.aggregates
		t.aggregates = nil
		for _, w := range want {
			if c.tables[w.Table][w.Prefix.Family] == t {
				t.aggregates = append(t.aggregates, &aggregate{prefix: w.Prefix, suppress: w.Suppress, block: c.local(t, policy.Originated, policy.NextHopDefault, w.Attrs)})
			}
		}
		if len(t.aggregates) > 0 || len(old) > 0 {
			c.recount(t, old, cause)
		}
	})
}

// recount counts the contributors of a table's aggregates anew, in the place of
// old ones.
func (c *Core) recount(t *table, old []*aggregate, cause rib.Cause) {
	for id := rib.ID(1); id <= t.Top(); id++ {
		if !t.Live(id) {
			continue
		}
		t.Existence(id)
		p := t.Prefix(id)
		exists := t.Best(id) != nil
		t.suppress(id, exists && t.suppressed(p))
		for _, a := range t.aggregates {
			if exists && a.has(p) {
				a.contributors++
			}
		}
	}
	kept := map[prefix.Prefix]bool{}
	for _, a := range t.aggregates {
		kept[a.prefix] = true
		c.showAggregate(t, a, cause)
	}
	for _, a := range old {
		if !kept[a.prefix] {
			c.setLocal(t, a.prefix, localAggregate, 0, cause)
		}
		c.store.Release(a.block)
	}
}
