package kernel

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

var native = binary.NativeEndian

// message is one of netlink.
type message struct {
	kind, flags uint16
	seq, pid    uint32
	body        []byte
}

// protocolAt is where a route message has its protocol.
const protocolAt = 5

// protocol is whose route a route message is about.
func (m *message) protocol() uint8 {
	if len(m.body) < unix.SizeofRtMsg {
		return 0
	}
	return m.body[protocolAt]
}

// errno is the result in an acknowledgment or at the end of a dump.
func (m *message) errno() unix.Errno {
	if len(m.body) < 4 {
		return 0
	}
	return unix.Errno(-int32(native.Uint32(m.body)))
}

// reason is the kernel's own text about an error, if it has one.
func (m *message) reason() string {
	const head = 4 + unix.SizeofNlMsghdr // the result, and the message that it is about without its body
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.body) < head {
		return ""
	}
	rest := m.body[head:]
	if m.flags&unix.NLM_F_CAPPED == 0 {
		n := int(native.Uint32(m.body[4:])) - unix.SizeofNlMsghdr
		if n < 0 || n > len(rest) {
			return ""
		}
		rest = rest[min(align(n), len(rest)):]
	}
	for kind, v := range attributes(rest) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			return text(v)
		}
	}
	return ""
}

// nestedMask leaves the kind of an attribute without its flags.
const nestedMask = 1<<14 - 1

func align(n int) int { return (n + 3) &^ 3 }

// messages takes what was received apart; it stops at what makes no sense.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			n := int(native.Uint32(b))
			if n < unix.SizeofNlMsghdr || n > len(b) {
				return
			}
			m := message{native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), native.Uint32(b[12:]), b[unix.SizeofNlMsghdr:n]}
			if !yield(m) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// attributes are the kinds and values behind a fixed part.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(native.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			if !yield(native.Uint16(b[2:])&nestedMask, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// uint32Of is a number, 0 where it is cut.
func uint32Of(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return native.Uint32(b)
}

// text is a string that ends in NUL.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// route is a route as the kernel tells it.
type route struct {
	fib.Foreign
	kind uint8 // rtm_type
	// special: it is not for all packets to its prefix, or not a route at all
	// but one that the kernel remembers.
	special bool
	// object: its ways out are in a nexthop object, and not here.
	object  bool
	nexthop uint32 // the object
}

// ordinary reports whether it is a route as package fib knows them.
func (r *route) ordinary() bool {
	if r.special || r.Table == unix.RT_TABLE_LOCAL {
		return false
	}
	_, ok := actionOf(r.kind)
	return ok && (r.Action != fib.Unicast || len(r.Hops) > 0 || r.Object != 0)
}

// shared makes a route of ours one through our object, where it has one. What the
// kernel tells of its ways would be those of the object now.
func (r *route) shared(protocol uint8) {
	if r.Protocol == protocol && ourObject(r.nexthop) && r.Action == fib.Unicast {
		r.Object, r.Hops, r.object = r.nexthop, nil, false
	}
}

func actionOf(kind uint8) (fib.Action, bool) {
	switch kind {
	case unix.RTN_UNICAST:
		return fib.Unicast, true
	case unix.RTN_BLACKHOLE:
		return fib.Blackhole, true
	case unix.RTN_UNREACHABLE:
		return fib.Unreachable, true
	case unix.RTN_PROHIBIT:
		return fib.Prohibit, true
	}
	return 0, false
}

// parse reads the body of a route message. The hops are new memory.
func (r *route) parse(b []byte) bool {
	*r = route{}
	if len(b) < unix.SizeofRtMsg {
		return false
	}
	var family prefix.Family
	switch b[0] {
	case unix.AF_INET:
		family = prefix.IPv4
	case unix.AF_INET6:
		family = prefix.IPv6
	default:
		return false
	}
	bits, flags := b[1], native.Uint32(b[8:])
	if bits > family.MaxBits() {
		return false
	}
	r.Table, r.Protocol, r.Scope, r.kind = uint32(b[4]), b[protocolAt], b[6], b[7]
	r.special = b[2] != 0 || b[3] != 0 || flags&unix.RTM_F_CLONED != 0
	r.Action, _ = actionOf(r.kind)
	r.Prefix = prefix.Prefix{Bits: bits, Family: family}
	var hop fib.Hop
	var single bool
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			if a, ok := netip.AddrFromSlice(v); ok && a.BitLen() == int(family.MaxBits()) {
				r.Prefix = prefix.FromNetip(netip.PrefixFrom(a, int(bits)))
			}
		case unix.RTA_TABLE:
			r.Table = uint32Of(v)
		case unix.RTA_PRIORITY:
			r.Metric = uint32Of(v)
		case unix.RTA_PREFSRC:
			r.Source, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			hop.Link, single = int(uint32Of(v)), true
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			hop.Gateway, single = gateway(kind, v), true
		case unix.RTA_MULTIPATH:
			r.Hops = hops(v)
		case routeObject:
			r.nexthop = uint32Of(v)
		}
	}
	switch {
	case r.Action != fib.Unicast:
		r.Hops = nil // IPv6 puts the loopback there
	case r.Hops == nil && single:
		hop.OnLink = flags&unix.RTNH_F_ONLINK != 0
		r.Hops = []fib.Hop{hop}
	}
	r.object = r.nexthop != 0 && len(r.Hops) == 0
	return true
}

