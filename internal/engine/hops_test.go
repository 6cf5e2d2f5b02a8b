package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"holdfast/internal/fib"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// farRoute is a route of neighbor i with a next hop that is on no link.
func farRoute(i int, hop string, path ...uint32) wire.Attrs {
	a := route(i, path...)
	a.NextHop = netip.MustParseAddr(hop).AsSlice()
	return a
}

// internalDesk has n iBGP neighbors and one more, and ways to 192.0.2.1 to 192.0.2.4 that cost
// 10, 20, 30 and 40.
func internalDesk(t *testing.T, n int) *kernelDesk {
	cfg := withKernel(ebgpConfig(t, n+1))
	for i := range n {
		ibgp(t, &cfg.Neighbors[i])
	}
	d := newKernelDesk(t, cfg)
	d.core.KernelNews(waysThatCost())
	return d
}

func waysThatCost() fib.Event {
	return fib.Event{Routes: []fib.Foreign{via("192.0.2.1/32", "10.1.3.1", 3, 10), via("192.0.2.2/32", "10.1.3.2", 3, 20),
		via("192.0.2.3/32", "10.1.3.3", 3, 30), via("192.0.2.4/32", "10.1.3.4", 3, 40)}}
}

// dearer makes the way to 192.0.2.1 cost 50.
func (d *kernelDesk) dearer() {
	d.core.KernelNews(fib.Event{Lost: []fib.Foreign{via("192.0.2.1/32", "10.1.3.1", 3, 10)}, Routes: []fib.Foreign{via("192.0.2.1/32", "10.1.3.1", 3, 50)}})
}

// TestReplacedBeforeWalk: what comes between a change of next hops and the walk
// about it is compared with all paths, as the best one need not be it any more.
func TestReplacedBeforeWalk(t *testing.T) {
	d := internalDesk(t, 2)
	d.announce(1, "10.8.0.0/16", farRoute(1, "192.0.2.1", 7))
	d.announce(2, "10.8.0.0/16", farRoute(2, "192.0.2.2", 7))
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.3.1 link 3")
	d.dearer()
	d.announce(1, "10.8.0.0/16", farRoute(1, "192.0.2.4", 7))
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.3.2 link 3")
	d.empty()
}

// TestWithdrawnBeforeWalk: the same with a third path, and the end of the first.
func TestWithdrawnBeforeWalk(t *testing.T) {
	d := internalDesk(t, 3)
	d.announce(1, "10.8.0.0/16", farRoute(1, "192.0.2.1", 7))
	d.announce(2, "10.8.0.0/16", farRoute(2, "192.0.2.2", 7))
	d.settle()
	d.dearer()
	d.announce(3, "10.8.0.0/16", farRoute(3, "192.0.2.4", 7))
	d.withdraw(1, "10.8.0.0/16")
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.3.2 link 3")
	d.empty()
}

// TestOwnAddressAsNextHop: no route of ours leads to our own address.
func TestOwnAddressAsNextHop(t *testing.T) {
	d := internalDesk(t, 2)
	d.announce(2, "10.1.0.0/16", farRoute(2, "192.0.2.2", 7))
	d.announce(2, "10.8.0.0/16", farRoute(2, "10.1.1.1", 7)) // of another session's
	d.settle()
	d.wantKernel("254 10.1.0.0/16 metric 20 unicast via 10.1.3.2 link 3")
	d.want(3, "10.8.0.0/16", false)
	d.empty()
}

// TestNextHopThatIsDropped: a route of ours that drops packets hides shorter ones.
func TestNextHopThatIsDropped(t *testing.T) {
	d := internalDesk(t, 1)
	d.announce(1, "198.51.0.0/16", farRoute(1, "192.0.2.2", 7))
	d.announce(1, "10.8.0.0/16", farRoute(1, "198.51.100.1", 7))
	d.settle()
	d.want(2, "10.8.0.0/16", true)
	d.edit(func(c *Config) { c.Static = []Static{{Prefix: prefix.MustParse("198.51.100.0/24"), Discard: true}} })
	d.settle()
	d.want(2, "10.8.0.0/16", false)
	d.wantKernel("254 198.51.0.0/16 metric 20 unicast via 10.1.3.2 link 3", "254 198.51.100.0/24 metric 4294967294 blackhole")
	d.empty()
}

