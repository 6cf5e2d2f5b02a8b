// Package model is a slow and obvious BGP router: maps, sorted slices and the
// sentences of RFC 4271 one after the other. It is the twin that tests hold
// the real tables against; it shares none of their code but the wire types.
package model

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Policy judges a route and may change a (a copy that it owns).
type Policy func(p prefix.Prefix, a *Route) (accept bool)

// Route is a route's attributes, and what policies said about its next hop.
type Route struct {
	wire.Attrs
	Own  bool // whoever it is sent to is told our own address
	Kept bool // and here the one that it has
	// Discard: its packets go nowhere, which needs no way to the next hop.
	Discard bool
	State   string // of origin validation, as policies see it
	Path    string // and of the AS path as it came, on import
}

// VRP says that an AS may originate a prefix and its parts (RFC 6811).
type VRP struct {
	Prefix prefix.Prefix
	MaxLen uint8
	ASN    uint32
}

// Neighbor is one as the model knows it.
type Neighbor struct {
	ID          int
	EBGP        bool
	Client      [prefix.Families]bool // of ours as a route reflector
	RouteServer bool                  // it is a client of ours as a route server
	// Role is what it is to us: "customer", "peer", "provider", "rs", "rs-client" or "".
	Role           string
	Drain          bool // it is to prefer other ways
	Last           bool // we prefer other ways
	ASN            uint32
	LocalASN       uint32 // ours, as it is configured for it
	KnownAs        uint32 // and as the session has it
	RouterID       uint32
	Addr           []byte // 16 bytes
	Import, Export Policy // nil: none configured
	AllowOwnAS     int
	MaxPathLength  int // 0: any
	EnforceFirstAS bool
	PathsFrom      string // its AS paths are verified as those of a "customer" or a "provider"; "": not
	HonorShutdown  bool   // its routes whose session is are the last choice
	// What it is sent.
	RemovePrivate, ASOverride, DefaultOriginate bool
	SendBoth, PrependLocal                      bool // RFC 7705
	SendSuppressed                              bool
	PathsOut                                    int  // paths for a prefix, with path IDs; 0: the best one
	NextHopSelf, NextHopUnchanged               bool // neither: by the kind of neighbor
	Up                                          bool
	NextHop                                     []byte       // what it is told as our own
	Link                                        netip.Prefix // that we share with it; invalid: none
	TakesStale                                  bool         // routes with LLGR_STALE (RFC 9494)

	long   map[wire.Route]bool                     // kept for long after its session
	routes map[prefix.Prefix]map[uint32]wire.Attrs // by path ID
}

// Router is the model.
type Router struct {
	ASN, RouterID, ClusterID uint32
	DefaultLocalPref         uint32
	AlwaysCompareMED         bool
	MeshedClients            bool // nothing is reflected from one to another
	// Cost is that of the way to a next hop, false if there is none; nil where
	// every next hop can be reached at no cost.
	Cost       func(nextHop []byte) (cost uint32, ok bool)
	Neighbors  []*Neighbor
	Local      map[prefix.Prefix]wire.Attrs
	Own        map[prefix.Prefix]map[uint32]Route // further ones, by path ID
	Aggregates map[prefix.Prefix]wire.Attrs
	Suppress   map[prefix.Prefix]bool // aggregates that stand for their parts
	VRPs       map[VRP]bool
	Providers  map[uint32]map[uint32]bool // of ASes that say who these are

	best map[prefix.Prefix]*Path // what Best has found since Changed
}

// Changed must be called after the router or a neighbor has been changed, and
// before Best or Advertised are asked again.
func (r *Router) Changed() { r.best = map[prefix.Prefix]*Path{} }

// Path is a candidate for a prefix.
type Path struct {
	From   *Neighbor // nil: this router
	PathID uint32
	Route
}

// Announce and Withdraw are what a neighbor's UPDATE says.
func (n *Neighbor) Announce(p prefix.Prefix, pathID uint32, a wire.Attrs) {
	if n.routes == nil {
		n.routes = map[prefix.Prefix]map[uint32]wire.Attrs{}
	}
	if n.routes[p] == nil {
		n.routes[p] = map[uint32]wire.Attrs{}
	}
	n.routes[p][pathID] = a
	delete(n.long, wire.Route{Prefix: p, PathID: pathID})
}

// KeepLong makes a route the last resort (RFC 9494).
func (n *Neighbor) KeepLong(r wire.Route) {
	if n.long == nil {
		n.long = map[wire.Route]bool{}
	}
	n.long[r] = true
}

