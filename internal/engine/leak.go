package engine

import (
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
	"holdfast/internal/wire"
)

// leak copies the best routes of one table that a policy accepts into another.
// There they are routes of the same neighbors, so that policies and the decision
// see where they came from. A route is copied once: what a table has by a leak
// does not leak on, so that there are no circles.
type leak struct {
	Leak
	from, to *table
	memo     *attr.Memo
	out      *slab.Array[attr.Handle] // by rib.ID of from: what the other table has, 0 for nothing
}

// leaked marks the path IDs of copies; the rest is the table that they are from.
const leaked = 1 << 31

// home reports whether a path of t has not come by a leak.
func (c *Core) home(t *table, p *rib.Path) bool {
	if p.Neighbor == 0 {
		return p.PathID&leaked == 0
	}
	return c.neighbors[p.Neighbor].Table == t.id
}

// pass brings the other table up to date about a prefix.
func (l *leak) pass(c *Core, id rib.ID, cause rib.Cause) {
	if !l.from.Live(id) {
		return
	}
	p, h := l.from.Prefix(id), attr.Handle(0)
	if best := l.from.Best(id); best != nil && c.home(l.from, best) {
		h = l.judge(c, best.Post, p)
	}
	if old := l.out.Get(uint32(id)); h != old {
		l.out.Grow(uint32(id))
		*l.out.At(uint32(id)) = h
		l.replace(c, p, old, h, cause)
	}
}

// replace puts a copy in the place of another one; 0 is none.
func (l *leak) replace(c *Core, p prefix.Prefix, old, h attr.Handle, cause rib.Cause) {
	op := rib.Op{Prefix: p, PathID: leaked | uint32(l.from.id)}
	var ops []rib.Op
	if old != 0 && (h == 0 || c.store.At(old).Key.Neighbor != c.store.At(h).Key.Neighbor) {
		op.Neighbor = c.store.At(old).Key.Neighbor
		ops = append(ops, op)
	}
	if h != 0 {
		c.store.Retain(h, 2) // for out and for the other table
		op.Neighbor, op.Pre, op.Post = c.store.At(h).Key.Neighbor, h, h
		ops = append(ops, op)
	}
	l.to.Apply(ops, c.now, cause)
	c.store.Release(old)
}

// judge is what the policy makes of a block for a prefix, 0 if it is rejected.
// The memo holds the block.
func (l *leak) judge(c *Core, h attr.Handle, p prefix.Prefix) attr.Handle {
	variant := c.variant(l.Policy, h, p)
	r, ok := l.memo.Get(h, variant)
	if !ok {
		r = l.evaluate(c, h, variant)
		l.memo.Put(h, variant, r)
		if r.To != 0 && r.To != h {
			c.store.Release(r.To) // the memo holds it now
		}
	}
	l.Policy.Count(r.Trace, 1)
	return r.To
}

func (l *leak) evaluate(c *Core, h attr.Handle, variant uint32) attr.Result {
	var a wire.Attrs
	r := c.eval(l.Policy, h, variant, &a)
	return c.verdict(h, &a, r)
}

// eval asks a policy between a table and something else. a is the block then as
// the policy left it.
func (c *Core) eval(p *policy.Program, h attr.Handle, variant uint32, a *wire.Attrs) policy.Result {
	c.store.Parse(h, a)
	rec := c.store.At(h)
	source := c.source(rec)
	return p.Eval(variant, &policy.Route{Attrs: a, Source: &source, Weight: rec.Key.Weight}, &c.scratch)
}

// source is where a block's route came from.
func (c *Core) source(rec *attr.Record) policy.Source {
	if rec.Key.Neighbor == 0 {
		return policy.Source{Kind: rec.Key.Source}
	}
	return c.sources[rec.Key.Neighbor].Source
}

// setLeaks makes the configured leaks those that run. sources says that what is
// known of the routes' sources has changed.
func (c *Core) setLeaks(want []Leak, sources bool, cause rib.Cause) {
	old := c.leaks
	c.leaks = nil
	for _, t := range c.tables {
		for f := range t {
			t[f].leaks = nil
		}
	}
	for _, w := range want {
		for f := range prefix.Family(prefix.Families) {
			l := &leak{Leak: w, from: c.tables[w.From][f], to: c.tables[w.To][f], memo: attr.NewMemo(c.store), out: new(slab.Array[attr.Handle])}
			for i, o := range old {
				if o != nil && o.from == l.from && o.to == l.to {
					l.out, old[i] = o.out, nil
					if program, same := keep(o.Policy, w.Policy); same && !sources {
						l.Policy, l.memo = program, o.memo
					} else {
						l.Policy = program
						o.memo.Reset()
					}
				}
			}
			c.leaks = append(c.leaks, l)
			l.from.leaks = append(l.from.leaks, l)
		}
	}
	for _, o := range old {
		if o != nil {
			o.end(c, cause)
		}
	}
	for _, l := range c.leaks {
		l.walk(c, cause)
	}
}

// walk brings the other table up to date about all prefixes.
func (l *leak) walk(c *Core, cause rib.Cause) {
	from := rib.ID(1)
	c.jobs = append(c.jobs, job{0, func() bool {
		if !slices.Contains(c.leaks, l) {
			return true // another configuration has come meanwhile
		}
		end := min(l.from.Top(), from+rib.ID(c.pace.walk)-1)
		for ; from <= end; from++ {
			l.pass(c, from, cause)
		}
		return from > l.from.Top()
	}})
}

// end takes all copies out of the other table.
func (l *leak) end(c *Core, cause rib.Cause) {
	for i := range l.out.Len() {
		if h := *l.out.At(i); h != 0 {
			*l.out.At(i) = 0
			l.replace(c, l.from.Prefix(rib.ID(i)), h, 0, cause)
		}
	}
	l.memo.Reset()
}
