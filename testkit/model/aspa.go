package model

import (
	"encoding/binary"
	"slices"

	"holdfast/internal/wire"
)

// verify is the state of an AS path by who is whose provider (draft-ietf-sidrops-
// aspa-verification): it looks for a way to tell customers from providers that all
// attest, or that nobody contradicts.
func (r *Router) verify(n *Neighbor, path []byte) string {
	if len(r.Providers) == 0 || n.PathsFrom == "" {
		return "unknown"
	}
	var asns []uint32
	for len(path) > 0 {
		if path[0] != wire.SegSequence {
			return "invalid"
		}
		for _, b := range slices.Collect(slices.Chunk(path[2:2+4*int(path[1])], 4)) {
			asns = append(asns, binary.BigEndian.Uint32(b))
		}
		path = path[2+4*int(path[1]):]
	}
	if asns = slices.Compact(asns); len(asns) == 0 || asns[0] != n.ASN {
		return "invalid"
	}
	slices.Reverse(asns) // the origin first
	shaped := func(allowed func(customer, provider uint32) bool) bool {
		for top := range asns { // the last that was reached by going up
			for peers := 0; peers <= 1 && top+peers < len(asns); peers++ {
				good := n.PathsFrom == "provider" || top == len(asns)-1
				for i := 0; i < top; i++ {
					good = good && allowed(asns[i], asns[i+1])
				}
				for i := top + peers; i+1 < len(asns); i++ {
					good = good && allowed(asns[i+1], asns[i])
				}
				if good {
					return true
				}
			}
		}
		return false
	}
	switch {
	case shaped(func(c, p uint32) bool { return r.Providers[c][p] }):
		return "valid"
	case shaped(func(c, p uint32) bool { return r.Providers[c] == nil || r.Providers[c][p] }):
		return "unknown"
	}
	return "invalid"
}