// NotLong reports whether a route is not to be kept so, as it came or by policy.
func (r *Router) NotLong(n *Neighbor, x wire.Route) bool {
	a := Route{Attrs: n.routes[x.Prefix][x.PathID]}
	return hasCommunity(a.Communities, wire.NoLLGR) || r.accept(n, x.Prefix, &a) && hasCommunity(a.Communities, wire.NoLLGR)
}

func hasCommunity(all []byte, want uint32) bool {
	for c := all; len(c) >= 4; c = c[4:] {
		if bytes.Equal(c[:4], community(want)) {
			return true
		}
	}
	return false
}

func community(c uint32) []byte { return []byte{byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)} }

// Withdraw takes a route back.
func (n *Neighbor) Withdraw(p prefix.Prefix, pathID uint32) {
	delete(n.routes[p], pathID)
	delete(n.long, wire.Route{Prefix: p, PathID: pathID})
}

// Clear takes all back, as the end of a session does.
func (n *Neighbor) Clear() {
	clear(n.routes)
	clear(n.long)
}

// Has are the path IDs under which a neighbor has announced a prefix.
func (n *Neighbor) Has(p prefix.Prefix) []uint32 { return slices.Collect(maps.Keys(n.routes[p])) }

// Count is how many routes of a family a neighbor has announced, and how many
// of them are accepted.
func (r *Router) Count(n *Neighbor, f prefix.Family) (paths, accepted int) {
	for p, ids := range n.routes {
		for _, a := range ids {
			if p.Family == f {
				paths++
				if r.accept(n, p, &Route{Attrs: a}) {
					accepted++
				}
			}
		}
	}
	return paths, accepted
}

// Prefixes are all that somebody has a route for, in order.
func (r *Router) Prefixes() []prefix.Prefix {
	seen := map[prefix.Prefix]bool{}
	for p := range r.Local {
		seen[p] = true
	}
	for p := range r.Aggregates {
		seen[p] = true
	}
	for p := range r.Own {
		seen[p] = true
	}
	for _, n := range r.Neighbors {
		for p := range n.routes {
			seen[p] = true
		}
	}
	var ps []prefix.Prefix
	for p := range seen {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, prefix.Compare)
	return ps
}

// Paths are the usable paths of a prefix, after import.
func (r *Router) Paths(p prefix.Prefix) (paths []Path) {
	if a, ok := r.Local[p]; ok {
		paths = append(paths, Path{Route: Route{Attrs: a}})
	}
	if a, ok := r.Aggregates[p]; ok && r.hasMoreSpecific(p) {
		paths = append(paths, Path{PathID: 1, Route: Route{Attrs: a}})
	}
	for id, a := range r.Own[p] {
		x := Path{PathID: id, Route: a}
		if _, ok := r.cost(x); ok {
			paths = append(paths, x)
		}
	}
	for _, n := range r.Neighbors {
		for id, a := range n.routes[p] { // also those that are kept without a session
			x := Path{n, id, Route{Attrs: a}}
			if !r.accept(n, p, &x.Route) {
				continue
			}
			if n.long[wire.Route{Prefix: p, PathID: id}] && !hasCommunity(x.Communities, wire.LLGRStale) {
				x.Communities = slices.Concat(x.Communities, community(wire.LLGRStale))
			}
			if _, ok := r.cost(x); ok {
				paths = append(paths, x)
			}
		}
	}
	return paths
}

// cost is that of the way to a path's next hop (RFC 4271 section 9.1.2.2 e).
func (r *Router) cost(x Path) (cost uint32, ok bool) {
	if r.Cost == nil || x.Discard || x.From == nil && len(x.NextHop) == 0 {
		return 0, true
	}
	return r.Cost(x.Attrs.NextHop)
}

func (r *Router) hasMoreSpecific(p prefix.Prefix) bool {
	return slices.ContainsFunc(r.Prefixes(), func(q prefix.Prefix) bool {
		return q.Bits > p.Bits && p.Covers(q) && r.Best(q) != nil
	})
}

