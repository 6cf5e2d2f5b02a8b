package engine

import (
	"net/netip"
	"testing"

	"holdfast/internal/export"
	"holdfast/internal/policy"
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

// TestNextHopOnImport: what an import policy says about the next hop, as it is
// stored and as others are told.
func TestNextHopOnImport(t *testing.T) {
	const came, set = "10.1.1.2", "192.0.2.66"
	own := func(i byte) string { return netip.AddrFrom4([4]byte{10, 1, i, 1}).String() }
	for _, c := range []struct {
		mode      policy.NextHopMode
		stored    string
		discard   bool
		auto, ask string // to an eBGP neighbor, and to one with next_hop = "unchanged"
		internal  string
		byPolicy  string // to one whose export policy says unchanged
	}{
		{policy.NextHopDefault, came, false, own(2), came, came, came},
		{policy.NextHopUnchanged, came, false, own(2), came, came, came},
		{policy.NextHopAddress, set, false, own(2), set, set, set},
		{policy.NextHopSelf, came, false, own(2), own(3), own(4), came},
		{policy.NextHopDiscard, came, true, own(2), own(3), own(4), came},
	} {
		cfg := ebgpConfig(t, 5)
		p := &policy.Policy{Name: "in", Rules: []policy.Rule{rule(policy.Actions{NextHop: policy.NextHop{Mode: c.mode, IPv4: netip.MustParseAddr(set)}}, policy.Accept)}}
		cfg.Neighbors[0].Families[prefix.IPv4].Import = program(t, p, &cfg.Neighbors[0].Source)
		cfg.Neighbors[2].Families[prefix.IPv4].NextHop = export.NextHopUnchanged
		ibgp(t, &cfg.Neighbors[3])
		// It changes something else too.
		keeps := nextHop(policy.NextHopUnchanged)
		keeps.AddCommunities = communities("65000:9")
		cfg.Neighbors[4].Families[prefix.IPv4].Export = program(t, &policy.Policy{Name: "out", Rules: []policy.Rule{rule(keeps, policy.Accept)}}, nil)
		d := newDesk(t, cfg)
		d.announce(1, "203.0.113.0/24", route(1, 65001))
		d.settle()
		r := asked(t, d.core, Query{Family: prefix.IPv4})[0]
		if a, _ := netip.AddrFromSlice(r.Attrs.NextHop); a.String() != c.stored || r.Discard != c.discard {
			t.Errorf("%s: stored with %s, discarded: %v", c.mode, a, r.Discard)
		}
		for i, want := range map[int]string{2: c.auto, 3: c.ask, 4: c.internal, 5: c.byPolicy} {
			if a, _ := netip.AddrFromSlice(d.want(i, "203.0.113.0/24", true).NextHop); a.String() != want {
				t.Errorf("%s: neighbor %d is told %s, want %s", c.mode, i, a, want)
			}
		}
		d.empty()
	}
}

// TestNextHopOfOtherChanges: an export policy that changes something else leaves
// what the import policy said.
func TestNextHopOfOtherChanges(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	self := &policy.Policy{Name: "in", Rules: []policy.Rule{rule(nextHop(policy.NextHopSelf), policy.Accept)}}
	cfg.Neighbors[0].Families[prefix.IPv4].Import = program(t, self, &cfg.Neighbors[0].Source)
	to := &cfg.Neighbors[1].Families[prefix.IPv4]
	to.NextHop = export.NextHopUnchanged
	to.Export = program(t, &policy.Policy{Name: "out", Rules: []policy.Rule{rule(policy.Actions{AddCommunities: communities("65000:9")}, policy.Accept)}}, nil)
	d := newDesk(t, cfg)
	d.announce(1, "203.0.113.0/24", route(1, 65001))
	d.settle()
	if a := d.want(2, "203.0.113.0/24", true); !has(&a, 65000, 9) || a.NextHop[2] != 2 {
		t.Errorf("sent with %s", text(&a))
	}
}
