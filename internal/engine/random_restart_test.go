package engine

import (
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
	"holdfast/testkit/model"
)

// keeping is what the twin knows of a family's routes that are kept.
type keeping struct {
	on           bool
	since, until uint32
	stale        map[wire.Route]bool // what has not come again
	long         bool
}

// terms are what a neighbor agrees on about restarts.
func (w *world) terms() (g fsm.Graceful) {
	if w.r.IntN(4) == 0 {
		return g
	}
	some := func(often int) (all [prefix.Families]bool) {
		return [...]bool{w.r.IntN(often) > 0, w.r.IntN(often) > 0}
	}
	g = fsm.Graceful{Agreed: true, Notification: w.r.IntN(2) == 0, Time: time.Duration(w.r.IntN(4)) * 10 * time.Second,
		Families: some(4), Forwarding: some(6), LongForwarding: some(6), TakesStale: w.r.IntN(2) == 0}
	for f := range g.LongLived {
		g.LongLived[f] = time.Duration(w.r.IntN(3)) * 30 * time.Second
	}
	return g
}

// routes are those that a neighbor has announced in a family.
func (w *world) routes(m *model.Neighbor, f prefix.Family) map[wire.Route]bool {
	all := map[wire.Route]bool{}
	for _, p := range universe {
		if p.Family == f {
			for _, id := range m.Has(p) {
				all[wire.Route{Prefix: p, PathID: id}] = true
			}
		}
	}
	return all
}

func (w *world) take(i int, all map[wire.Route]bool) {
	for r := range all {
		w.twin.Neighbors[i-1].Withdraw(r.Prefix, r.PathID)
	}
}

// restarts ends a session whose neighbor may come back.
func (w *world) restarts(i int) {
	w.settle() // what is to go has gone
	if w.peers[i] == nil {
		return
	}
	w.say("%d may be restarting: %+v", i, w.far[i].terms)
	w.core.Down(packet.ID(i), session.Reason{Graceful: true})
	w.dropPeer(i)
	n, m, x, now := &w.cfg.Neighbors[i-1], w.twin.Neighbors[i-1], &w.far[i], w.core.now
	m.Up = false
	for f := range prefix.Family(prefix.Families) {
		k, g := &x.kept[f], &x.terms
		all := w.routes(m, f)
		switch {
		case len(all) == 0 || n.StaleTime == 0 || !g.Families[f] && (n.LongLived == 0 || g.LongLived[f] == 0):
			w.take(i, all)
			*k = keeping{}
			continue
		case !k.on:
			*k = keeping{on: true, since: now + 1}
		case !g.Notification || k.long:
			w.take(i, k.stale)
			*k = keeping{on: true, since: now + 1}
			all = w.routes(m, f)
		}
		k.stale, k.until = all, now
		if g.Families[f] && g.Time > 0 {
			k.until = max(min(now+uint32(g.Time/time.Second)+1, k.since+n.StaleTime), now)
		}
	}
	w.expire()
}

// returns decides what becomes of kept routes when a session is up.
func (w *world) returns(i int) {
	x := &w.far[i]
	for f := range prefix.Family(prefix.Families) {
		k := &x.kept[f]
		forwarding := x.terms.Forwarding[f]
		if k.long {
			forwarding = x.terms.LongForwarding[f]
		}
		switch {
		case !k.on:
		case !x.families[f] || !forwarding:
			w.take(i, k.stale)
			*k = keeping{}
		case !k.long:
			k.until = k.since + w.cfg.Neighbors[i-1].StaleTime
		}
	}
	w.expire()
}

// expire does what it is time for.
func (w *world) expire() {
	for i := 1; i < len(w.far); i++ {
		n, m, x := &w.cfg.Neighbors[i-1], w.twin.Neighbors[i-1], &w.far[i]
		for f := range prefix.Family(prefix.Families) {
			k := &x.kept[f]
			switch longest := min(uint32(x.terms.LongLived[f]/time.Second), n.LongLived); {
			case !k.on || w.core.now < k.until:
			case w.peers[i] == nil && !k.long && longest > 0:
				w.say("the routes of %d of %v are the last resort", i, f)
				k.long, k.until = true, w.core.now+longest
				for r := range k.stale {
					if w.twin.NotLong(m, r) {
						m.Withdraw(r.Prefix, r.PathID)
						delete(k.stale, r)
					} else {
						m.KeepLong(r)
					}
				}
			default:
				w.say("the time of the routes of %d of %v is over", i, f)
				w.take(i, k.stale)
				*k = keeping{}
			}
		}
	}
}

// mayKeep ends what new settings do not allow, or for less time.
func (w *world) mayKeep() {
	for i := 1; i < len(w.far); i++ {
		for f := range prefix.Family(prefix.Families) {
			switch n, k := &w.cfg.Neighbors[i-1], &w.far[i].kept[f]; {
			case !k.on:
			case n.StaleTime > 0 && !k.long:
				k.until = min(k.until, k.since+n.StaleTime)
			case n.StaleTime > 0 && n.LongLived > 0:
				k.until = min(k.until, w.core.now+n.LongLived)
			default:
				w.take(i, k.stale)
				*k = keeping{}
			}
		}
	}
	w.expire()
}

// later lets time pass.
func (w *world) later(seconds uint32) {
	w.core.SetNow(w.core.now + seconds)
	w.expire()
	w.overdue()
}

// forget ends the time of all kept routes of a neighbor without a session.
func (w *world) forget(i int) {
	w.say("the routes of %d are forgotten", i)
	w.core.Forget(packet.ID(i))
	w.twin.Neighbors[i-1].Clear()
	w.far[i].kept = [prefix.Families]keeping{}
}

func (w *world) keeps(i int) bool { return w.far[i].kept[0].on || w.far[i].kept[1].on }

// endOfRIB says that a neighbor has sent all.
func (w *world) endOfRIB(i int) {
	f := prefix.Family(w.r.IntN(2))
	if !w.far[i].families[f] {
		return
	}
	w.say("%d sends End-of-RIB of %v", i, f)
	w.core.Messages(packet.ID(i), wire.AppendEndOfRIB(nil, f))
	w.take(i, w.far[i].kept[f].stale)
	w.far[i].kept[f] = keeping{}
}

// pressed has stale routes give way where a neighbor is above its limit.
func (w *world) pressed() {
	for i := 1; i < len(w.far); i++ {
		for f := range prefix.Family(prefix.Families) {
			n, m, k := &w.cfg.Neighbors[i-1], w.twin.Neighbors[i-1], &w.far[i].kept[f]
			l := n.Families[f].Limit
			if w.peers[i] == nil || !k.on || l.Max == 0 || l.Action == LimitWarn {
				continue
			}
			w.core.Settle()
			have, accepted := w.twin.Count(m, f)
			if l.AfterPolicy {
				have = accepted
			}
			if kept := w.core.neighbors[i].counts[f].kept.since != 0; kept == (have > l.Max) {
				w.fail("%d has %d routes of %v, and may have %d: stale ones are kept: %v", i, have, f, l.Max, kept)
			} else if !kept {
				w.take(i, k.stale)
				*k = keeping{}
			}
		}
	}
}