func (r *Router) accept(n *Neighbor, p prefix.Prefix, a *Route) bool {
	if first, ok := wire.FirstAS(a.ASPath); n.EBGP && n.EnforceFirstAS && !(ok && first == n.ASN) {
		return false
	}
	// RFC 9234 section 5, ingress.
	has := a.Has&wire.HasOTC != 0
	switch {
	case !n.EBGP:
	case has && (n.Role == "customer" || n.Role == "rs-client"), has && n.Role == "peer" && a.OTC != n.ASN:
		return false
	case !has && (n.Role == "provider" || n.Role == "peer" || n.Role == "rs"):
		a.Has |= wire.HasOTC
		a.OTC = n.ASN
	}
	if n.MaxPathLength > 0 && wire.PathLen(a.ASPath) > n.MaxPathLength {
		return false
	}
	if wire.PathContains(a.ASPath, r.ASN) > n.AllowOwnAS || wire.PathContains(a.ASPath, n.LocalASN) > n.AllowOwnAS {
		return false
	}
	if !n.EBGP {
		if a.Has&wire.HasOriginatorID != 0 && a.OriginatorID == r.RouterID {
			return false
		}
		own := []byte{byte(r.ClusterID >> 24), byte(r.ClusterID >> 16), byte(r.ClusterID >> 8), byte(r.ClusterID)}
		for l := a.ClusterList; len(l) >= 4; l = l[4:] {
			if bytes.Equal(l[:4], own) {
				return false
			}
		}
	}
	ok := !n.EBGP
	if n.Import != nil {
		a.State, a.Path = r.validate(p, a.ASPath), r.verify(n, a.ASPath)
		ok = n.Import(p, a)
	}
	marked := bytes.Contains(a.Communities, gracefulShutdown)
	if n.Last && n.EBGP && !marked {
		a.Communities = append(bytes.Clone(a.Communities), gracefulShutdown...)
	}
	if n.Last || marked && n.HonorShutdown {
		a.Has |= wire.HasLocalPref
		a.LocalPref = 0
	}
	if n.PrependLocal && n.KnownAs != r.ASN {
		a.ASPath = wire.Prepend(nil, a.ASPath, n.KnownAs, 1)
	}
	return ok
}

// validate is RFC 6811 section 2.
func (r *Router) validate(p prefix.Prefix, path []byte) string {
	origin, ok := wire.OriginAS(path)
	if len(path) == 0 {
		origin, ok = r.ASN, true
	}
	state := "unknown"
	for v := range r.VRPs {
		if v.Prefix.Covers(p) {
			if ok && origin != 0 && v.ASN == origin && p.Bits <= v.MaxLen {
				return "valid"
			}
			state = "invalid"
		}
	}
	return state
}

var gracefulShutdown = []byte{0xff, 0xff, 0, 0} // the communities of tests are aligned

// Best is the best path of a prefix, nil if there is none.
func (r *Router) Best(p prefix.Prefix) *Path {
	if b, ok := r.best[p]; ok {
		return b
	}
	b := r.decide(r.Paths(p))
	r.best[p] = b
	return b
}

// keep leaves those of some paths that have the lowest rank.
func keep(left []Path, rank func(Path) int64) []Path {
	if len(left) == 0 {
		return nil
	}
	best := rank(left[0])
	for _, x := range left {
		best = min(best, rank(x))
	}
	return slices.DeleteFunc(left, func(x Path) bool { return rank(x) != best })
}

// Rank are the paths of a prefix, each the best one without those before it.
func (r *Router) Rank(p prefix.Prefix) (ranked []Path) {
	for left := r.Paths(p); len(left) > 0; {
		best := *r.decide(slices.Clone(left))
		ranked = append(ranked, best)
		left = slices.DeleteFunc(left, func(x Path) bool { return x.From == best.From && x.PathID == best.PathID })
	}
	return ranked
}

// decide is RFC 4271 section 9.1.2 as a series of eliminations.
func (r *Router) decide(left []Path) *Path {
	left = keep(r.equal(left), func(x Path) int64 {
		switch {
		case x.Attrs.Has&wire.HasOriginatorID != 0:
			return int64(x.Attrs.OriginatorID)
		case x.From == nil:
			return int64(r.RouterID)
		}
		return int64(x.From.RouterID)
	})
	left = keep(left, func(x Path) int64 { return int64(len(x.Attrs.ClusterList)) })
	if len(left) == 0 {
		return nil
	}
	best := slices.MinFunc(left, func(x, y Path) int {
		return cmp.Or(bytes.Compare(x.addr(), y.addr()), cmp.Compare(x.PathID, y.PathID))
	})
	return &best
}

// Equal are the paths of a prefix that are the best ones by what they say and
// cost: what is left of the ladder tells only whose they are.
func (r *Router) Equal(p prefix.Prefix) []Path { return r.equal(r.Paths(p)) }

