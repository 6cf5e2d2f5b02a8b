package rib

import (
	"bytes"
	"cmp"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/wire"
)

// Options of the decision process.
type Options struct {
	// AlwaysCompareMED compares MED between routes of different neighbor ASes.
	AlwaysCompareMED bool
	// SharedNeighborAS says that two paths may come through the same neighbor
	// AS. Without it MED never matters between two paths, which saves scans.
	SharedNeighborAS bool
	// DefaultLocalPref stands in where LOCAL_PREF is missing.
	DefaultLocalPref uint32
}

// Step is a rung of the ladder of RFC 4271 section 9.1.2: the first on which
// two paths differ decides. Numbers are shown to people.
type Step uint8

const (
	StepNone       Step = iota
	StepLongLived       // 1: not kept for long after its session (RFC 9494 section 4.3)
	StepWeight          // 2: higher weight, of this router only
	StepLocalPref       // 3: higher LOCAL_PREF (9.1.1)
	StepLocal           // 4: originated here
	StepPathLen         // 5: shorter AS_PATH (9.1.2.2 a)
	StepOrigin          // 6: lower ORIGIN (b)
	StepMED             // 7: lower MULTI_EXIT_DISC within a neighbor AS (c)
	StepEBGP            // 8: eBGP before iBGP (d)
	StepIGPCost         // 9: lower cost of the way to the next hop (e)
	StepRouterID        // 10: lower BGP identifier or ORIGINATOR_ID (f, RFC 4456 section 9)
	StepClusterLen      // 11: shorter CLUSTER_LIST (RFC 4456 section 9)
	StepAddress         // 12: lower neighbor address (g)
	StepPathID          // 13: lower path identifier (RFC 7911)
)

var stepNames = [...]string{"", "not long-lived stale", "higher weight", "higher local preference", "originated here", "shorter AS path",
	"lower origin", "lower MED", "eBGP before iBGP", "lower cost to the next hop", "lower router ID", "shorter cluster list",
	"lower neighbor address", "lower path ID"}

func (s Step) String() string { return stepNames[s] }

type verdict struct {
	order int // below 0: the first is better
	step  Step
}

// compare goes down the whole ladder. Both paths are usable.
func (t *Table) compare(a, b *Path) verdict {
	ra, rb := t.store.At(a.Post), t.store.At(b.Post)
	if v := t.upper(a, b, ra, rb); v.order != 0 {
		return v
	}
	// Without shared neighbor ASes these are a path and the one before it, whose
	// MEDs are compared with no other.
	if t.Decision.AlwaysCompareMED || t.Decision.SharedNeighborAS && ra.NeighborAS == rb.NeighborAS {
		if c := cmp.Compare(ra.MED, rb.MED); c != 0 {
			return verdict{c, StepMED}
		}
	}
	return t.lower(a, b, ra, rb)
}

// upper are the steps before MED.
func (t *Table) upper(a, b *Path, ra, rb *attr.Record) verdict {
	if ra.LongLived != rb.LongLived {
		return verdict{first(rb.LongLived), StepLongLived}
	}
	if c := cmp.Compare(rb.Key.Weight, ra.Key.Weight); c != 0 {
		return verdict{c, StepWeight}
	}
	if c := cmp.Compare(t.localPref(rb), t.localPref(ra)); c != 0 {
		return verdict{c, StepLocalPref}
	}
	na, nb := &(*t.Neighbors)[a.Neighbor], &(*t.Neighbors)[b.Neighbor]
	if na.Local != nb.Local {
		return verdict{first(na.Local), StepLocal}
	}
	if c := cmp.Compare(ra.PathLen, rb.PathLen); c != 0 {
		return verdict{c, StepPathLen}
	}
	return verdict{cmp.Compare(ra.Origin, rb.Origin), StepOrigin}
}

// lower are the steps behind MED. They tell any two paths apart.
func (t *Table) lower(a, b *Path, ra, rb *attr.Record) verdict {
	na, nb := &(*t.Neighbors)[a.Neighbor], &(*t.Neighbors)[b.Neighbor]
	if na.EBGP != nb.EBGP {
		return verdict{first(na.EBGP), StepEBGP}
	}
	if t.Hops != nil {
		if c := cmp.Compare(t.Hops.List[ra.Hop].Cost, t.Hops.List[rb.Hop].Cost); c != 0 {
			return verdict{c, StepIGPCost}
		}
	}
	if c := cmp.Compare(routerID(ra, na), routerID(rb, nb)); c != 0 {
		return verdict{c, StepRouterID}
	}
	if c := cmp.Compare(ra.ClusterLen, rb.ClusterLen); c != 0 {
		return verdict{c, StepClusterLen}
	}
	// One link-local address may be that of neighbors on several links.
	if c := cmp.Or(bytes.Compare(na.Addr[:], nb.Addr[:]), cmp.Compare(a.Neighbor, b.Neighbor)); c != 0 {
		return verdict{c, StepAddress}
	}
	return verdict{cmp.Compare(a.PathID, b.PathID), StepPathID}
}

