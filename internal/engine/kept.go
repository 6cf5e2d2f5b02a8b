package engine

import (
	"encoding/binary"
	"math"
	"time"

	"holdfast/internal/attr"
	"holdfast/internal/events"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// kept is what becomes of a family's routes when a session has ended whose
// neighbor may be restarting (RFC 4724 section 4.2): they stay as they are, stale,
// until it has sent them again or its time is over.
type kept struct {
	since uint32 // the end of the session, in seconds, + 1; 0: nothing is kept
	until uint32 // when its time is over, in seconds
	round uint8  // paths of an earlier one are stale
	paths int    // how many that are
	long  bool   // they are the last resort (RFC 9494)
}

// mostRounds is how far a round may be from the first that has paths.
const mostRounds = 100

// keep is Down for a family whose routes stay. False if they may not.
func (c *Core) keep(n *neighbor, f prefix.Family) bool {
	k, g := &n.counts[f], &n.est.Restart
	if n.StaleTime == 0 || !g.Families[f] && !c.mayKeepLong(n, f) {
		return false
	}
	round := &c.infos[n.ID].Round[f]
	if again := k.kept.since != 0; again && (!g.Notification || k.kept.long || *round-k.sweep.base >= mostRounds) {
		// RFC 4724 section 4.2: it has restarted again, and what was stale before is
		// not kept a second time. RFC 8538 section 4.1 keeps it.
		c.sweepStale(n, f, "it has restarted again")
	} else if !again {
		k.kept = kept{since: c.now + 1}
	}
	if k.kept.since == 0 {
		k.kept.since = c.now + 1
	}
	*round++
	k.kept.round, k.kept.paths = *round, k.paths
	k.kept.until = c.now
	if g.Families[f] {
		left := min(seconds(g.Time), n.StaleTime)
		if left > 0 { // and the rest of this second
			k.kept.until = max(min(c.now+left+1, k.kept.since+n.StaleTime), c.now)
		}
		c.log.Info("the routes of a neighbor that may be restarting are kept", "event", events.RoutesKept, "neighbor", n.Name, "family", f, "routes", k.paths, "for", time.Duration(left)*time.Second)
	}
	c.ring()
	return true
}

func seconds(d time.Duration) uint32 { return uint32(min(d/time.Second, math.MaxInt32)) }

// resume decides what becomes of routes that were kept, now that a session is up.
func (c *Core) resume(n *neighbor, f prefix.Family) {
	k, g := &n.counts[f].kept, &n.est.Restart
	if k.since == 0 {
		return
	}
	forwarding := g.Forwarding[f]
	if k.long { // RFC 9494 section 4.2
		forwarding = g.LongForwarding[f]
	}
	switch {
	case !n.est.Read.Families[f] || !forwarding:
		c.sweepStale(n, f, "the neighbor has not kept its forwarding state")
	case !k.long:
		k.until = k.since + n.StaleTime
	}
	c.ring()
	c.limit(n, f) // which may be another one now
}

// ring does what it is time for, and sets the alarm for what comes next.
func (c *Core) ring() {
	c.alarm = 0
	for _, n := range c.neighbors {
		for f := range prefix.Family(prefix.Families) {
			k, s := &n.counts[f].kept, &n.counts[f].sweep
			if k.since != 0 && c.now >= k.until {
				c.expire(n, f)
			}
			if k.since != 0 {
				c.ringAt(k.until)
			}
			switch {
			case !n.up || !s.open:
			case c.now >= s.until:
				c.overdue(n, f)
			default:
				c.ringAt(s.until)
			}
		}
	}
}

// ringAt sets the alarm, if it is not to ring before.
func (c *Core) ringAt(at uint32) {
	if c.alarm == 0 || at < c.alarm {
		c.alarm = at
	}
}

// expire: a neighbor has not come back in time, or has not sent its routes again.
func (c *Core) expire(n *neighbor, f prefix.Family) {
	switch k := &n.counts[f].kept; {
	case n.up:
		c.sweepStale(n, f, "its End-of-RIB has not come in time")
	case !k.long && c.mayKeepLong(n, f):
		c.keepLong(n, f)
	default:
		c.log.Warn("the neighbor has not come back in time: its routes are removed", "event", events.StaleRoutesExpired, "neighbor", n.Name, "family", f, "routes", k.paths)
		c.drop(n, f)
	}
}

// drop withdraws all of a neighbor's routes of a family, in slices: from protected
// prefixes first, then where others hear of it. None is used from here on.
func (c *Core) drop(n *neighbor, f prefix.Family) {
	n.counts[f].kept = kept{}
	if n.counts[f].paths == 0 {
		return
	}
	c.infos[n.ID].Gone[f] = true
	pass, from := rib.PassFirst, rib.ID(1)
	c.soon(n.ID, func() bool {
		next, d := c.of(n, f).RemoveNeighbor(pass, from, c.pace.walk, n.ID, rib.NewCause(rib.CauseDown, uint32(n.ID)))
		c.count(n, f, d)
		if from = next; from != 0 {
			return false
		}
		if pass == rib.PassAll || n.counts[f].paths == 0 {
			c.infos[n.ID].Gone[f] = false
			return true
		}
		pass, from = pass+1, 1
		return false
	})
}

// sweepStale withdraws what the neighbor has not announced again since its session
// ended, in slices.
func (c *Core) sweepStale(n *neighbor, f prefix.Family, why string) {
	k := &n.counts[f]
	round := k.kept.round
	k.kept = kept{}
	c.removeBefore(n, f, round, rib.CauseDown, why)
}

// removeBefore withdraws what is of an earlier round, in slices.
func (c *Core) removeBefore(n *neighbor, f prefix.Family, round uint8, cause rib.Kind, why string) {
	k, from, removed := &n.counts[f], rib.ID(1), 0
	k.sweep.stale++
	c.soon(n.ID, func() bool {
		next, d := c.of(n, f).RemoveStale(from, c.pace.walk, n.ID, round, rib.NewCause(cause, uint32(n.ID)))
		removed -= d.Paths
		c.count(n, f, d)
		if from = next; from != 0 {
			return false
		}
		k.sweep.passed(round)
		k.sweep.stale--
		if removed > 0 {
			c.log.Info("stale routes removed", "event", events.StaleRoutesRemoved, "neighbor", n.Name, "family", f, "routes", removed, "reason", why)
		}
		c.limit(n, f)
		return true
	})
}

// Forget says that the routes of a neighbor without a session may not be kept any
// longer: what has become known since it ended, or an operator, says that it does
// not forward.
func (c *Core) Forget(id packet.ID) {
	n := c.neighbors[id]
	for f := range prefix.Family(prefix.Families) {
		if !n.up && n.counts[f].kept.since != 0 {
			c.drop(n, f)
		}
	}
}

// Kept are the neighbors without a session whose routes are kept.
func (c *Core) Kept() map[packet.ID]bool {
	ids := map[packet.ID]bool{}
	for _, n := range c.neighbors {
		for f := range n.counts {
			if k := &n.counts[f]; !n.up && k.kept.since != 0 && k.paths > 0 {
				ids[n.ID] = true
			}
		}
	}
	return ids
}

// endKeeping ends what new settings do not allow, and what they allow for less
// time in that.
func (c *Core) endKeeping() {
	for _, n := range c.neighbors {
		for f := range prefix.Family(prefix.Families) {
			k := &n.counts[f].kept
			switch {
			case k.since == 0:
			case n.StaleTime > 0 && !k.long:
				k.until = min(k.until, k.since+n.StaleTime)
			case n.StaleTime > 0 && n.LongLived > 0:
				k.until = min(k.until, c.now+n.LongLived)
			case n.up:
				c.sweepStale(n, f, "graceful restart has been switched off")
			default:
				c.drop(n, f)
			}
		}
	}
	c.ring()
}

// mayKeepLong reports whether a family's routes are kept beyond a restart (RFC
// 9494).
func (c *Core) mayKeepLong(n *neighbor, f prefix.Family) bool {
	return n.LongLived > 0 && seconds(n.est.Restart.LongLived[f]) > 0
}

// keepLong makes a neighbor's routes the last resort (RFC 9494 section 4.2), in
// slices: those that are not to be kept so go, the others get LLGR_STALE.
func (c *Core) keepLong(n *neighbor, f prefix.Family) {
	k := &n.counts[f].kept
	left := min(seconds(n.est.Restart.LongLived[f]), n.LongLived)
	k.long, k.until = true, c.now+left
	c.log.Warn("stale routes are kept as a last resort", "event", events.RoutesKeptLong, "neighbor", n.Name, "family", f, "routes", k.paths, "for", time.Duration(left)*time.Second)
	cause, removing, from := rib.NewCause(rib.CauseDown, uint32(n.ID)), true, rib.ID(1)
	c.soon(n.ID, func() bool {
		t := c.of(n, f)
		if removing {
			next, d := t.RemoveIf(from, c.pace.walk, cause, func(p *rib.Path) bool { return p.Neighbor == n.ID && c.notLong(p) })
			c.count(n, f, d)
			if from = next; from == 0 {
				from, removing = 1, false
			}
			return false
		}
		from = c.reviseSlice(t, from, cause, func(id packet.ID) bool { return id == n.ID }, false)
		return from == 0
	})
}

// notLong reports whether a path has NO_LLGR, as received or by a policy.
func (c *Core) notLong(p *rib.Path) bool {
	for _, h := range [...]attr.Handle{p.Pre, p.Post} {
		if h != 0 {
			c.store.Parse(h, &c.attrs)
			if wire.HasCommunity(c.attrs.Communities, wire.NoLLGR) {
				return true
			}
		}
	}
	return false
}

// reviseSlice judges paths of some neighbors again.
func (c *Core) reviseSlice(t *table, from rib.ID, cause rib.Cause, which func(packet.ID) bool, hits bool) rib.ID {
	f := t.Family()
	return t.Revise(from, c.pace.walk, cause,
		func(id packet.ID) bool { return which(id) && c.of(c.neighbors[id], f) == t },
		func(p prefix.Prefix, path *rib.Path) (attr.Handle, uint8) { return c.rejudge(f, p, path, hits) },
		func(id packet.ID, d rib.Delta) { c.neighbors[id].counts[f].add(d) })
}

// rejudge is what is made of a path now, with a reference. hits says to count it
// for the rules.
func (c *Core) rejudge(f prefix.Family, p prefix.Prefix, path *rib.Path, hits bool) (attr.Handle, uint8) {
	n := c.neighbors[path.Neighbor]
	r := c.judgePrefix(n, f, path.Pre, p)
	if program := n.Families[f].Import; hits && program != nil && r.Reason <= ByPolicy {
		program.Count(r.Trace, 1)
	}
	switch {
	case r.To == 0:
	case c.keptLong(f, path):
		if r.To = c.longLived(r.To); r.To == 0 {
			r.Reason = TooLarge
		}
	default:
		c.store.Retain(r.To, 1)
	}
	return r.To, r.Reason
}

// longLived is a block with LLGR_STALE, and a reference to it; 0 if that is too
// large.
func (c *Core) longLived(h attr.Handle) attr.Handle {
	rec := c.store.At(h)
	if rec.LongLived {
		c.store.Retain(h, 1)
		return h
	}
	key := rec.Key
	key.Made = true
	c.store.Parse(h, &c.attrs)
	c.block = binary.BigEndian.AppendUint32(append(c.block[:0], c.attrs.Communities...), wire.LLGRStale)
	c.attrs.Communities = c.block
	return c.store.InternAttrs(key, &c.attrs)
}

// staleSince is when the session of a path that is kept has ended, in seconds, +
// 1; 0 for others.
func (c *Core) staleSince(t *table, p *rib.Path) uint32 {
	n := c.neighbors[p.Neighbor]
	k := &n.counts[t.Family()].kept
	if k.since == 0 || c.of(n, t.Family()) != t || !p.Before(k.round) {
		return 0
	}
	return k.since
}

// keptLong reports whether a path of a neighbor's own table is the last resort
// here, and so not quite what the import policy made of it.
func (c *Core) keptLong(f prefix.Family, p *rib.Path) bool {
	k := &c.neighbors[p.Neighbor].counts[f].kept
	return k.long && p.Before(k.round)
}
