package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

// maxHops is what still fits into a page: the kernel takes larger routes, and
// leaves them out when it is asked what it has.
const maxHops = fib.MaxHops

// request begins a message that asks for a dump; finish sets its length.
func request(kind uint16) []byte {
	return appendHeader(nil, kind, unix.NLM_F_DUMP|unix.NLM_F_REQUEST, 1)
}

func finish(b []byte) []byte {
	native.PutUint32(b, uint32(len(b)))
	return b
}

func appendHeader(b []byte, kind, flags uint16, seq uint32) []byte {
	b = append(b, 0, 0, 0, 0)
	b = native.AppendUint16(b, kind)
	b = native.AppendUint16(b, flags)
	b = native.AppendUint32(b, seq)
	return append(b, 0, 0, 0, 0)
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	b = native.AppendUint16(b, unix.SizeofRtAttr+4)
	b = native.AppendUint16(b, kind)
	return native.AppendUint32(b, v)
}

func appendAddr(b []byte, kind uint16, a netip.Addr) []byte {
	b = native.AppendUint16(b, unix.SizeofRtAttr+uint16(a.BitLen()/8))
	b = native.AppendUint16(b, kind)
	return appendBytes(b, a)
}

func appendBytes(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		v := a.As4()
		return append(b, v[:]...)
	}
	v := a.As16()
	return append(b, v[:]...)
}

// appendGateway writes the way out to h for a route of a family: a gateway of
// the other one has an attribute of its own.
func appendGateway(b []byte, f prefix.Family, a netip.Addr) []byte {
	if a.Is4() == (f == prefix.IPv4) {
		return appendAddr(b, unix.RTA_GATEWAY, a)
	}
	family := uint16(unix.AF_INET6)
	if a.Is4() {
		family = unix.AF_INET
	}
	b = native.AppendUint16(b, unix.SizeofRtAttr+2+uint16(a.BitLen()/8))
	b = native.AppendUint16(b, unix.RTA_VIA)
	return appendPadded(appendBytes(native.AppendUint16(b, family), a))
}

// appendPadded fills up to four bytes. All messages of a buffer begin so.
func appendPadded(b []byte) []byte {
	for len(b)&3 != 0 {
		b = append(b, 0)
	}
	return b
}

// check finds what no message can say.
func check(r *fib.Route) error {
	if r.Action != fib.Unicast {
		return nil
	}
	switch {
	case r.Object != 0:
	case len(r.Hops) == 0:
		return errors.New("a unicast route needs a next hop")
	case len(r.Hops) > maxHops:
		return fmt.Errorf("a route can have %d next hops, not %d", maxHops, len(r.Hops))
	case r.Source.IsValid() && r.Source.Is4() != (r.Prefix.Family == prefix.IPv4):
		return errors.New("the preferred source is of the other family than the route")
	}
	for _, h := range r.Hops {
		if h.Gateway.Is4() && r.Prefix.Family == prefix.IPv6 {
			return errors.New("an IPv6 route cannot have an IPv4 gateway")
		}
	}
	return nil
}

// appendRoute writes a message about a route that check finds sound. A removal
// names the route, and nothing of where it goes.
func appendRoute(b []byte, kind, flags uint16, seq uint32, protocol uint8, r *fib.Route) []byte {
	start := len(b)
	b = appendHeader(b, kind, flags|unix.NLM_F_REQUEST, seq)
	b = appendDestination(b, kind, protocol, r)
	if kind == unix.RTM_NEWROUTE && r.Action == fib.Unicast {
		if r.Source.IsValid() {
			b = appendAddr(b, unix.RTA_PREFSRC, r.Source)
		}
		switch {
		case r.Object != 0:
			b = appendUint32(b, routeObject, r.Object)
		case len(r.Hops) == 1:
			b = appendHop(b, r.Prefix.Family, r.Hops[0])
		default:
			b = appendMultipath(b, r)
		}
	}
	finish(b[start:])
	return b
}

// appendLeg writes a removal of one way of a route.
func appendLeg(b []byte, seq uint32, protocol uint8, r *fib.Route, h fib.Hop) []byte {
	start := len(b)
	b = appendHeader(b, unix.RTM_DELROUTE, unix.NLM_F_REQUEST, seq)
	b = appendDestination(b, unix.RTM_DELROUTE, protocol, r)
	b = appendHop(b, r.Prefix.Family, h)
	finish(b[start:])
	return b
}

// appendDestination writes the fixed part and what tells routes apart.
func appendDestination(b []byte, kind uint16, protocol uint8, r *fib.Route) []byte {
	table := uint8(unix.RT_TABLE_UNSPEC)
	if r.Table < 256 {
		table = uint8(r.Table)
	}
	// A removal is of any type and scope.
	action, scope, flags := uint8(unix.RTN_UNSPEC), uint8(unix.RT_SCOPE_NOWHERE), uint32(0)
	if kind == unix.RTM_NEWROUTE {
		action = [...]uint8{unix.RTN_UNICAST, unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT}[r.Action]
		scope = unix.RT_SCOPE_UNIVERSE
		if r.Action == fib.Unicast && r.Object == 0 && len(r.Hops) == 1 {
			if !r.Hops[0].Gateway.IsValid() {
				scope = unix.RT_SCOPE_LINK
			}
			if r.Hops[0].OnLink {
				flags = unix.RTNH_F_ONLINK
			}
		}
	}
	b = append(b, familyOf(r.Prefix.Family), r.Prefix.Bits, 0, 0, table, protocol, scope, action)
	b = native.AppendUint32(b, flags)
	if r.Prefix.Bits > 0 {
		b = appendAddr(b, unix.RTA_DST, r.Prefix.Addr())
	}
	b = appendUint32(b, unix.RTA_TABLE, r.Table)
	if m := metricOf(r); m != 0 {
		b = appendUint32(b, unix.RTA_PRIORITY, m)
	}
	return b
}

// appendHop writes the one way out of a route.
func appendHop(b []byte, f prefix.Family, h fib.Hop) []byte {
	if h.Gateway.IsValid() {
		b = appendGateway(b, f, h.Gateway)
	}
	if h.Link != 0 {
		b = appendUint32(b, unix.RTA_OIF, uint32(h.Link))
	}
	return b
}

func appendMultipath(b []byte, r *fib.Route) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	native.PutUint16(b[start+2:], unix.RTA_MULTIPATH)
	for _, h := range r.Hops {
		at := len(b)
		flags, weight := uint8(0), min(max(h.Weight, 1), 256)
		if h.OnLink {
			flags = unix.RTNH_F_ONLINK
		}
		b = append(b, 0, 0, flags, uint8(weight-1))
		b = native.AppendUint32(b, uint32(h.Link))
		if h.Gateway.IsValid() {
			b = appendGateway(b, r.Prefix.Family, h.Gateway)
		}
		native.PutUint16(b[at:], uint16(len(b)-at))
	}
	native.PutUint16(b[start:], uint16(len(b)-start))
	return b
}
