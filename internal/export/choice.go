package export

import (
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/rib"
)

// WantsAll reports whether what the group sends depends on other paths than the
// best ones.
func (g *Group) WantsAll() bool { return g.AddPath > 0 || g.RouteServer }

// candidate says why no path of a prefix is sent, Sent if one may be.
func (g *Group) candidate(id rib.ID) uint8 {
	switch {
	case g.env.Table.Best(id) == nil:
		return NotBestRoute
	case !g.SendSuppressed && g.env.Suppressed.Has(uint32(id)):
		return Suppressed
	}
	return Sent
}

// installed says whether a prefix may be announced: nothing is that we cannot
// forward (RFC 4271 section 9.1.3). Of several paths packets take the best one,
// so that there must be a route for the prefix, not one for each path.
func (g *Group) installed(id rib.ID) uint8 {
	if g.env.Installed == nil {
		return Sent
	}
	return g.env.Installed(id)
}

// byDefault is the result about a prefix of which no path is sent: with
// DefaultOriginate a real default route that may not pass takes ours away from
// nobody.
func (g *Group) byDefault(id rib.ID, reason uint8) attr.Result {
	if !g.DefaultOriginate || g.env.Table.Prefix(id).Bits != 0 {
		return attr.Result{Reason: reason}
	}
	if reason = g.sendable(g.env.DefaultRoute); reason != Sent {
		return attr.Result{Reason: reason}
	}
	return attr.Result{To: g.env.DefaultRoute}
}

// route is what the group sends about a prefix. hits counts for the rules.
func (g *Group) route(id rib.ID, hits uint64) attr.Result {
	r := attr.Result{Reason: g.candidate(id)}
	if r.Reason == Sent {
		if r = g.judge(g.env.Table.Best(id).Post, id, hits); r.To != 0 {
			if reason := g.installed(id); reason != Sent {
				r = attr.Result{Reason: reason}
			}
		}
	}
	if r.To == 0 {
		r = g.byDefault(id, r.Reason)
	}
	return r
}

// waits reports whether the kernel has yet to say what becomes of a prefix.
func (g *Group) waits(id rib.ID) bool {
	e := g.env
	return g.MaxOut == 0 && e.Installed != nil && e.Table.Best(id) != nil && e.Installed(id) == NotYetInstalled
}

// chosen is a path that is to be sent.
type chosen struct {
	neighbor packet.ID
	pathID   uint32 // as received
	block    attr.Handle
}

// ofDefault is the path ID of what DefaultOriginate adds: that of no path.
const ofDefault = 1<<32 - 1

// choose is route for a group with AddPath: the first paths in the order of
// preference that may be sent. Where there are none it says why.
func (g *Group) choose(id rib.ID, hits uint64) (list []chosen, reason uint8) {
	e := g.env
	list = e.chosen[:0]
	if reason = g.candidate(id); reason == Sent {
		take := func(p *rib.Path) bool {
			r := g.judge(p.Post, id, hits)
			switch {
			case r.To != 0:
				list = append(list, chosen{p.Neighbor, p.PathID, r.To})
			case r.Reason == TooLarge && hits > 0:
				e.Unsendable(g, e.Table.Prefix(id))
			}
			if len(list) == 0 && reason == Sent {
				reason = r.Reason
			}
			return len(list) < g.AddPath
		}
		if e.Table.PathsOf(id) <= g.AddPath { // then all that may be sent are, in whatever order
			e.Table.Usable(id, take)
		} else {
			e.ranked = e.Table.Rank(e.ranked[:0], id)
			for _, p := range e.ranked {
				if !take(p) {
					break
				}
			}
		}
		if len(list) > 0 {
			if reason = g.installed(id); reason != Sent {
				list = list[:0]
			}
		}
	}
	if len(list) == 0 {
		r := g.byDefault(id, reason)
		if reason = r.Reason; r.To != 0 {
			list = append(list, chosen{0, ofDefault, r.To})
		}
	}
	e.chosen = list[:0]
	return list, reason
}

// updatePaths is update for a group with AddPath.
func (g *Group) updatePaths(id rib.ID, b *bucket) {
	list, reason := g.choose(id, 1)
	if g.mustWait(id, reason) {
		return
	}
	n, force := g.numbers, g.forced(id)
	for i := n.first(id); i != 0; i = n.next(i) {
		p := n.paths.At(i)
		if !slices.ContainsFunc(list, func(c chosen) bool { return c.neighbor == p.neighbor && c.pathID == p.pathID }) && g.uses(i) {
			g.put(i, id, attr.Result{Reason: reason}, force, b)
		}
	}
	for _, c := range list {
		i := n.of(id, c.neighbor, c.pathID)
		g.out.Grow(i)
		g.put(i, id, attr.Result{To: c.block}, force, b)
	}
}
