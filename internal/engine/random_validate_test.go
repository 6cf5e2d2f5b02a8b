package engine

import (
	"holdfast/internal/policy"
	"holdfast/internal/rpki"
	"holdfast/testkit/model"
)

// validate has some VRPs come and go.
func (w *world) validate() {
	for range 1 + w.r.IntN(4) {
		p := universe[w.r.IntN(len(universe))]
		v := model.VRP{Prefix: p, MaxLen: min(p.Bits+uint8(w.r.IntN(3)*8), p.Family.MaxBits()),
			ASN: []uint32{0, 64600, 64601, 174, 65000, 65001, 64999}[w.r.IntN(7)]}
		if w.twin.VRPs[v] {
			delete(w.twin.VRPs, v)
		} else {
			w.twin.VRPs[v] = true
		}
	}
	if w.r.IntN(10) == 0 {
		clear(w.twin.VRPs)
	}
	var b rpki.Builder
	for v := range w.twin.VRPs {
		b.Add(rpki.VRP(v))
	}
	s := b.Set()
	w.say("VRPs %v", w.twin.VRPs)
	w.core.Validate(rpki.NewTable(s), rpki.NewTable(rpki.Difference(w.core.VRPs().Set(), s)))
}

// verify has some ASes say who their providers are, or nothing any more.
func (w *world) verify() {
	asns := []uint32{64600, 64601, 174, 64999, 65001, 65002, 65003, 65004}
	for range 1 + w.r.IntN(6) {
		of := map[uint32]bool{}
		for range w.r.IntN(4) {
			of[asns[w.r.IntN(len(asns))]] = true
		}
		if customer := asns[w.r.IntN(len(asns))]; len(of) > 0 {
			w.twin.Providers[customer] = of
		} else {
			delete(w.twin.Providers, customer)
		}
	}
	var all []rpki.ASPA
	for customer, of := range w.twin.Providers {
		for p := range of {
			all = append(all, rpki.ASPA{Customer: customer, Providers: []uint32{p}})
		}
	}
	w.say("providers %v", w.twin.Providers)
	w.core.Verify(rpki.NewASPAs(all))
}

// verifyPaths changes what some neighbors are to us.
func (w *world) verifyPaths() {
	d := rpki.Direction(w.r.IntN(3))
	w.some(func(n *Neighbor, m *model.Neighbor) {
		n.Verification, m.PathsFrom = policy.Verification{Direction: d, First: n.ASN}, [...]string{"", "customer", "provider"}[d]
		w.say("paths of %d are those of a %s", n.ID, m.PathsFrom)
	})
}
