package api

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/wire"
)

// addrText is "" for what is no address.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addr4Text(v uint32) string {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], v)
	return netip.AddrFrom4(a).String()
}

// AttributesOf converts parsed attributes and keeps nothing of them.
func AttributesOf(a *wire.Attrs) *pb.Attributes {
	m := &pb.Attributes{AtomicAggregate: a.Has&wire.HasAtomicAggregate != 0}
	if a.Has&wire.HasOrigin != 0 {
		m.Origin = pb.Origin(a.Origin) + pb.Origin_ORIGIN_IGP
	}
	m.AsPath = segments(a.ASPath)
	m.NextHop, m.NextHopLinkLocal = nextHops(a.NextHop)
	m.Med = optional(a.Has&wire.HasMED != 0, a.MED)
	m.LocalPref = optional(a.Has&wire.HasLocalPref != 0, a.LocalPref)
	m.OnlyToCustomer = optional(a.Has&wire.HasOTC != 0, a.OTC)
	m.Aigp = optional(a.Has&wire.HasAIGP != 0, a.AIGP)
	if a.Has&wire.HasAggregator != 0 {
		m.Aggregator = &pb.Aggregator{Asn: a.AggregatorAS, Address: addr4Text(a.AggregatorID)}
	}
	if a.Has&wire.HasOriginatorID != 0 {
		m.OriginatorId = addr4Text(a.OriginatorID)
	}
	for b := a.ClusterList; len(b) >= 4; b = b[4:] {
		m.ClusterList = append(m.ClusterList, addr4Text(binary.BigEndian.Uint32(b)))
	}
	if n := len(a.Communities) / 4; n > 0 {
		m.Communities = make([]uint32, n)
		for i := range m.Communities {
			m.Communities[i] = binary.BigEndian.Uint32(a.Communities[4*i:])
		}
	}
	for b := a.LargeCommunities; len(b) >= 12; b = b[12:] {
		m.LargeCommunities = append(m.LargeCommunities, &pb.LargeCommunity{
			Global: binary.BigEndian.Uint32(b), Local1: binary.BigEndian.Uint32(b[4:]), Local2: binary.BigEndian.Uint32(b[8:]),
		})
	}
	for b := a.ExtCommunities; len(b) >= 8; b = b[8:] {
		m.ExtCommunities = append(m.ExtCommunities, binary.BigEndian.Uint64(b))
	}
	for b := a.IPv6Communities; len(b) >= 20; b = b[20:] {
		m.Ipv6Communities = append(m.Ipv6Communities, append([]byte(nil), b[:20]...))
	}
	m.Other = others(a.Other)
	return m
}

func optional[T any](present bool, v T) *T {
	if !present {
		return nil
	}
	return &v
}

func segments(path []byte) []*pb.AsPathSegment {
	var all []*pb.AsPathSegment
	for {
		typ, asns, rest, ok := wire.NextSegment(path)
		if !ok {
			return all
		}
		path = rest
		s := &pb.AsPathSegment{Type: pb.SegmentType(typ), Asns: make([]uint32, len(asns)/4)}
		for i := range s.Asns {
			s.Asns[i] = binary.BigEndian.Uint32(asns[4*i:])
		}
		all = append(all, s)
	}
}

// path is the inverse of segments.
func path(segments []*pb.AsPathSegment) (b []byte) {
	for _, s := range segments {
		for asns := s.Asns; len(asns) > 0; { // a segment holds 255 (RFC 4271 section 4.3)
			n := min(len(asns), 255)
			b = append(b, byte(s.Type), byte(n))
			for _, asn := range asns[:n] {
				b = binary.BigEndian.AppendUint32(b, asn)
			}
			asns = asns[n:]
		}
	}
	return b
}

// nextHops splits a next hop that may have a link-local address behind the
// global one (RFC 2545 section 3).
func nextHops(b []byte) (global, linkLocal string) {
	if len(b) == 32 {
		ll, _ := netip.AddrFromSlice(b[16:])
		linkLocal, b = ll.String(), b[:16]
	}
	a, _ := netip.AddrFromSlice(b)
	return addrText(a), linkLocal
}

func others(b []byte) []*pb.Attribute {
	var all []*pb.Attribute
	for {
		flags, typ, value, rest, ok := wire.OtherAttr(b)
		if !ok {
			return all
		}
		all = append(all, &pb.Attribute{Flags: uint32(flags), Type: uint32(typ), Value: bytes.Clone(value)})
		b = rest
	}
}

// WireAttrs is the inverse of AttributesOf for what can be written by hand: a
// test of a policy.
func WireAttrs(m *pb.Attributes) (wire.Attrs, error) {
	var a wire.Attrs
	if m == nil {
		m = &pb.Attributes{}
	}
	if m.Origin > pb.Origin_ORIGIN_INCOMPLETE || m.Origin < 0 {
		return a, Invalid("there is no origin %d", m.Origin)
	}
	a.Has = wire.HasOrigin | wire.HasASPath
	if m.Origin != pb.Origin_ORIGIN_UNSPECIFIED {
		a.Origin = uint8(m.Origin - pb.Origin_ORIGIN_IGP)
	}
	for _, s := range m.AsPath {
		if s.Type < pb.SegmentType_SEGMENT_TYPE_SET || s.Type > pb.SegmentType_SEGMENT_TYPE_CONFED_SET {
			return a, Invalid("there is no AS path segment of type %d", s.Type)
		}
	}
	a.ASPath = path(m.AsPath)
	for _, text := range []string{m.NextHop, m.NextHopLinkLocal} {
		if text == "" {
			continue
		}
		nh, err := netip.ParseAddr(text)
		if err != nil {
			return a, Invalid("next hop %q is not an address", text)
		}
		a.NextHop = append(a.NextHop, nh.AsSlice()...)
	}
	a.MED, a.LocalPref, a.OTC, a.AIGP = m.GetMed(), m.GetLocalPref(), m.GetOnlyToCustomer(), m.GetAigp()
	for bit, present := range map[uint16]bool{
		wire.HasMED: m.Med != nil, wire.HasLocalPref: m.LocalPref != nil, wire.HasOTC: m.OnlyToCustomer != nil,
		wire.HasAIGP: m.Aigp != nil, wire.HasAtomicAggregate: m.AtomicAggregate,
	} {
		if present {
			a.Has |= bit
		}
	}
	for _, c := range m.Communities {
		a.Communities = binary.BigEndian.AppendUint32(a.Communities, c)
	}
	for _, c := range m.ExtCommunities {
		a.ExtCommunities = binary.BigEndian.AppendUint64(a.ExtCommunities, c)
	}
	for _, c := range m.LargeCommunities {
		for _, v := range []uint32{c.Global, c.Local1, c.Local2} {
			a.LargeCommunities = binary.BigEndian.AppendUint32(a.LargeCommunities, v)
		}
	}
	return a, nil
}
