package export

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// encoded is a block as a group's members get it.
type encoded struct {
	attrs   []byte
	nextHop []byte // for MP_REACH_NLRI, nil for routes in the NLRI field
	nh      int    // offset of the value of NEXT_HOP in attrs, -1 without
	own     bool   // the next hop is the member's own, or what it keeps of ours
	useless bool   // and may not be, as we forward nothing
}

var placeholder [32]byte

// encode turns a block into what goes out. The result is valid until the next
// call.
func (g *Group) encode(h attr.Handle) encoded { return g.encodeAs(h, g.AS4) }

func (g *Group) encodeAs(h attr.Handle, as4 bool) encoded {
	e := g.env
	rec := e.Store.At(h)
	var a wire.Attrs
	e.Store.Parse(h, &a)
	e.buf = g.transform(&a, rec, e.buf[:0])
	if g.GracefulShutdown {
		e.buf = g.lastChoice(&a, e.buf)
	}
	own := g.ownNextHop(rec, &a)
	nextHop := a.NextHop
	asked := g.NextHop == NextHopSelf || rec.Key.NextHop == policy.NextHopSelf || rec.Key.NextHop == policy.NextHopDiscard
	useless := own && g.RouteServer && len(nextHop) > 0 && !asked
	switch {
	case own:
		nextHop = g.field(rec, nextHop)
	case len(nextHop) == 32 && !(g.EBGP && g.onLink(nextHop[:16])):
		nextHop = nextHop[:16] // RFC 2545 section 3: the link is not theirs
	}
	mp := g.Family != prefix.IPv4 || len(nextHop) != 4
	if !mp {
		a.NextHop = nextHop
	}
	at := len(e.buf)
	if as4 {
		e.buf = a.Append(e.buf, mp)
	} else {
		e.buf = a.AppendAS2(e.buf, mp)
	}
	out := encoded{attrs: e.buf[at:], nh: -1, own: own, useless: useless}
	if rec.Key.Neighbor != 0 && len(a.Other) > 0 {
		setPartial(out.attrs[len(out.attrs)-len(a.Other):])
	}
	if mp {
		out.nextHop = nextHop
	} else {
		out.nh = findNextHop(out.attrs)
	}
	return out
}

// transform applies what the kind of session asks for. New slices are put
// behind buf, which is returned grown.
func (g *Group) transform(a *wire.Attrs, rec *attr.Record, buf []byte) []byte {
	src := &(*g.env.Neighbors)[rec.Key.Neighbor]
	(*g.env.Sources)[rec.Key.Neighbor].Mark(a)
	if g.EBGP {
		if g.MarkOTC && a.Has&wire.HasOTC == 0 {
			a.OTC, a.Has = g.LocalASN, a.Has|wire.HasOTC
		}
		if g.RemovePrivate {
			buf, a.ASPath = removePrivate(buf, a.ASPath)
		}
		if g.ASOverride != 0 {
			buf, a.ASPath = override(buf, a.ASPath, g.ASOverride, g.LocalASN)
		}
		transparent := g.RouteServer && len(a.ASPath) > 0
		for _, asn := range [...]uint32{g.GlobalASN, g.LocalASN} {
			if asn != 0 && !transparent { // RFC 7947 section 2.2.2.1
				at := len(buf)
				buf = wire.Prepend(buf, a.ASPath, asn, 1)
				a.ASPath = buf[at:]
			}
		}
		// RFC 4271 section 5.1.4: a MED that was received is not passed on;
		// one that our own policy set is ours. RFC 7947 section 2.2.3: a route
		// server passes it on.
		if !src.Local && !rec.Key.OwnMED && !g.RouteServer {
			a.Has &^= wire.HasMED
		}
		a.Has &^= wire.HasLocalPref | wire.HasOriginatorID | wire.HasAIGP
		a.ClusterList = nil
		return buf
	}
	if a.Has&wire.HasLocalPref == 0 {
		a.Has |= wire.HasLocalPref
		a.LocalPref = g.env.Table.Decision.DefaultLocalPref
	}
	if !src.EBGP && !src.Local {
		// RFC 4456 section 8.
		if a.Has&wire.HasOriginatorID == 0 {
			a.Has |= wire.HasOriginatorID
			a.OriginatorID = src.RouterID
		}
		at := len(buf)
		buf = binary.BigEndian.AppendUint32(buf, g.env.ClusterID)
		buf = append(buf, a.ClusterList...)
		a.ClusterList = buf[at:]
	}
	return buf
}

// lastChoice makes a route the last choice of who hears it (RFC 8326 section 4).
func (g *Group) lastChoice(a *wire.Attrs, buf []byte) []byte {
	if !g.EBGP {
		a.LocalPref = 0 // transform has seen to it that there is one
	}
	if wire.HasCommunity(a.Communities, wire.GracefulShutdown) {
		return buf
	}
	at := len(buf)
	buf = append(buf, a.Communities...)
	buf = binary.BigEndian.AppendUint32(buf, wire.GracefulShutdown)
	a.Communities = buf[at:]
	return buf
}

