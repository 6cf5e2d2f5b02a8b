package engine

import (
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