// gateway reads RTA_GATEWAY or RTA_VIA, which begins with a family.
func gateway(kind uint16, v []byte) netip.Addr {
	if kind == unix.RTA_VIA {
		v = v[min(2, len(v)):]
	}
	a, _ := netip.AddrFromSlice(v)
	return a
}

// hops reads RTA_MULTIPATH.
func hops(b []byte) []fib.Hop {
	var all []fib.Hop
	for len(b) >= unix.SizeofRtNexthop {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			break
		}
		h := fib.Hop{Link: int(int32(native.Uint32(b[4:]))), Weight: uint16(b[3]) + 1, OnLink: b[2]&unix.RTNH_F_ONLINK != 0}
		for kind, v := range attributes(b[unix.SizeofRtNexthop:n]) {
			if kind == unix.RTA_GATEWAY || kind == unix.RTA_VIA {
				h.Gateway = gateway(kind, v)
			}
		}
		all = append(all, h)
		b = b[min(align(n), len(b)):]
	}
	return all
}

// parseLink reads an interface; admin is whether it is meant to be up. News of
// a bridge about its ports come in the same kind of message, and are none.
func parseLink(b []byte) (l fib.Link, admin, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return l, false, false
	}
	flags := native.Uint32(b[8:])
	admin = flags&unix.IFF_UP != 0
	l.Index = int(int32(native.Uint32(b[4:])))
	l.Up = admin && flags&unix.IFF_RUNNING != 0
	for kind, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = text(v)
		case unix.IFLA_MTU:
			l.MTU = int(uint32Of(v))
		case unix.IFLA_MASTER:
			l.Master = int(uint32Of(v))
		case unix.IFLA_ADDRESS:
			l.MAC = append([]byte(nil), v...)
		}
	}
	return l, admin, l.Name != ""
}

// parseAddress reads an address of an interface.
func parseAddress(b []byte) (fib.Address, bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return fib.Address{}, false
	}
	flags := uint32(b[2])
	// IFA_LOCAL is the own one where IFA_ADDRESS is the far end.
	var addr, local netip.Addr
	for kind, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(v)
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS:
			flags = uint32Of(v)
		}
	}
	if local.IsValid() {
		addr = local
	}
	a := fib.Address{
		Link:      int(native.Uint32(b[4:])),
		Prefix:    netip.PrefixFrom(addr, int(b[1])),
		Tentative: flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && flags&unix.IFA_F_OPTIMISTIC == 0,
	}
	return a, a.Prefix.IsValid()
}

// neighborStates are the names of the kernel's states.
var neighborStates = map[uint16]string{
	unix.NUD_INCOMPLETE: "incomplete", unix.NUD_REACHABLE: "reachable", unix.NUD_STALE: "stale", unix.NUD_DELAY: "delay",
	unix.NUD_PROBE: "probe", unix.NUD_FAILED: "failed", unix.NUD_PERMANENT: "permanent",
}

// parseNeighbor reads an entry of the neighbor tables; those that nobody asked
// for, as multicast addresses, are left out.
func parseNeighbor(b []byte) (n Neighbor, ok bool) {
	if len(b) < unix.SizeofNdMsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return n, false
	}
	n.Link = int(int32(native.Uint32(b[4:])))
	n.State = neighborStates[native.Uint16(b[8:])]
	for kind, v := range attributes(b[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_DST:
			n.Addr, _ = netip.AddrFromSlice(v)
		case unix.NDA_LLADDR:
			n.MAC = append([]byte(nil), v...)
		}
	}
	return n, n.State != "" && n.Addr.IsValid()
}