// ownNextHop reports whether members announce themselves as the next hop.
func (g *Group) ownNextHop(rec *attr.Record, a *wire.Attrs) bool {
	switch rec.Key.NextHop {
	case policy.NextHopSelf, policy.NextHopDiscard:
		return true
	case policy.NextHopAddress, policy.NextHopUnchanged:
		return len(a.NextHop) == 0 || !g.understands(a.NextHop)
	}
	switch g.NextHop {
	case NextHopSelf:
		return true
	case NextHopUnchanged:
		return len(a.NextHop) == 0 || !g.understands(a.NextHop)
	}
	return g.EBGP && !g.RouteServer || len(a.NextHop) == 0 || !g.understands(a.NextHop)
}

// field is what stands in the packet where members are told their own next hop:
// what was received, if some may keep it.
func (g *Group) field(rec *attr.Record, nextHop []byte) []byte {
	auto := g.EBGP && g.NextHop == NextHopAuto && rec.Key.NextHop == policy.NextHopDefault
	switch n := int(g.NextHopLen); {
	case !auto || len(nextHop) == 0 || !g.understands(nextHop):
	case len(nextHop) == n:
		return nextHop
	case len(nextHop) == 32 && n == 16:
		return nextHop[:16]
	case len(nextHop) == 16 && n == 32 && g.onLink(nextHop):
		// RFC 2545 section 3: its link-local address is not known. Members off
		// the link do without ours.
		return nextHop
	}
	return placeholder[:g.NextHopLen]
}

// onLink reports whether a next hop is on the link of a member.
func (g *Group) onLink(nextHop []byte) bool {
	a, _ := netip.AddrFromSlice(nextHop)
	return slices.ContainsFunc(g.members, func(m *Member) bool { return m.nextHop.Link.IsValid() && m.nextHop.Link.Contains(a) })
}

// understands reports whether a next hop is of use to members: of a family that
// they take, and of no link that is not theirs (RFC 2545 section 3).
func (g *Group) understands(nextHop []byte) bool {
	if len(nextHop) != 4 && (nextHop[0] == 0xfe && nextHop[1]&0xc0 == 0x80 || bytes.Equal(nextHop[:16], placeholder[:16])) {
		return false
	}
	return (len(nextHop) == 4) == (g.Family == prefix.IPv4) || g.ForeignNextHop && len(nextHop) != 4
}

// findNextHop returns the offset of NEXT_HOP's value. It stands behind ORIGIN
// and AS_PATH.
func findNextHop(attrs []byte) int {
	for i := 0; i+3 < len(attrs); {
		n, head := int(attrs[i+2]), 3
		if attrs[i]&0x10 != 0 {
			n, head = int(binary.BigEndian.Uint16(attrs[i+2:])), 4
		}
		if attrs[i+1] == 3 {
			return i + head
		}
		i += head + n
	}
	return -1
}

// setPartial marks attributes that we pass on without knowing them (RFC 4271
// section 5).
func setPartial(attrs []byte) {
	for i := 0; i+3 < len(attrs); {
		attrs[i] |= 0x20
		n, head := int(attrs[i+2]), 3
		if attrs[i]&0x10 != 0 {
			n, head = int(binary.BigEndian.Uint16(attrs[i+2:])), 4
		}
		i += head + n
	}
}

// IsPrivate reports whether an AS number is for private use (RFC 6996).
func IsPrivate(asn uint32) bool {
	return asn >= 64512 && asn <= 65534 || asn >= 4200000000 && asn <= 4294967294
}

// removePrivate leaves private AS numbers out of a path.
func removePrivate(buf, path []byte) (grown, out []byte) {
	at := len(buf)
	for i := 0; i+2 <= len(path); {
		n := int(path[i+1])
		head := len(buf)
		buf = append(buf, path[i], 0)
		for k := range n {
			if asn := path[i+2+4*k : i+6+4*k]; !IsPrivate(binary.BigEndian.Uint32(asn)) {
				buf = append(buf, asn...)
				buf[head+1]++
			}
		}
		if buf[head+1] == 0 {
			buf = buf[:head]
		}
		i += 2 + 4*n
	}
	return buf, buf[at:]
}

// override replaces an AS number in a path.
func override(buf, path []byte, from, to uint32) (grown, out []byte) {
	at := len(buf)
	buf = append(buf, path...)
	out = buf[at:]
	for i := 0; i+2 <= len(out); {
		n := int(out[i+1])
		for k := range n {
			if asn := out[i+2+4*k:]; binary.BigEndian.Uint32(asn) == from {
				binary.BigEndian.PutUint32(asn, to)
			}
		}
		i += 2 + 4*n
	}
	return buf, out
}