func (r *Router) equal(left []Path) []Path {
	keep := func(rank func(Path) int64) { left = keep(left, rank) }
	flag := func(b bool) int64 {
		if b {
			return 0
		}
		return 1
	}
	keep(func(x Path) int64 { return flag(!hasCommunity(x.Communities, wire.LLGRStale)) }) // RFC 9494 section 4.3
	keep(func(x Path) int64 {
		if x.Attrs.Has&wire.HasLocalPref != 0 {
			return -int64(x.Attrs.LocalPref)
		}
		return -int64(r.DefaultLocalPref)
	})
	keep(func(x Path) int64 { return flag(x.From == nil) })
	keep(func(x Path) int64 { return int64(wire.PathLen(x.Attrs.ASPath)) })
	keep(func(x Path) int64 { return int64(x.Attrs.Origin) })
	med := func(x Path) uint32 {
		if x.Attrs.Has&wire.HasMED == 0 {
			return 0
		}
		return x.Attrs.MED
	}
	all := slices.Clone(left)
	left = slices.DeleteFunc(left, func(x Path) bool {
		return slices.ContainsFunc(all, func(y Path) bool {
			ax, _ := wire.FirstAS(x.Attrs.ASPath)
			ay, _ := wire.FirstAS(y.Attrs.ASPath)
			return (r.AlwaysCompareMED || ax == ay) && med(y) < med(x)
		})
	})
	keep(func(x Path) int64 { return flag(x.From != nil && x.From.EBGP) })
	keep(func(x Path) int64 {
		cost, _ := r.cost(x)
		return int64(cost)
	})
	return left
}

func (x Path) addr() []byte {
	if x.From == nil {
		return make([]byte, 16)
	}
	return x.From.Addr
}

// Out is a route as a neighbor is sent it.
type Out struct {
	From *Neighbor // that it has come from; nil: this router
	*wire.Attrs
}

// Advertised are the routes that a neighbor is sent for a prefix.
func (r *Router) Advertised(n *Neighbor, p prefix.Prefix) []Out {
	if !n.Up {
		return nil
	}
	out := r.suits(n, p)
	if !n.RouteServer || n.PathsOut > 0 { // a route server without path IDs hides nothing
		out = r.first(n, out)
	}
	own := func(o Out) bool { return o.From == n }
	return r.first(n, slices.DeleteFunc(out, own))
}

// Suits are the routes that a neighbor like n is sent for a prefix, with those
// that have come from n itself.
func (r *Router) Suits(n *Neighbor, p prefix.Prefix) []Out { return r.first(n, r.suits(n, p)) }

// first are as many as n is sent.
func (r *Router) first(n *Neighbor, out []Out) []Out { return out[:min(len(out), max(1, n.PathsOut))] }

// suits are those that may be sent, the best first.
func (r *Router) suits(n *Neighbor, p prefix.Prefix) (out []Out) {
	for _, x := range r.candidates(n, p) {
		if a := r.passes(n, p, &x); a != nil {
			out = append(out, Out{x.From, a})
		}
	}
	if len(out) == 0 && n.DefaultOriginate && p.Bits == 0 {
		out = append(out, Out{nil, r.send(n, nil, Route{Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}}, true)})
	}
	return out
}

// candidates are the paths of a prefix that n may be sent, the best first.
func (r *Router) candidates(n *Neighbor, p prefix.Prefix) []Path {
	best := r.Best(p)
	switch {
	case best == nil || r.suppressed(p) && !n.SendSuppressed:
		return nil
	case n.PathsOut > 0, n.RouteServer:
		return r.Rank(p)
	}
	return []Path{*best}
}

// passes is a route as n would get it, split horizon left aside.
func (r *Router) passes(n *Neighbor, p prefix.Prefix, x *Path) *wire.Attrs {
	from := x.From
	if f := p.Family; !n.EBGP && from != nil && !from.EBGP && (!n.Client[f] && !from.Client[f] || r.MeshedClients && n.Client[f] && from.Client[f]) {
		return nil
	}
	a := x.Route
	if hasCommunity(a.Communities, wire.LLGRStale) && !n.TakesStale {
		return nil
	}
	// RFC 9234 section 5, egress.
	if n.EBGP && a.Has&wire.HasOTC != 0 && (n.Role == "provider" || n.Role == "peer" || n.Role == "rs") {
		return nil
	}
	for c := a.Communities; len(c) >= 4; c = c[4:] {
		if !n.RouteServer && bytes.Equal(c[:3], []byte{0xff, 0xff, 0xff}) {
			if c[3] == 2 || n.EBGP && (c[3] == 1 || c[3] == 3) {
				return nil
			}
		}
	}
	a.State = r.validate(p, a.ASPath)
	had, med := a.Has&wire.HasMED, a.MED
	if n.Export == nil {
		if n.EBGP {
			return nil
		}
	} else if !n.Export(p, &a) {
		return nil
	}
	return r.send(n, from, a, a.Has&wire.HasMED != had || a.MED != med)
}

