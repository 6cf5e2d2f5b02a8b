package engine

import (
	"context"
	"encoding/binary"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// Drain moves traffic away from some neighbors before their sessions end, or back
// (RFC 8326 section 4.2): what they are sent carries the community
// GRACEFUL_SHUTDOWN, and what they have sent is the last choice. No session is
// reset. Without ids all neighbors are to prefer other ways than through us, also
// those that come later, and what was drained one by one is no more. What the
// configuration drains stays so.
func (e *Engine) Drain(ctx context.Context, on bool, ids ...packet.ID) error {
	return e.ask(ctx, func(c *Core) { c.Drain(on, ids...) })
}

// Drain is Engine.Drain.
func (c *Core) Drain(on bool, ids ...packet.ID) {
	moved := map[packet.ID]bool{}
	drain := func(n *neighbor, on bool) {
		if n.drained != on && !n.Drain {
			moved[n.ID] = true
		}
		n.drained = on
	}
	if len(ids) == 0 {
		c.drained = on
		for _, n := range c.neighbors {
			drain(n, false)
		}
	}
	for _, id := range ids {
		if int(id) < len(c.neighbors) {
			drain(c.neighbors[id], on)
		}
	}
	subject := uint32(0)
	if len(ids) == 1 {
		subject = uint32(ids[0])
	}
	c.revise(moved, rib.NewCause(rib.CauseOperator, subject), false)
	c.distribute() // what has happened is known before groups give prefixes back
	c.regroup(false)
}

// draining reports whether a neighbor is to prefer other ways.
func (c *Core) draining(n *neighbor) bool { return n.Drain || n.drained || c.drained }

// last makes a route that import has accepted the last choice where its session
// is about to end, as we or the neighbor know (RFC 8326). The policy may have set
// a preference for all routes of the neighbor, so it comes behind it. Where all
// sessions end, none of the routes is worse than the others.
func last(n *neighbor, a *wire.Attrs, r *policy.Result) {
	marked := wire.HasCommunity(a.Communities, wire.GracefulShutdown)
	switch {
	case n.Drain || n.drained:
		if n.EBGP && !marked {
			a.Communities = binary.BigEndian.AppendUint32(a.Communities[:len(a.Communities):len(a.Communities)], wire.GracefulShutdown)
			r.Changed = true
		}
	case !marked || !n.HonorShutdown:
		return
	}
	r.Changed = r.Changed || a.Has&wire.HasLocalPref == 0 || a.LocalPref != 0
	a.LocalPref, a.Has, r.Weight = 0, a.Has|wire.HasLocalPref, 0
}
