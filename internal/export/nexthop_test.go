package export

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

func addrs(list ...string) (b []byte) {
	for _, s := range list {
		b = append(b, netip.MustParseAddr(s).AsSlice()...)
	}
	return b
}

// TestThirdPartyNextHop: a group with a member on the link of the next hop, one
// on another link, and the router that is the next hop (RFC 4271 section 5.1.3,
// RFC 2545 section 3).
func TestThirdPartyNextHop(t *testing.T) {
	self := policy.Actions{NextHop: policy.NextHop{Mode: policy.NextHopSelf}}
	ours, both := "2001:db8::1", "2001:db8::1 fe80::1"
	for _, c := range []struct {
		name     string
		from     packet.ID
		nh, own  string // of the route, and ours
		kind     NextHopKind
		set      policy.Actions
		on, rest string // what the first member is told, and what the others
	}{
		{name: "from eBGP", from: 1, nh: "192.0.2.7", own: "192.0.2.1", on: "192.0.2.7", rest: "192.0.2.1"},
		{name: "from iBGP", from: 2, nh: "192.0.2.7", own: "192.0.2.1", on: "192.0.2.7", rest: "192.0.2.1"},
		{name: "on nobody's link", from: 1, nh: "192.168.0.7", own: "192.0.2.1", on: "192.0.2.1", rest: "192.0.2.1"},
		{name: "next_hop self", from: 1, nh: "192.0.2.7", own: "192.0.2.1", kind: NextHopSelf, on: "192.0.2.1", rest: "192.0.2.1"},
		{name: "the policy says self", from: 1, nh: "192.0.2.7", own: "192.0.2.1", set: self, on: "192.0.2.1", rest: "192.0.2.1"},
		{name: "IPv6, both addresses", from: 1, nh: "2001:db8::7 fe80::7", own: both, on: "2001:db8::7 fe80::7", rest: both},
		{name: "IPv6, global only", from: 1, nh: "2001:db8::7", own: ours, on: "2001:db8::7", rest: ours},
		{name: "IPv6, its link-local is unknown", from: 1, nh: "2001:db8::7", own: both, on: "2001:db8::7", rest: ours},
		{name: "IPv6, we have no link-local", from: 1, nh: "2001:db8::7 fe80::7", own: ours, on: "2001:db8::7", rest: ours},
		{name: "IPv6, unchanged", from: 1, nh: "2001:db8::7 fe80::7", own: both, kind: NextHopUnchanged,
			on: "2001:db8::7 fe80::7", rest: "2001:db8::7 fe80::7"},
		{name: "IPv6, unchanged, on nobody's link", from: 1, nh: "2001:db8:1::7 fe80::7", own: both, kind: NextHopUnchanged,
			on: "2001:db8:1::7", rest: "2001:db8:1::7"},
		{name: "IPv6, on nobody's link", from: 1, nh: "2001:db8:1::7", own: both, on: both, rest: both},
	} {
		nh, own := addrs(strings.Fields(c.nh)...), addrs(strings.Fields(c.own)...)
		dest, link, other := "203.0.113.0/24", "192.0.2.0/24", "198.51.100.0/24"
		if len(nh) > 4 {
			dest, link, other = "2001:db8:ff::/48", "2001:db8::/64", "2001:db8:2::/64"
		}
		p := prefix.MustParse(dest)
		l := newLab(t, p.Family)
		program, err := policy.Compile([]*policy.Policy{{Rules: []policy.Rule{{Set: c.set, Then: policy.Accept}}}}, policy.Context{ASN: 65000})
		if err != nil {
			t.Fatal(err)
		}
		g := NewGroup(&l.env, Params{Family: p.Family, EBGP: true, AS4: true, LocalASN: 65000, NextHop: c.kind,
			NextHopLen: uint8(len(own)), Policy: "all"}, program, 1)
		sinks, members := []*sink{newSink(t, 5), newSink(t, 6), newSink(t, 7)}, []*Member{}
		for i, s := range sinks {
			tell := &packet.NextHop{Own: own, Link: netip.MustParsePrefix([]string{link, other, link}[i])}
			if i == 2 {
				tell.Peer = netip.MustParseAddr(strings.Fields(c.nh)[0])
			}
			members = append(members, g.Join(s.id, s, tell))
		}
		l.set(c.from, dest, wire.Attrs{ASPath: path(65001), NextHop: nh, Has: wire.HasLocalPref})
		l.sync(g)
		for i, m := range members {
			want := addrs(strings.Fields([]string{c.on, c.rest, c.rest}[i])...)
			sinks[i].want(fmt.Sprintf("%s, member %d", c.name, i),
				fmt.Sprintf("+ %s: path [65000 65001] via %x", dest, want), "end of "+p.Family.String())
			m.Sent(l.env.Table.Lookup(p), func(s SentRoute) {
				if a := m.Attrs(s.Block); string(a.NextHop) != string(want) {
					t.Errorf("%s, member %d: shown as % x", c.name, i, a.NextHop)
				}
			})
		}
	}
}
