package export

import (
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/rib"
)

// A route server hides no path (RFC 7947 section 2.3): where the export policy
// rejects the best path, members are sent the best one that it accepts. That is
// the same for all of them but for the neighbor that gave it, which is sent the
// best one of others. So a group has one cell for each prefix as others have, and
// a second route for the few prefixes of members that somebody else has too.

// pick is route for clients of a route server: what they are sent, and what its
// neighbor is sent instead.
func (g *Group) pick(id rib.ID, hits uint64) (r attr.Result, second attr.Handle) {
	e := g.env
	if r.Reason = g.candidate(id); r.Reason != Sent {
		return g.byDefault(id, r.Reason), 0
	}
	best := e.Table.Best(id)
	r = g.judge(best.Post, id, hits)
	// Most prefixes have one path, or the best one suits and is nobody's here.
	if e.Table.PathsOf(id) > 1 && (r.To == 0 || g.isMember(best)) {
		e.ranked = e.Table.Rank(e.ranked[:0], id)
		for _, p := range e.ranked {
			if p == best || r.To != 0 && p.Neighbor == g.neighborOf(r.To) {
				continue
			}
			x := g.judge(p.Post, id, hits)
			if x.To == 0 {
				continue
			}
			if r.To != 0 {
				second = x.To
				break
			}
			if r = x; !g.isMember(p) {
				break
			}
		}
	}
	if r.To != 0 {
		if reason := g.installed(id); reason != Sent {
			r, second = attr.Result{Reason: reason}, 0
		}
	}
	if r.To == 0 {
		r = g.byDefault(id, r.Reason)
	}
	return r, second
}

// isMember reports whether a path has come from a member.
func (g *Group) isMember(p *rib.Path) bool {
	return slices.ContainsFunc(g.members, func(m *Member) bool { return m.ID == p.Neighbor })
}

// serve is update for clients of a route server.
func (g *Group) serve(id rib.ID, b *bucket) {
	r, second := g.pick(id, 1)
	if g.mustWait(id, r.Reason) {
		return
	}
	cell, force := uint32(id), g.forced(id)
	old, stood := *g.out.At(cell), g.seconds[id]
	if g.MaxOut > 0 || r.Reason == TooLarge {
		r = g.within(cell, id, old, r)
	}
	if r.To == 0 {
		second = 0
	}
	if r.To == old && second == stood && !(force && old != 0) {
		return
	}
	from, to := g.neighborOf(old), g.neighborOf(r.To)
	g.swapSecond(id, second, from, to)
	g.swap(cell, r.To, from, to)
	if !g.mark(cell, old, stood, from) {
		return
	}
	switch {
	case r.To == old && !force:
	case r.To != 0:
		b.announce(r.To, cell)
	case old != 0:
		b.withdraw(from, cell)
		if stood != 0 && g.has(from) {
			b.withdrawOnly(from, cell)
		}
	}
	if r.To != 0 && g.has(to) {
		had := old
		if from == to {
			had = stood
		}
		switch {
		case second != 0 && (second != had || force):
			b.announceOnly(to, second, cell)
		case second == 0 && had != 0:
			b.withdrawOnly(to, cell)
		}
	}
}

// swapSecond notes what the neighbor to is sent in the place of its own route.
func (g *Group) swapSecond(id rib.ID, h attr.Handle, from, to packet.ID) {
	old := g.seconds[id]
	for int(max(from, to)) >= len(g.second) {
		g.second = append(g.second, 0)
	}
	if old != 0 {
		g.second[from]--
		delete(g.seconds, id)
	}
	if h != 0 {
		if g.seconds == nil {
			g.seconds = map[rib.ID]attr.Handle{}
		}
		g.second[to]++
		g.seconds[id] = h
		g.env.Store.Retain(h, 1)
	}
	g.env.Store.Release(old)
}
