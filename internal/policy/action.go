package policy

import (
	"encoding/binary"
	"math"

	"holdfast/internal/wire"
)

// Scratch holds what Eval makes, until it is used again.
type Scratch struct{ buf []byte }

// actions is Actions with everything encoded.
type actions struct {
	localPref, med Adjust
	replaces, adds bool
	replace, add   [communityKinds][]byte
	remove         []*CommunitySet
	prepend        []byte
	prependFirst   bool // as often the first AS of the path instead
	nextHop        NextHopMode
	address        [2][]byte // by family, for NextHopAddress
	ipv4           int       // the test that tells the family, for NextHopAddress
	origin         *uint8
	weight         *uint32
}

func (d Adjust) apply(n uint32) uint32 {
	switch d.Op {
	case SetTo:
		return d.Value
	case Add:
		return uint32(min(uint64(n)+uint64(d.Value), math.MaxUint32))
	case Subtract:
		return n - min(n, d.Value)
	}
	return n
}

func (s *actions) apply(p *Program, vector []uint64, a *wire.Attrs, scratch *Scratch, res *Result) {
	if s.localPref.Op != Keep {
		n := s.localPref.apply(p.localPref(a))
		res.Changed = res.Changed || a.Has&wire.HasLocalPref == 0 || n != a.LocalPref
		a.LocalPref, a.Has = n, a.Has|wire.HasLocalPref
	}
	switch s.med.Op {
	case Keep:
	case Remove:
		res.Changed = res.Changed || a.Has&wire.HasMED != 0
		a.MED, a.Has, res.MED = 0, a.Has&^wire.HasMED, false
	default:
		if a.Has&wire.HasMED == 0 {
			a.MED = 0
		}
		n := s.med.apply(a.MED)
		res.Changed = res.Changed || a.Has&wire.HasMED == 0 || n != a.MED
		a.MED, a.Has, res.MED = n, a.Has|wire.HasMED, true
	}
	s.changeCommunities(a, scratch, res)
	if len(s.prepend) > 0 {
		asns := s.prepend
		if first, ok := wire.FirstAS(a.ASPath); ok && s.prependFirst {
			asns = encodeASNs(first, uint8(len(asns)/4))
		}
		a.ASPath, a.Has = scratch.prepend(asns, a.ASPath), a.Has|wire.HasASPath
		res.Changed = true
	}
	s.changeNextHop(vector, a, res)
	if s.origin != nil {
		res.Changed = res.Changed || a.Origin != *s.origin || a.Has&wire.HasOrigin == 0
		a.Origin, a.Has = *s.origin, a.Has|wire.HasOrigin
	}
	if s.weight != nil {
		res.Weight = *s.weight
	}
}

func (s *actions) changeNextHop(vector []uint64, a *wire.Attrs, res *Result) {
	switch s.nextHop {
	case NextHopDefault:
	case NextHopAddress:
		family := 1
		if bit(vector, s.ipv4) {
			family = 0
		}
		if b := s.address[family]; b != nil {
			res.Changed = res.Changed || string(a.NextHop) != string(b)
			a.NextHop, res.NextHop = b, NextHopAddress
		}
	default:
		res.NextHop = s.nextHop
	}
}

func (s *actions) changeCommunities(a *wire.Attrs, scratch *Scratch, res *Result) {
	if s.replaces {
		res.Changed = res.Changed || len(a.IPv6Communities) > 0
		a.IPv6Communities = nil
	} else if len(s.remove) == 0 && !s.adds {
		return
	}
	for k, list := range []*[]byte{&a.Communities, &a.ExtCommunities, &a.LargeCommunities} {
		kind := communityKind(k)
		if s.replaces {
			res.Changed = res.Changed || string(*list) != string(s.replace[k])
			*list = s.replace[k]
		}
		for _, set := range s.remove {
			if set.any(kind, *list) {
				*list, res.Changed = scratch.without(*list, kind, set), true
			}
		}
		n := kind.size()
		for add := s.add[k]; len(add) > 0; add = add[n:] {
			if !contains(*list, add[:n]) {
				*list, res.Changed = scratch.joined(*list, add[:n]), true
			}
		}
	}
}

// contains reports whether a list of encoded communities has this one.
func contains(list, one []byte) bool {
	for n := len(one); len(list) >= n; list = list[n:] {
		if string(list[:n]) == string(one) {
			return true
		}
	}
	return false
}

// cut is what has been written since from, and no room behind it.
func (s *Scratch) cut(from int) []byte { return s.buf[from:len(s.buf):len(s.buf)] }

func (s *Scratch) without(list []byte, kind communityKind, set *CommunitySet) []byte {
	from, n := len(s.buf), kind.size()
	for ; len(list) >= n; list = list[n:] {
		if !set.has(kind, kind.get(list)) {
			s.buf = append(s.buf, list[:n]...)
		}
	}
	return s.cut(from)
}

func (s *Scratch) joined(list, more []byte) []byte {
	from := len(s.buf)
	s.buf = append(append(s.buf, list...), more...)
	return s.cut(from)
}

// prepend puts encoded AS numbers before a path: into its first segment, or
// into one of their own where that is no AS_SEQUENCE or would have more than
// 255 of them (RFC 4271 section 5.1.2).
func (s *Scratch) prepend(asns, path []byte) []byte {
	from, n := len(s.buf), len(asns)/4
	if len(path) >= 2 && path[0] == wire.SegSequence && int(path[1])+n <= math.MaxUint8 {
		n += int(path[1])
		path = path[2:]
	}
	s.buf = append(s.buf, wire.SegSequence, byte(n))
	s.buf = append(append(s.buf, asns...), path...)
	return s.cut(from)
}

func encodeASNs(asn uint32, count uint8) []byte {
	b := make([]byte, 0, 4*int(count))
	for range count {
		b = binary.BigEndian.AppendUint32(b, asn)
	}
	return b
}