func first(a bool) int {
	if a {
		return -1
	}
	return 1
}

func (t *Table) localPref(r *attr.Record) uint32 {
	if r.Has&wire.HasLocalPref == 0 {
		return t.Decision.DefaultLocalPref
	}
	return r.LocalPref
}

func routerID(r *attr.Record, n *NeighborInfo) uint32 {
	if r.Has&wire.HasOriginatorID != 0 {
		return r.OriginatorID
	}
	return n.RouterID
}

// each calls f for every usable path of e, but for those of the neighbor of
// another path.
func (t *Table) each(e *entry, but *Path, f func(*Path)) {
	t.find(e, func(p *Path) bool {
		if t.usable(p) && (but == nil || p.Neighbor != but.Neighbor) {
			f(p)
		}
		return false
	})
}

// Second is the path that would be best if the neighbor of the best one were
// gone, nil if there is none.
func (t *Table) Second(id ID) *Path {
	if t.PathsOf(id) < 2 {
		return nil
	}
	return t.decideBut(t.entries.At(uint32(id)), t.Best(id))
}

// decide finds the best of all paths of e, nil if none is usable.
func (t *Table) decide(e *entry) *Path { return t.decideBut(e, nil) }

func (t *Table) decideBut(e *entry, but *Path) (best *Path) {
	if t.total(e) {
		t.each(e, but, func(p *Path) {
			if best == nil || t.compare(p, best).order < 0 {
				best = p
			}
		})
		return best
	}
	// RFC 4271 section 9.1.2.2 c: what ties above MED loses to a lower MED of
	// the same neighbor AS; what is left goes on. The order of arrival does
	// not matter. Sorting keeps that from growing with the square of the paths.
	var top *Path
	t.each(e, but, func(p *Path) {
		if top == nil || t.upper(p, top, t.store.At(p.Post), t.store.At(top.Post)).order < 0 {
			top = p
		}
	})
	ties := t.ties[:0]
	t.each(e, but, func(p *Path) {
		if t.tiesAboveMED(p, top) {
			ties = append(ties, p)
		}
	})
	slices.SortFunc(ties, func(a, b *Path) int {
		ra, rb := t.store.At(a.Post), t.store.At(b.Post)
		return cmp.Or(cmp.Compare(ra.NeighborAS, rb.NeighborAS), cmp.Compare(ra.MED, rb.MED))
	})
	var lowest *attr.Record // of the neighbor AS
	for _, p := range ties {
		r := t.store.At(p.Post)
		if lowest == nil || lowest.NeighborAS != r.NeighborAS {
			lowest = r
		}
		if r.MED == lowest.MED && (best == nil || t.lower(p, best, r, t.store.At(best.Post)).order < 0) {
			best = p
		}
	}
	t.ties = ties
	return best
}

func (t *Table) tiesAboveMED(p, top *Path) bool {
	return t.upper(p, top, t.store.At(p.Post), t.store.At(top.Post)).order == 0
}

// medLoser returns a path that p loses to by MED, among those that tie with
// top above it.
func (t *Table) medLoser(e *entry, p, top *Path) (winner *Path) {
	rp := t.store.At(p.Post)
	t.each(e, nil, func(q *Path) {
		rq := t.store.At(q.Post)
		if winner == nil && rq.NeighborAS == rp.NeighborAS && rq.MED < rp.MED && t.tiesAboveMED(q, top) {
			winner = q
		}
	})
	return winner
}

// Why is the reason for which a path is not the best one.
type Why struct {
	Step Step
	// Against is the path that it lost to: the best one, or for MED perhaps
	// another one of the same neighbor AS.
	Against *Path
}

// Explain tells why p is not the best path of id. p must be a path of id that
// is usable; for the best path itself Step is StepNone.
func (t *Table) Explain(id ID, p *Path) Why {
	e := t.entries.At(uint32(id))
	best := t.Best(id)
	if best == nil || best == p {
		return Why{}
	}
	if v := t.upper(best, p, t.store.At(best.Post), t.store.At(p.Post)); v.order != 0 {
		return Why{v.step, best}
	}
	if !t.Decision.AlwaysCompareMED {
		if w := t.medLoser(e, p, best); w != nil {
			return Why{StepMED, w}
		}
		return Why{t.lower(best, p, t.store.At(best.Post), t.store.At(p.Post)).step, best}
	}
	return Why{t.compare(best, p).step, best}
}
