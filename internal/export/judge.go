package export

import (
	"holdfast/internal/attr"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// variant is the export program's of a prefix and a block.
func (g *Group) variant(h attr.Handle, id rib.ID) uint32 {
	if g.program == nil || g.program.Variants() == 1 {
		return 0
	}
	return Variant(g.program, g.env.Store, *g.env.VRPs, h, g.env.Table.Prefix(id))
}

// Variant is a program's of a prefix and a block, by which memos know its result:
// the validation state is a part of it where a rule asks for that.
func Variant(p *policy.Program, s *attr.Store, vrps *rpki.Table, h attr.Handle, x prefix.Prefix) uint32 {
	v := p.Variant(x)
	if p.Validates() {
		v = policy.Validated(v, vrps.State(x, Origin(p, s, h)))
	}
	return v
}

// Origin is what a block's routes are validated for.
func Origin(p *policy.Program, s *attr.Store, h attr.Handle) uint32 {
	var a wire.Attrs
	s.Parse(h, &a)
	return p.Origin(a.ASPath)
}

// judge is what the group makes of a best path: the block to send, or 0 and why
// not. The memo holds the block.
func (g *Group) judge(h attr.Handle, id rib.ID, hits uint64) attr.Result {
	variant := g.variant(h, id)
	r, ok := g.memo.Get(h, variant)
	if !ok {
		r = g.evaluate(h, variant)
		g.memo.Put(h, variant, r)
		if r.To != 0 && r.To != h {
			g.env.Store.Release(r.To) // the memo holds it now
		}
	}
	if g.program != nil && r.Reason <= ByPolicy {
		g.program.Count(r.Trace, hits)
	}
	return r
}

// evaluate returns a block with a reference to it, unless it is h itself.
func (g *Group) evaluate(h attr.Handle, variant uint32) attr.Result {
	e := g.env
	rec := e.Store.At(h)
	src, from := &(*e.Neighbors)[rec.Key.Neighbor], &(*e.Sources)[rec.Key.Neighbor]
	source := &from.Source
	if src.Local {
		source = &policy.Source{Kind: rec.Key.Source}
	}
	if !g.EBGP && !src.EBGP && !src.Local { // RFC 4456 section 6
		switch client := from.Client[g.Family]; {
		case !g.Client && !client:
			return attr.Result{Reason: IBGPSplit}
		case g.Client && client && e.MeshedClients:
			return attr.Result{Reason: BetweenClients}
		}
	}
	if rec.LongLived && !g.TakesStale { // RFC 9494 section 4.4
		return attr.Result{Reason: LongLivedStale}
	}
	var a wire.Attrs
	e.Store.Parse(h, &a)
	switch {
	case g.withheld(a.Communities):
		return attr.Result{Reason: ByCommunity}
	case g.RefuseOTC && (from.OTC != 0 || a.Has&wire.HasOTC != 0):
		return attr.Result{Reason: RouteLeak}
	}
	out, trace := h, uint32(0)
	switch {
	case g.program != nil:
		r := g.program.Eval(variant, &policy.Route{Attrs: &a, Source: source, Weight: rec.Key.Weight}, &e.scratch)
		if !r.Accept {
			return attr.Result{Reason: ByPolicy, Trace: r.Trace}
		}
		trace = r.Trace
		if r.Changed || r.NextHop != policy.NextHopDefault || r.MED {
			key := rec.Key
			key.OwnMED, key.Made = r.MED, true
			if r.NextHop != policy.NextHopDefault {
				key.NextHop = r.NextHop
			}
			if out = e.Store.InternAttrs(key, &a); out == 0 {
				return attr.Result{Reason: TooLarge, Trace: trace}
			}
		}
	case g.EBGP:
		return attr.Result{Reason: NoPolicy}
	}
	if reason := g.sendable(out); reason != Sent {
		if out != h {
			e.Store.Release(out)
		}
		return attr.Result{Reason: reason, Trace: trace}
	}
	return attr.Result{To: out, Trace: trace}
}

// sendable reports whether a block can be put into the members' messages.
func (g *Group) sendable(h attr.Handle) uint8 {
	return g.fits(g.encode(h))
}

func (g *Group) fits(x encoded) uint8 {
	switch {
	case x.useless:
		return NotForClient
	case x.own && g.NextHopLen == 0:
		return NoNextHop
	}
	size := wire.HeaderLen + 4 + len(x.attrs) + 1 + int(g.Family.MaxBits())/8
	if g.numbers != nil {
		size += pathIDLen
	}
	if x.nextHop != nil {
		size += 4 + 5 + len(x.nextHop)
	}
	if size > g.maxMsg() || len(x.attrs) > 0xffff {
		return TooLarge
	}
	return Sent
}

// withheld reports whether well-known communities keep a route from the
// members (RFC 1997). Those of a route server's clients are meant for the other
// clients (RFC 7947 section 2.2.4).
func (g *Group) withheld(communities []byte) bool {
	if g.RouteServer {
		return false
	}
	for i := 0; i+4 <= len(communities); i += 4 {
		if communities[i] == 0xff && communities[i+1] == 0xff && communities[i+2] == 0xff {
			switch communities[i+3] {
			case 0x01, 0x03: // NO_EXPORT, NO_EXPORT_SUBCONFED
				if g.EBGP {
					return true
				}
			case 0x02: // NO_ADVERTISE
				return true
			}
		}
	}
	return false
}
