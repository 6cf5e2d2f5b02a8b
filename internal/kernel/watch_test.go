//go:build interop

package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

func snapshot(e fib.Event) bool { return e.Snapshot }

// named finds a link of an event.
func named(e fib.Event, name string) (fib.Link, bool) {
	i := slices.IndexFunc(e.Links, func(l fib.Link) bool { return l.Name == name })
	if i < 0 {
		return fib.Link{}, false
	}
	return e.Links[i], true
}

// routeTo finds a route of an event.
func routeTo(routes []fib.Foreign, p string) (fib.Foreign, bool) {
	want := prefix.MustParse(p)
	i := slices.IndexFunc(routes, func(f fib.Foreign) bool { return f.Prefix == want })
	if i < 0 {
		return fib.Foreign{}, false
	}
	return routes[i], true
}

func TestSnapshot(t *testing.T) {
	world(t)
	sh(t, `ip route add 198.51.100.0/24 via 10.1.0.2 proto static metric 7
		ip route add blackhole 203.0.113.0/24 table 1000
		ip route add 192.0.2.0/24 proto 11 nexthop via 10.1.0.2 weight 3 nexthop via 10.2.0.2
		ip -6 route add 2001:db8:100::/48 proto 11 nexthop via 2001:db8:1::2 weight 3 nexthop via 2001:db8:2::2
		ip route add 192.0.2.128/25 via 10.1.0.2 tos 0x10`)
	k := open(t)
	mustWrite(t, k, put("198.18.0.0/15", "10.1.0.2"))
	e := watchOf(t, k).next("a snapshot", snapshot)

	a0, ok := named(e, "a0")
	if !ok || !a0.Up || a0.MTU != 1500 || len(a0.MAC) != 6 || a0.Index != link(t, "a0") {
		t.Errorf("a0 is %+v", a0)
	}
	if lo, _ := named(e, "lo"); !lo.Up {
		t.Errorf("lo is %+v", lo)
	}
	for _, a := range []string{"10.1.0.1/24", "2001:db8:1::1/64"} {
		if !slices.Contains(e.Addrs, fib.Address{Link: a0.Index, Prefix: netip.MustParsePrefix(a)}) {
			t.Errorf("no %s in %+v", a, e.Addrs)
		}
	}
	for _, p := range []string{"10.1.0.0/24", "2001:db8:1::/64"} {
		if r, ok := routeTo(e.Routes, p); !ok || !r.Connected() {
			t.Errorf("%s is %+v", p, r)
		}
	}
	if r, ok := routeTo(e.Routes, "198.51.100.0/24"); !ok || r.Protocol != unix.RTPROT_STATIC || r.Metric != 7 || r.Table != fib.MainTable || len(r.Hops) != 1 ||
		r.Hops[0] != (fib.Hop{Gateway: netip.MustParseAddr("10.1.0.2"), Link: a0.Index}) {
		t.Errorf("%+v", r)
	}
	if r, ok := routeTo(e.Routes, "203.0.113.0/24"); !ok || r.Action != fib.Blackhole || r.Table != 1000 {
		t.Errorf("%+v", r)
	}
	for _, p := range []string{"192.0.2.0/24", "2001:db8:100::/48"} {
		if r, ok := routeTo(e.Routes, p); !ok || len(r.Hops) != 2 || r.Hops[0].Weight != 3 || r.Hops[1].Weight != 1 {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range e.Routes {
		if r.Table == unix.RT_TABLE_LOCAL || r.Protocol == k.Protocol || r.Prefix.Bits == 25 {
			t.Errorf("%+v should not be told of", r)
		}
	}
}

func TestNews(t *testing.T) {
	world(t)
	k := open(t)
	w := watchOf(t, k)
	first := w.next("a snapshot", snapshot)
	a0, _ := named(first, "a0")

	for family, c := range map[string]struct{ p, one, two string }{
		"-4": {"198.51.100.0/24", "10.1.0.2", "10.2.0.2"}, "-6": {"2001:db8:100::/48", "2001:db8:1::2", "2001:db8:2::2"},
	} {
		via := func(n int, gateways ...string) func(fib.Event) bool {
			return func(e fib.Event) bool {
				r, ok := routeTo(e.Routes, c.p)
				for i, g := range gateways {
					ok = ok && len(r.Hops) == n && r.Hops[i].Gateway == netip.MustParseAddr(g)
				}
				return ok
			}
		}
		lost := func(e fib.Event) bool { _, ok := routeTo(e.Lost, c.p); return ok }
		sh(t, fmt.Sprintf("ip %s route add %s via %s", family, c.p, c.one))
		w.next("a route", via(1, c.one))
		sh(t, fmt.Sprintf("ip %s route replace %s via %s", family, c.p, c.two))
		w.next("a replacement", via(1, c.two))
		sh(t, fmt.Sprintf("ip %s route replace %s nexthop via %s nexthop via %s", family, c.p, c.one, c.two))
		w.next("a second way", via(2, c.one, c.two))
		sh(t, fmt.Sprintf("ip %s route del %s", family, c.p))
		w.next("the end of the route", lost)

		// Two routes that nothing but their ways tells apart: when one goes, the
		// other is what counts.
		sh(t, fmt.Sprintf("ip %s route append %s via %s; ip %s route append %s via %s", family, c.p, c.one, family, c.p, c.two))
		sh(t, fmt.Sprintf("ip %s route del %s via %s", family, c.p, c.one))
		w.next("what is left", func(e fib.Event) bool { return e.Snapshot && via(1, c.two)(e) })
		sh(t, fmt.Sprintf("ip %s route del %s", family, c.p))
		w.next("the end of what is left", lost)
	}

	sh(t, "ip addr add 10.1.0.77/24 dev a0")
	want := fib.Address{Link: a0.Index, Prefix: netip.MustParsePrefix("10.1.0.77/24")}
	w.next("an address", func(e fib.Event) bool { return slices.Contains(e.Addrs, want) })
	sh(t, "ip addr del 10.1.0.77/24 dev a0")
	w.next("the end of the address", func(e fib.Event) bool { return slices.Contains(e.AddrGone, want) })
	w.next("a snapshot, as routes may have gone with it", snapshot)

	sh(t, "echo 1 >/proc/sys/net/ipv6/conf/a0/accept_dad; ip -6 addr add 2001:db8:1::77/64 dev a0")
	for _, tentative := range []bool{true, false} {
		want := fib.Address{Link: a0.Index, Prefix: netip.MustParsePrefix("2001:db8:1::77/64"), Tentative: tentative}
		w.next(fmt.Sprint("an address with tentative = ", tentative), func(e fib.Event) bool { return slices.Contains(e.Addrs, want) })
	}

	sh(t, "ip link set a0 mtu 1400")
	w.next("an MTU", func(e fib.Event) bool { l, _ := named(e, "a0"); return l.MTU == 1400 })
	sh(t, "ip link add hbr type bridge; ip link set a0 master hbr")
	w.next("a bridge", func(e fib.Event) bool { l, _ := named(e, "a0"); return l.Master == link(t, "hbr") })
	sh(t, "ip link set a0 nomaster; ip link del hbr")
	w.next("no bridge", func(e fib.Event) bool { l, ok := named(e, "a0"); return ok && l.Master == 0 })
}

// TestLinkDown: news of the link come at once, then a snapshot, as IPv4 routes
// go without a word; a link that is up again before anybody looked has been down.
func TestLinkDown(t *testing.T) {
	world(t)
	sh(t, "ip route add 198.51.100.0/24 via 10.1.0.2; ip -6 route add 2001:db8:100::/48 via 2001:db8:1::2")
	k := open(t)
	mustWrite(t, k, put("198.18.0.0/15", "10.1.0.2"), put("2001:db8:200::/48", "2001:db8:1::2"))
	w := watchOf(t, k)
	a0 := func(up bool) func(fib.Event) bool {
		return func(e fib.Event) bool { l, ok := named(e, "a0"); return ok && l.Up == up }
	}
	w.next("a snapshot", snapshot)

	sh(t, "ip link set a1 down")
	w.next("lost carrier", a0(false))
	sh(t, "ip link set a1 up")
	w.next("carrier", a0(true))

	sh(t, "ip link set a0 down; ip link set a0 up")
	w.next("the link down", a0(false))
	e := w.next("a snapshot", snapshot)
	for _, p := range []string{"198.51.100.0/24"} {
		if r, ok := routeTo(e.Routes, p); ok {
			t.Errorf("%+v is still there", r)
		}
	}
	if got := own(t, k); len(got) != 0 {
		t.Errorf("ours are still there: %+v", got)
	}
	// They can be written again, though nobody has said that they were gone.
	sh(t, "ip -6 addr add 2001:db8:1::1/64 dev a0 nodad || true")
	mustWrite(t, k, put("198.18.0.0/15", "10.1.0.2"), put("2001:db8:200::/48", "2001:db8:1::2"))

	sh(t, "ip link del a0")
	w.next("the end of the link", func(e fib.Event) bool { _, ok := named(e, "a0"); return e.Snapshot && !ok })
}

// TestOwnLost: what others do to our routes is told, what we do is not.
func TestOwnLost(t *testing.T) {
	world(t)
	k := open(t)
	w := watchOf(t, k)
	w.next("a snapshot", snapshot)
	var batch []fib.Change
	for i := range 1000 {
		c := put("10.9.0.0/16", "10.1.0.2")
		c.Prefix = numbered(i)
		batch = append(batch, c)
	}
	mustWrite(t, k, batch...)
	for i := range batch {
		batch[i].Hops[0].Gateway = netip.MustParseAddr("10.2.0.2")
	}
	mustWrite(t, k, batch...)
	for i := range batch {
		batch[i].Delete = true
	}
	mustWrite(t, k, batch...)
	six := put("2001:db8:100::/48", "2001:db8:1::2")
	one, two, three := put("198.51.100.0/24", "10.1.0.2"), put("203.0.113.0/24", "10.1.0.2"), put("192.0.2.0/24", "10.1.0.2")
	mustWrite(t, k, six, one, two, three)

	lost := func(c fib.Change) func(fib.Event) bool {
		return func(e fib.Event) bool {
			for _, r := range e.OwnLost {
				if r.Prefix.Bits == 24 && strings.HasPrefix(r.Prefix.String(), "20.") {
					t.Errorf("our own doing: %+v", r)
				}
			}
			return slices.ContainsFunc(e.OwnLost, func(r fib.Route) bool { return keyOf(&r) == keyOf(&c.Route) })
		}
	}
	sh(t, "ip route del 198.51.100.0/24 proto 144 metric 20")
	w.next("a route that somebody has removed", lost(one))
	sh(t, "ip -6 route del 2001:db8:100::/48 proto 144 metric 20")
	w.next("a route that somebody has removed", lost(six))
	sh(t, "ip route replace 203.0.113.0/24 via 10.2.0.2 proto static metric 20")
	w.next("a route that somebody has replaced by theirs", lost(two))
	sh(t, "ip route replace 192.0.2.0/24 via 10.2.0.2 proto 144 metric 20")
	w.next("a route that somebody has changed", lost(three))
	mustWrite(t, k, six, one, three)
	if got := at(t, k, three); len(got) != 1 || got[0].Hops[0].Gateway != netip.MustParseAddr("10.1.0.2") {
		t.Errorf("the kernel has %+v", got)
	}
}

// TestOverrun: who cannot keep up gets a new snapshot.
func TestOverrun(t *testing.T) {
	world(t)
	k := open(t)
	w := watchOf(t, k)
	w.next("a snapshot", snapshot)
	// Nobody takes what comes from now on, until its queue and the socket's
	// buffer are full.
	other, err := Open(Options{Protocol: 99})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c := put("10.9.0.0/16", "10.1.0.2")
	for i := range 100_000 {
		c.Prefix = numbered(i)
		mustWrite(t, other, c)
	}
	w.next("a snapshot", func(e fib.Event) bool { return e.Snapshot && len(e.Routes) >= 100_000 })
}
