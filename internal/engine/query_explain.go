package engine

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// Candidate is a path in the decision about a prefix.
type Candidate struct {
	Route
	Lost *Lost // nil for the best path, and for one that takes no part
	// Path is the state of the AS path as it came.
	Path rpki.State
}

// Lost says at which step a path lost to which other one.
type Lost struct {
	Step   rib.Step
	To     packet.ID
	Detail string // both values, the winner's first: "3 < 4"
}

// Explain calls fn for the paths of a prefix in the order of preference, then
// for those that take no part in the decision. It reports whether there are
// any. Of very many paths only the first ones are told why they lost.
func (e *Engine) Explain(ctx context.Context, table TableID, p prefix.Prefix, fn func(*Candidate) error) (found bool, err error) {
	var pg page
	var why []explained
	if err := e.ask(ctx, func(c *Core) { why = c.explain(&Query{Table: table, Family: p.Family, View: ViewUsable}, p, &pg) }); err != nil {
		return false, err
	}
	for i := range pg.rows {
		if err := fn(&Candidate{Route: *pg.route(i, e.start), Lost: why[i].lost, Path: why[i].path}); err != nil {
			return true, err
		}
	}
	return len(pg.rows) > 0, nil
}

// explained is what is said of a path beside the route.
type explained struct {
	lost *Lost
	path rpki.State
}

func (c *Core) explain(q *Query, p prefix.Prefix, pg *page) (why []explained) {
	t := c.queried(q)
	id := t.Lookup(p)
	if id == 0 {
		return nil
	}
	add := func(path *rib.Path, h attr.Handle, l *Lost) {
		c.copy(q, id, path, h, pg)
		why = append(why, explained{l, c.verified(c.neighbors[path.Neighbor], path.Pre)})
	}
	ranked := t.Rank(nil, id)
	for i, path := range ranked {
		var l *Lost
		if i > 0 && i*len(ranked) < mostCompared {
			x := t.Explain(id, path)
			l = &Lost{x.Step, x.Against.Neighbor, c.compared(x.Step, x.Against, path)}
		}
		add(path, path.Post, l)
	}
	c.each(q, id, func(path *rib.Path, h attr.Handle) {
		if !t.Reachable(path) {
			add(path, h, nil)
		}
	})
	q.View = ViewRejected
	c.each(q, id, func(path *rib.Path, h attr.Handle) { add(path, h, nil) })
	return why
}

// Sending is a route that a neighbor is sent for a prefix, or why it is sent none.
type Sending struct {
	Up     bool  // the session is, with the prefix's family
	Reason uint8 // in the terms of export.ReasonText
	// Rule let it pass or rejected it; zero where none did.
	Rule   policy.Label
	PathID uint32     // 0 where the neighbor is sent one path only
	Attrs  wire.Attrs // as they are sent
}

// Sending says what a neighbor is sent about a prefix of its table: one route,
// or with add-path each of several, or why there is none.
func (e *Engine) Sending(ctx context.Context, id packet.ID, p prefix.Prefix) (s []Sending, err error) {
	err = e.ask(ctx, func(c *Core) { s = c.sending(id, p) })
	return s, err
}

func (c *Core) sending(id packet.ID, p prefix.Prefix) (list []Sending) {
	if int(id) >= len(c.neighbors) || c.neighbors[id].members[p.Family] == nil {
		return []Sending{{}}
	}
	n := c.neighbors[id]
	m, x := n.members[p.Family], c.of(n, p.Family).Lookup(p)
	if x == 0 {
		return []Sending{{Up: true, Reason: export.NotBestRoute}}
	}
	m.Sent(x, func(r export.SentRoute) {
		s := Sending{Up: true, PathID: r.PathID, Attrs: m.Attrs(r.Block)}
		s.Rule, _ = m.Group().AcceptedBy(x, r)
		list = append(list, s)
	})
	if len(list) > 0 {
		slices.SortFunc(list, func(a, b Sending) int { return cmp.Compare(a.PathID, b.PathID) })
		return list
	}
	s := Sending{Up: true, Reason: m.Advertised(x)}
	if s.Reason == export.ByPolicy {
		s.Rule, _ = m.Group().RejectedBy(x)
	}
	return []Sending{s}
}

// compared has what a step compares, of the winner and the loser.
func (c *Core) compared(step rib.Step, won, lost *rib.Path) string {
	rw, rl := c.store.At(won.Post), c.store.At(lost.Post)
	nw, nl := &c.infos[won.Neighbor], &c.infos[lost.Neighbor]
	switch step {
	case rib.StepWeight:
		return fmt.Sprintf("%d > %d", rw.Key.Weight, rl.Key.Weight)
	case rib.StepLocalPref:
		return fmt.Sprintf("%d > %d", c.localPref(rw), c.localPref(rl))
	case rib.StepPathLen:
		return fmt.Sprintf("%d < %d", rw.PathLen, rl.PathLen)
	case rib.StepOrigin:
		return wire.OriginName(rw.Origin) + " < " + wire.OriginName(rl.Origin)
	case rib.StepMED:
		return fmt.Sprintf("%d < %d", rw.MED, rl.MED)
	case rib.StepIGPCost:
		return fmt.Sprintf("%d < %d", c.hops.List[rw.Hop].Cost, c.hops.List[rl.Hop].Cost)
	case rib.StepRouterID:
		return fmt.Sprintf("%s < %s", addr4(cmp.Or(rw.OriginatorID, nw.RouterID)), addr4(cmp.Or(rl.OriginatorID, nl.RouterID)))
	case rib.StepClusterLen:
		return fmt.Sprintf("%d < %d", rw.ClusterLen, rl.ClusterLen)
	case rib.StepAddress:
		return fmt.Sprintf("%s < %s", c.neighbors[won.Neighbor].address(), c.neighbors[lost.Neighbor].address())
	case rib.StepPathID:
		return fmt.Sprintf("%d < %d", won.PathID, lost.PathID)
	}
	return "" // the step's name says it all
}

func (c *Core) localPref(r *attr.Record) uint32 {
	if r.Has&wire.HasLocalPref == 0 {
		return c.cfg.Decision.DefaultLocalPref
	}
	return r.LocalPref
}

func addr4(id uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
}
