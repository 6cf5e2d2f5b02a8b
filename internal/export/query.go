package export

import (
	"holdfast/internal/attr"
	"holdfast/internal/policy"
	"holdfast/internal/rib"
)

// Count is how many routes the member is sent: all that the group has out but
// for its own.
func (m *Member) Count() int {
	g := m.group
	n := g.count
	if int(m.ID) < len(g.from) {
		n -= g.from[m.ID]
	}
	if int(m.ID) < len(g.second) {
		n += g.second[m.ID]
	}
	return n
}

// Held is how many routes the group holds back, as MaxOut is reached.
func (g *Group) Held() int { return g.held.Len() }

// SentRoute is what a member has been sent for a prefix, or is about to be.
type SentRoute struct {
	Block  attr.Handle
	PathID uint32    // 0 without AddPath
	Path   *rib.Path // that it was made of; nil where that is no more
}

// Sent calls f for what the member has been sent for a prefix, or is about to be.
func (m *Member) Sent(id rib.ID, f func(SentRoute)) {
	g := m.group
	g.cells(id, func(cell uint32) {
		h := m.sees(cell)
		if h == 0 {
			return
		}
		s := SentRoute{Block: h}
		if g.numbers != nil {
			s.PathID = cell
		}
		g.env.Table.Usable(id, func(p *rib.Path) bool {
			if g.made(id, p, h) && (g.numbers == nil || g.numbers.paths.At(cell).pathID == p.PathID) {
				s.Path = p
			}
			return s.Path == nil
		})
		f(s)
	})
}

// made reports whether a path is what a block that is sent was made of.
func (g *Group) made(id rib.ID, p *rib.Path, h attr.Handle) bool {
	if p.Neighbor != g.neighborOf(h) {
		return false
	}
	r, ok := g.memo.Get(p.Post, g.variant(p.Post, id))
	return ok && r.To == h
}

// Advertised reports whether the member has been sent a prefix, or is about to be,
// and otherwise why not.
func (m *Member) Advertised(id rib.ID) uint8 {
	g := m.group
	sent, held, own := false, false, false
	g.cells(id, func(cell uint32) {
		sent = sent || m.sees(cell) != 0
		held = held || g.held.Has(cell)
		own = own || g.out.Get(cell) != 0
	})
	switch {
	case sent:
		return Sent
	case held:
		return OverLimit
	case own:
		return SplitHorizon
	case g.numbers != nil:
	case g.RouteServer:
		r, _ := g.pick(id, 0)
		return r.Reason
	default:
		return g.route(id, 0).Reason
	}
	_, reason := g.choose(id, 0)
	return reason
}

// Program is the export program that the group runs and counts on, nil if it
// has none.
func (g *Group) Program() *policy.Program { return g.program }

// AcceptedBy is the rule that let a path of a prefix out. It is false where no
// rule did, or where what is out is not up to date.
func (g *Group) AcceptedBy(id rib.ID, s SentRoute) (policy.Label, bool) {
	if s.Path == nil || g.program == nil {
		return policy.Label{}, false
	}
	r, _ := g.memo.Get(s.Path.Post, g.variant(s.Path.Post, id))
	return g.program.Last(r.Trace)
}

// RejectedBy is the rule that rejected the best path of a prefix. It is false
// where none did: the end of the policies.
func (g *Group) RejectedBy(id rib.ID) (policy.Label, bool) {
	best := g.env.Table.Best(id)
	if best == nil || g.program == nil {
		return policy.Label{}, false
	}
	r, ok := g.memo.Get(best.Post, g.variant(best.Post, id))
	if !ok || r.Reason != ByPolicy {
		return policy.Label{}, false
	}
	return g.program.Last(r.Trace)
}

// PathIDs is the memory that the numbers of paths take, see Params.AddPath.
func (e *Env) PathIDs() uint64 { return e.numbers.bytes() }

// Bytes is the memory that the member takes while it is not in step.
func (m *Member) Bytes() uint64 { return m.dirty.Bytes() + m.had.Bytes() }
