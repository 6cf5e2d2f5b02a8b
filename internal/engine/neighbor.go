package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
)

// Up says that a neighbor's session is Established.
func (c *Core) Up(id packet.ID, est session.Established, out session.Out) {
	n := c.neighbors[id]
	c.finish(id)
	zone, oneHop := n.est.Interface, n.oneHop()
	if n.est.RemoteID != 0 && (n.est.NextHop != est.NextHop || n.est.LocalASN != est.LocalASN) { // not the first session
		// Our own address is none to take for a next hop, and our AS none to have
		// in a path twice.
		c.revise(map[packet.ID]bool{id: true}, rib.NewCause(rib.CauseUp, uint32(id)), false)
	}
	if n.est.RemoteID != est.RemoteID && !n.EBGP {
		// What was reflected has the old one as ORIGINATOR_ID (RFC 4456 section 8).
		c.all(func(t *table) {
			for _, g := range t.groups {
				g.Resend(id)
			}
		})
	}
	n.up, n.closing, n.est, n.out, n.heard.since = true, false, est, out, 0
	if zone != est.Interface || oneHop != n.oneHop() {
		c.rezone(id)
	}
	c.watch.session(NeighborUp, id, session.Reason{})
	info := &c.infos[id]
	was := *info
	info.RouterID, info.Addr = est.RemoteID, n.address().As16()
	if n.hasPaths() && *info != was {
		c.redecide(rib.NewCause(rib.CauseUp, uint32(id))) // of routes that were kept
	}
	for f := range prefix.Family(prefix.Families) {
		k := &n.counts[f]
		*k = counts{paths: k.paths, accepted: k.accepted, kept: k.kept, sweep: sweep{base: k.sweep.base}}
		if k.kept.since == 0 {
			k.sweep.base = info.Round[f]
		}
		c.resume(n, f)
		if est.Read.Families[f] {
			p, nextHop := c.params(n, f)
			n.members[f] = c.group(p, n).Join(id, out, nextHop)
		}
	}
}

// address is the neighbor's, which is that of its session if none is configured.
func (n *neighbor) address() netip.Addr {
	if n.Addr.IsValid() {
		return n.Addr
	}
	return n.est.Remote.Addr().WithZone("")
}

// Down says that the session has ended. When it returns, nothing uses the
// session's Out any more; removing the routes, where they are not kept, goes on in
// the background.
func (c *Core) Down(id packet.ID, why session.Reason) {
	n := c.neighbors[id]
	if !n.up {
		return
	}
	n.up, n.out = false, nil
	if !why.Graceful {
		c.loseLegs(id)
	}
	c.distribute() // what has happened is known before groups give prefixes back
	c.watch.session(NeighborDown, id, why)
	for f, m := range n.members {
		if m != nil {
			n.members[f] = nil
			g := m.Group()
			g.Leave(m)
			c.of(n, prefix.Family(f)).dropEmpty(g)
		}
	}
	for f := range prefix.Family(prefix.Families) {
		if n.counts[f].paths == 0 || !why.Graceful || !c.keep(n, f) {
			c.drop(n, f)
		}
	}
}

// refreshTime bounds in seconds how long a refresh of a neighbor may take that does
// not take part in graceful restart, and so has no StaleTime.
const refreshTime = 360

// beginRefresh: what is announced from here on is of another round.
func (c *Core) beginRefresh(n *neighbor, f prefix.Family) {
	s, round := &n.counts[f].sweep, &c.infos[n.ID].Round[f]
	if *round-s.base < mostRounds { // who begins so often without an end waits for a sweep
		*round++
	}
	if !s.open {
		s.open = true
		c.boundRefresh(n, f)
	}
}

// boundRefresh: what has not come again when the time is over is not waited for.
func (c *Core) boundRefresh(n *neighbor, f prefix.Family) {
	s := &n.counts[f].sweep
	s.due, s.until = c.infos[n.ID].Round[f], c.now+cmp.Or(n.StaleTime, refreshTime)+1 // and the rest of this second
	c.ringAt(s.until)
}

// overdue: EoRR has not come in time (RFC 7313 section 4.2). What the neighbor has
// begun again meanwhile has time of its own.
func (c *Core) overdue(n *neighbor, f prefix.Family) {
	s := &n.counts[f].sweep
	c.removeBefore(n, f, s.due, rib.CauseUpdate, "the neighbor has begun to send all routes again, and has not come to an end")
	if s.open = s.due != c.infos[n.ID].Round[f]; s.open {
		c.boundRefresh(n, f)
	}
}

