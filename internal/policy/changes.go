package policy

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"holdfast/internal/wire"
)

// changes says in words what differs.
func changes(before, after *wire.Attrs, was, is Result) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	number := func(name string, bit uint16, old, now uint32) {
		had, has := before.Has&bit != 0, after.Has&bit != 0
		switch {
		case had && !has:
			say("%s %d removed", name, old)
		case !had && has:
			say("%s set to %d", name, now)
		case has && old != now:
			say("%s %d → %d", name, old, now)
		}
	}
	number("local_pref", wire.HasLocalPref, before.LocalPref, after.LocalPref)
	number("med", wire.HasMED, before.MED, after.MED)
	old, now := communities(before), communities(after)
	for k := range communityKinds {
		n := k.size()
		for l := old[k]; len(l) >= n; l = l[n:] {
			if !contains(now[k], l[:n]) {
				say("community %s removed", communityString(k, l[:n]))
			}
		}
		for l := now[k]; len(l) >= n; l = l[n:] {
			if !contains(old[k], l[:n]) {
				say("community %s added", communityString(k, l[:n]))
			}
		}
	}
	if len(before.IPv6Communities) > len(after.IPv6Communities) {
		say("IPv6 communities removed")
	}
	if string(before.ASPath) != string(after.ASPath) {
		say("as_path %q → %q", pathString(before.ASPath), pathString(after.ASPath))
	}
	if string(before.NextHop) != string(after.NextHop) || was.NextHop != is.NextHop && is.NextHop == NextHopAddress {
		a, _ := netip.AddrFromSlice(after.NextHop)
		say("next_hop set to %s", a)
	} else if was.NextHop != is.NextHop {
		say("next_hop set to %s", is.NextHop)
	}
	if before.Origin != after.Origin {
		say("origin %s → %s", originName(before.Origin), originName(after.Origin))
	}
	if was.Weight != is.Weight {
		say("weight %d → %d", was.Weight, is.Weight)
	}
	return out
}

func originName(o uint8) string {
	switch o {
	case wire.OriginIGP:
		return "igp"
	case wire.OriginEGP:
		return "egp"
	}
	return "incomplete"
}

// communityString is a community as ParseCommunity reads it.
func communityString(k communityKind, b []byte) string {
	c := k.get(b)
	switch k {
	case standard:
		return fmt.Sprintf("%d:%d", c[0]>>16, c[0]&math.MaxUint16)
	case large:
		return fmt.Sprintf("%d:%d:%d", c[0], c[1], c[2])
	}
	if name, ok := map[uint32]string{0x02: "rt", 0x03: "soo"}[c[0]>>16&math.MaxUint8]; ok {
		admin, local := c[0]<<16|c[1]>>16, c[1]&math.MaxUint16
		switch {
		case c[0]>>24 == twoByteAS:
			return fmt.Sprintf("%s:%d:%d", name, c[0]&math.MaxUint16, c[1])
		case c[0]>>24 == address:
			return fmt.Sprintf("%s:%s:%d", name, netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, admin))), local)
		case c[0]>>24 == fourByteAS && admin > math.MaxUint16:
			return fmt.Sprintf("%s:%d:%d", name, admin, local)
		}
	}
	return fmt.Sprintf("0x%08x%08x", c[0], c[1])
}