// TestResolveElsewhere: next hops are looked at again when a new configuration
// resolves them by other tables.
func TestResolveElsewhere(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 1)))
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.edit(func(c *Config) {
		c.Tables = slices.Clone(c.Tables)
		c.Tables[0].Resolve = []uint32{100}
	})
	d.settle()
	d.wantKernel()
	d.empty()
}

// TestCarrier: a link that comes or goes is news for the routes over it, of which
// the kernel says nothing then.
func TestCarrier(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 1))
	cfg.Originate = []Origination{{Prefix: prefix.MustParse("10.31.0.0/16"), WhileInKernel: fib.MainTable}}
	cfg.Tables[0].Redistribute = program(t, &policy.Policy{Name: "r", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Accept, policy.Condition{Kind: policy.CondPrefixLength, Ranges: []policy.Range{{Min: 16, Max: 16}}})}}, nil)
	d := newKernelDesk(t, cfg)
	link := func(name string, index int, up bool) {
		d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: index, Name: name, Up: up}}})
		d.settle()
	}
	two := via("10.42.0.0/16", "10.1.2.9", 2, 0)
	two.Hops = append(two.Hops, fib.Hop{Link: 3, Gateway: netip.MustParseAddr("10.1.3.9")})
	link("eth1", 3, false)
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{connected("10.31.0.0/16", 3), connected("10.41.0.0/16", 3), two}})
	d.settle()
	want := func(on, both bool) {
		t.Helper()
		d.want(1, "10.31.0.0/16", on)
		d.want(1, "10.41.0.0/16", on)
		d.want(1, "10.42.0.0/16", both)
	}
	want(false, true)
	link("eth1", 3, true)
	want(true, true)
	link("eth0", 2, false)
	if id := d.core.tables[0][prefix.IPv4].Lookup(prefix.MustParse("10.42.0.0/16")); id == 0 || d.core.tables[0][prefix.IPv4].Best(id) == nil {
		t.Error("the other way of a kernel route is not seen")
	}
	link("eth0", 2, true)
	want(true, true)
	link("eth1", 3, false)
	want(false, true)
	d.core.KernelNews(snapshot())
	d.empty()
}

// TestLinkLocalNextHop: a link-local next hop belongs to the interface of the
// session, and goes with it; where a global one comes along, the neighbor is
// reached by the other one all the same (RFC 2545 section 3). IPv4 goes over it
// as well (RFC 8950).
func TestLinkLocalNextHop(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	up := func(zone string) {
		d.upWith(1, func(e *session.Established) {
			e.Interface = zone
			e.Read.ExtNH = true
		})
	}
	send := func(p string, hop ...string) {
		var b []byte
		for _, h := range hop {
			b = append(b, netip.MustParseAddr(h).AsSlice()...)
		}
		a, x := route(1, 65001), prefix.MustParse(p)
		a.NextHop = b
		d.core.Messages(1, mpUpdate(x, a))
	}
	all := func() {
		send("2001:db8:8::/48", "2001:db8::1:2", "fe80::2")
		send("2001:db8:9::/48", "fe80::2")
		send("10.8.0.0/16", "2001:db8::1:2", "fe80::2")
		d.settle()
	}
	by := func(link string) {
		t.Helper()
		d.wantKernel("254 2001:db8:8::/48 metric 20 unicast via fe80::2 link "+link, "254 2001:db8:9::/48 metric 20 unicast via fe80::2 link "+link,
			"254 10.8.0.0/16 metric 20 unicast via fe80::2 link "+link)
	}
	d.down(1)
	up("eth0")
	all()
	by("2")
	d.down(1)
	up("eth1") // the routes of the session before are still in the table
	all()
	by("3")
	d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: 7, Name: "eth1", Up: true}}, Gone: []int{3}}) // made anew
	d.settle()
	by("7")
	d.down(1)
	up("") // not on a link any more
	all()
	d.wantKernel("254 2001:db8:8::/48 metric 20 unicast via 2001:db8::1:2 link 2", "254 10.8.0.0/16 metric 20 unicast via 2001:db8::1:2 link 2")
	d.empty()
}

