package engine

import (
	"net/netip"
	"testing"

	"holdfast/internal/prefix"
)

// TestOwnAddress: what neighbors are told as our next hop.
func TestOwnAddress(t *testing.T) {
	v4, v6, link := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1")
	for _, c := range []struct {
		name         string
		local        netip.Addr // of the session
		v4, v6, link netip.Addr // that we have
		extNH        bool
		want4, want6 []netip.Addr
	}{
		{name: "one family each way", local: v4, v4: v4, v6: v6, want4: []netip.Addr{v4}, want6: []netip.Addr{v6}},
		{name: "RFC 8950 over IPv4", local: v4, v4: v4, v6: v6, extNH: true, want4: []netip.Addr{v4}, want6: []netip.Addr{v6}},
		{name: "over IPv6", local: v6, v4: v4, v6: v6, want4: []netip.Addr{v4}, want6: []netip.Addr{v6}},
		{name: "RFC 8950 over IPv6", local: v6, v4: v4, v6: v6, extNH: true, want4: []netip.Addr{v6}, want6: []netip.Addr{v6}},
		{name: "RFC 8950 over link-local", local: link, v4: v4, v6: v6, link: link, extNH: true,
			want4: []netip.Addr{v6, link}, want6: []netip.Addr{v6, link}},
		{name: "no IPv4", local: v6, v6: v6, want6: []netip.Addr{v6}},
		{name: "RFC 8950, no IPv4", local: v6, v6: v6, extNH: true, want4: []netip.Addr{v6}, want6: []netip.Addr{v6}},
	} {
		n := &neighbor{}
		n.est.Local, n.est.LinkLocal = netip.AddrPortFrom(c.local, 179), c.link
		n.est.NextHop = [prefix.Families]netip.Addr{prefix.IPv4: c.v4, prefix.IPv6: c.v6}
		n.est.Write.ExtNH = c.extNH
		for f, want := range [prefix.Families][]netip.Addr{prefix.IPv4: c.want4, prefix.IPv6: c.want6} {
			var b []byte
			for _, a := range want {
				b = append(b, a.AsSlice()...)
			}
			if got := ownAddress(n, prefix.Family(f)); string(got) != string(b) {
				t.Errorf("%s, %v: got % x, want %v", c.name, prefix.Family(f), got, want)
			}
		}
	}
}