// endRefresh withdraws what has not come again, in slices. There is one job,
// however often a neighbor says so.
func (c *Core) endRefresh(n *neighbor, f prefix.Family) {
	s := &n.counts[f].sweep
	if !s.open {
		return
	}
	s.open, s.again, s.ended = false, true, c.infos[n.ID].Round[f]
	if s.running {
		return
	}
	s.running = true
	from, round := rib.ID(0), uint8(0)
	c.soon(n.ID, func() bool {
		if from == 0 {
			from, round, s.again = 1, s.ended, false
		}
		next, d := c.of(n, f).RemoveStale(from, c.pace.walk, n.ID, round, rib.NewCause(rib.CauseUpdate, uint32(n.ID)))
		c.count(n, f, d)
		if from = next; from == 0 {
			s.passed(round)
			s.running = s.again
		}
		return !s.running
	})
}

// soon adds a job about a neighbor's routes, or about next hops.
func (c *Core) soon(about packet.ID, step func() bool) {
	// Ahead of walks for edits of policies: what is gone must go at once.
	at := slices.IndexFunc(c.jobs, func(j job) bool { return j.neighbor == 0 })
	if at < 0 {
		at = len(c.jobs)
	} else if at == 0 && c.stepping {
		at = 1
	}
	c.jobs = slices.Insert(c.jobs, at, job{about, step})
}

// finish completes the jobs about a neighbor.
func (c *Core) finish(id packet.ID) {
	kept := c.jobs[:0]
	for _, j := range c.jobs {
		if j.neighbor != id {
			kept = append(kept, j)
			continue
		}
		for !j.step() {
		}
	}
	c.jobs = kept
}

// params is the update group that a neighbor belongs into, and its own next hop.
func (c *Core) params(n *neighbor, f prefix.Family) (export.Params, *packet.NextHop) {
	fc := &n.Families[f]
	nextHop := &packet.NextHop{Own: ownAddress(n, f), Link: n.est.Link, Peer: n.address()}
	p := export.Params{
		Family: f, EBGP: n.EBGP, Client: fc.Client, TakesStale: n.est.Restart.TakesStale, AS4: n.est.Write.AS4, ExtMsg: n.est.Write.ExtMsg,
		NextHop: fc.NextHop, NextHopLen: uint8(len(nextHop.Own)),
		ForeignNextHop:   f == prefix.IPv4 && n.est.Write.ExtNH,
		GracefulShutdown: c.draining(n), MarkOTC: n.marks(), RefuseOTC: n.refuses(),
		RemovePrivate: fc.RemovePrivate, DefaultOriginate: fc.DefaultOriginate, SendSuppressed: fc.SendSuppressed, MaxOut: fc.MaxOut,
		RouteServer: fc.RouteServer,
	}
	if n.est.Write.AddPath[f] {
		p.AddPath = max(1, fc.PathsOut) // path IDs are there as long as the session
	}
	if n.EBGP {
		p.LocalASN = n.est.LocalASN
		if n.SendBoth && p.LocalASN != c.cfg.ASN {
			p.GlobalASN = c.cfg.ASN
		}
	}
	if fc.ASOverride {
		p.ASOverride = n.ASN
	}
	if fc.Export != nil {
		p.Policy = fc.Export.Key()
	}
	return p, nextHop
}

// ownAddress is what a neighbor is told as our next hop, empty if there is
// nothing to tell.
func ownAddress(n *neighbor, f prefix.Family) []byte {
	if a := n.Families[f].NextHopAddr; a.Is4() && f == prefix.IPv4 || a.Is6() && (f == prefix.IPv6 || n.est.Write.ExtNH) {
		return a.AsSlice()
	}
	// IPv4 routes take the IPv6 next hop of a session over IPv6 where the
	// neighbor can read it (RFC 8950): its network need not have IPv4 at all.
	if f == prefix.IPv4 && !(n.est.Write.ExtNH && n.est.Local.Addr().Is6()) {
		if a := n.est.NextHop[f]; a.IsValid() {
			return a.AsSlice()
		}
		if !n.est.Write.ExtNH {
			return nil
		}
	}
	var b []byte
	for _, a := range []netip.Addr{n.est.NextHop[prefix.IPv6], n.est.LinkLocal} {
		if a.IsValid() {
			b = append(b, a.AsSlice()...)
		}
	}
	return b
}

// group finds or makes the update group with these parameters.
func (c *Core) group(p export.Params, n *neighbor) *export.Group {
	t := c.of(n, p.Family)
	if g := t.group(p); g != nil {
		return g
	}
	c.nextGroup++
	g := export.NewGroup(t.env, p, n.Families[p.Family].Export, c.nextGroup)
	t.groups = append(t.groups, g)
	t.noteAll()
	return g
}

// dropEmpty removes a group without members.
func (t *table) dropEmpty(g *export.Group) {
	if len(g.Members()) > 0 {
		return
	}
	t.groups = slices.DeleteFunc(t.groups, func(x *export.Group) bool { return x == g })
	t.noteAll()
	g.Close()
}