// suppressed reports whether an aggregate stands for a prefix.
func (r *Router) suppressed(p prefix.Prefix) bool {
	for q := range r.Aggregates {
		if r.Suppress[q] && q.Bits < p.Bits && q.Covers(p) {
			return true
		}
	}
	return false
}

// send is what the kind of session makes of a route that passes. ownMED says
// that the export policy set the MED.
func (r *Router) send(n, from *Neighbor, a Route, ownMED bool) *wire.Attrs {
	byKind := n.NextHopSelf || n.EBGP && !n.NextHopUnchanged && !n.RouteServer && !n.onLink(a.NextHop)
	if a.Own || byKind && !a.Kept || len(a.NextHop) == 0 {
		a.NextHop = n.NextHop
	}
	if n.EBGP && a.Has&wire.HasOTC == 0 && (n.Role == "customer" || n.Role == "peer" || n.Role == "rs-client") {
		a.Has |= wire.HasOTC
		a.OTC = n.KnownAs
	}
	if n.EBGP {
		if from != nil && !ownMED && !n.RouteServer {
			a.Has &^= wire.HasMED
		}
		a.ASPath = r.rewrite(n, a.ASPath)
		if !n.RouteServer || len(a.ASPath) == 0 {
			if n.SendBoth && n.KnownAs != r.ASN {
				a.ASPath = wire.Prepend(nil, a.ASPath, r.ASN, 1)
			}
			a.ASPath = wire.Prepend(nil, a.ASPath, n.KnownAs, 1)
		}
		a.Has &^= wire.HasLocalPref | wire.HasOriginatorID | wire.HasAIGP
		a.ClusterList = nil
	} else {
		if a.Has&wire.HasLocalPref == 0 {
			a.Has |= wire.HasLocalPref
			a.LocalPref = r.DefaultLocalPref
		}
		if from != nil && !from.EBGP {
			if a.Has&wire.HasOriginatorID == 0 {
				a.Has |= wire.HasOriginatorID
				a.OriginatorID = from.RouterID
			}
			id := []byte{byte(r.ClusterID >> 24), byte(r.ClusterID >> 16), byte(r.ClusterID >> 8), byte(r.ClusterID)}
			a.ClusterList = append(id, a.ClusterList...)
		}
	}
	if n.Drain {
		if !n.EBGP {
			a.LocalPref = 0
		}
		if !bytes.Contains(a.Communities, gracefulShutdown) {
			a.Communities = append(slices.Clone(a.Communities), gracefulShutdown...)
		}
	}
	return &a.Attrs
}

// onLink reports whether a next hop is another router on the neighbor's link.
func (n *Neighbor) onLink(nextHop []byte) bool {
	a, _ := netip.AddrFromSlice(nextHop)
	own, _ := netip.AddrFromSlice(n.Addr)
	return n.Link.IsValid() && n.Link.Contains(a) && a != own.Unmap()
}

// rewrite leaves private AS numbers out of a path, and puts our own for the
// neighbor's. The paths of tests are one sequence, or empty.
func (r *Router) rewrite(n *Neighbor, path []byte) []byte {
	if !n.RemovePrivate && !n.ASOverride {
		return path
	}
	var asns []uint32
	for it := wire.Path(path); it.Next(); {
		private := it.ASN >= 64512 && it.ASN <= 65534 || it.ASN >= 4200000000 && it.ASN <= 4294967294
		switch {
		case n.RemovePrivate && private:
		case n.ASOverride && it.ASN == n.ASN:
			asns = append(asns, n.KnownAs)
		default:
			asns = append(asns, it.ASN)
		}
	}
	slices.Reverse(asns)
	var out []byte
	for _, asn := range asns {
		out = wire.Prepend(nil, out, asn, 1)
	}
	return out
}