// mpUpdate announces a prefix of any family with MP_REACH_NLRI.
func mpUpdate(p prefix.Prefix, a wire.Attrs) []byte {
	attrs := a.Append(nil, true)
	reach := binary.BigEndian.AppendUint16(nil, p.Family.AFI())
	reach = append(append(append(reach, 1, byte(len(a.NextHop))), a.NextHop...), 0)
	reach = wire.AppendPrefix(reach, p)
	attrs = append(append(attrs, 0x80, 14, byte(len(reach))), reach...)
	body := append(append([]byte{0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(attrs)))...), attrs...)
	m := bytes.Repeat([]byte{0xff}, 16)
	return append(append(binary.BigEndian.AppendUint16(m, uint16(wire.HeaderLen+len(body))), wire.MsgUpdate), body...)
}

// TestLeadsOn: what leads by next hops one behind the other follows them all, also
// when one of them is given up and its number used again.
func TestLeadsOn(t *testing.T) {
	d := internalDesk(t, 2)
	d.announce(1, "198.51.0.0/16", farRoute(1, "192.0.2.1", 7))
	d.announce(1, "203.0.113.0/24", farRoute(1, "198.51.100.1", 7))
	d.announce(2, "10.8.0.0/16", farRoute(2, "203.0.113.1", 7))
	d.settle()
	by := func(gateway string) {
		t.Helper()
		d.wantKernel("254 198.51.0.0/16 metric 20 unicast via "+gateway+" link 3", "254 203.0.113.0/24 metric 20 unicast via "+gateway+" link 3",
			"254 10.8.0.0/16 metric 20 unicast via "+gateway+" link 3")
	}
	by("10.1.3.1")
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("192.0.2.1/32", "10.1.3.77", 3, 10)}})
	d.settle()
	by("10.1.3.77")
	d.announce(1, "198.51.0.0/16", farRoute(1, "192.0.2.2", 7))
	d.settle()
	by("10.1.3.2")
	d.withdraw(1, "198.51.0.0/16")
	d.announce(1, "10.9.0.0/16", farRoute(1, "192.0.2.3", 7))
	d.settle()
	d.wantKernel("254 10.9.0.0/16 metric 20 unicast via 10.1.3.3 link 3")
	for i := range d.core.hops.list {
		if h := &d.core.hops.list[i]; h.leads != 0 || h.via != 0 {
			t.Errorf("next hop %v leads to %d others, by %d", h.addr, h.leads, h.via)
		}
	}
	d.empty()
}

// TestNextHopsThatNeverRest do not keep other work from being done.
func TestNextHopsThatNeverRest(t *testing.T) {
	d := internalDesk(t, 1)
	d.core.pace.walk = 1
	for _, p := range []string{"10.8.0.0/16", "10.9.0.0/16"} {
		d.announce(1, p, farRoute(1, "192.0.2.1", 7))
	}
	d.settle()
	d.edit(func(c *Config) {
		c.Neighbors[0].Families[prefix.IPv4].Import = program(t, &policy.Policy{Name: "none", Rules: []policy.Rule{rule(policy.Actions{}, policy.Reject)}}, nil)
	})
	for i := range 100 {
		d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("192.0.2.1/32", fmt.Sprintf("10.1.3.%d", 1+i%2), 3, 10)}})
		d.core.Work()
	}
	if n := d.core.neighbors[1].counts[prefix.IPv4].accepted; n != 0 {
		t.Errorf("%d routes are still accepted by the old policy", n)
	}
	d.settle()
	d.empty()
}

// TestLowerMEDDearerWay: a neighbor's path that takes the place of its best one is
// not better for a MED that is compared with no other.
func TestLowerMEDDearerWay(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	d.core.KernelNews(waysThatCost())
	med := func(hop string, med uint32) wire.Attrs {
		a := farRoute(2, hop, 65002, 7)
		a.Has, a.MED = a.Has|wire.HasMED, med
		return a
	}
	d.announce(1, "10.8.0.0/16", farRoute(1, "192.0.2.2", 65001, 7))
	d.announce(2, "10.8.0.0/16", med("192.0.2.1", 2))
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.3.1 link 3")
	d.announce(2, "10.8.0.0/16", med("192.0.2.3", 1))
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.3.2 link 3")
	d.empty()
}
