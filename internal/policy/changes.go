package policy

import (
	"fmt"
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
		say("as_path %q → %q", wire.PathText(before.ASPath), wire.PathText(after.ASPath))
	}
	if string(before.NextHop) != string(after.NextHop) || was.NextHop != is.NextHop && is.NextHop == NextHopAddress {
		a, _ := netip.AddrFromSlice(after.NextHop)
		say("next_hop set to %s", a)
	} else if was.NextHop != is.NextHop {
		say("next_hop set to %s", is.NextHop)
	}
	if before.Origin != after.Origin {
		say("origin %s → %s", wire.OriginName(before.Origin), wire.OriginName(after.Origin))
	}
	if was.Weight != is.Weight {
		say("weight %d → %d", was.Weight, is.Weight)
	}
	return out
}

// communityString is a community as parseCommunity reads it.
func communityString(k communityKind, b []byte) string {
	switch k {
	case standard:
		return wire.CommunityText(k.get(b)[0])
	case large:
		return wire.LargeAt(b).String()
	}
	return wire.ExtAt(b).String()
}
