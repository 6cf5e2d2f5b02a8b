package export

import (
	"holdfast/internal/attr"
	"holdfast/internal/policy"
	"holdfast/internal/rib"
)

// Count is how many prefixes the member is sent: all that the group has out but
// for its own.
func (m *Member) Count() int {
	if int(m.ID) >= len(m.group.from) {
		return m.group.count
	}
	return m.group.count - m.group.from[m.ID]
}

// Held is how many prefixes the group holds back, as MaxOut is reached.
func (g *Group) Held() int { return g.held.Len() }

// Sent is the block that the member has been sent for a prefix, or is about to
// be, 0 for none.
func (m *Member) Sent(id rib.ID) attr.Handle { return m.sees(m.group.out.Get(uint32(id))) }

// Program is the export program that the group runs and counts on, nil if it
// has none.
func (g *Group) Program() *policy.Program { return g.program }

// AcceptedBy is the rule that let the best path of a prefix out. It is false
// where no rule did, or where what is out is not up to date.
func (g *Group) AcceptedBy(id rib.ID) (policy.Label, bool) {
	r, ok := g.verdict(id)
	if !ok || r.To == 0 || r.To != g.out.Get(uint32(id)) {
		return policy.Label{}, false
	}
	return g.program.Last(r.Trace)
}

// RejectedBy is the rule that rejected the best path of a prefix. It is false
// where none did: the end of the policies.
func (g *Group) RejectedBy(id rib.ID) (policy.Label, bool) {
	r, ok := g.verdict(id)
	if !ok || r.Reason != ByPolicy {
		return policy.Label{}, false
	}
	return g.program.Last(r.Trace)
}

// verdict is what is known of what the policy makes of the best path of a prefix.
func (g *Group) verdict(id rib.ID) (attr.Result, bool) {
	best := g.env.Table.Best(id)
	if best == nil || g.program == nil {
		return attr.Result{}, false
	}
	return g.memo.Get(best.Post, g.variant(best.Post, id))
}

// Bytes is the memory that the member takes while it is not in step.
func (m *Member) Bytes() uint64 { return m.dirty.Bytes() + m.had.Bytes() }
