//go:build interop

package netlab_test

import (
	"net/netip"
	"testing"

	. "holdfast/testkit/netlab"
)

// full has every attribute that a lab compares.
func full(p string) Route {
	return Route{
		Prefix: netip.MustParsePrefix(p), Origin: "egp", ASPath: "65010 4200000010 {65011 65012}",
		MED: new(uint32(70)), AtomicAggregate: true, Aggregator: "65010 192.0.2.7",
		Communities: []string{"65010:1", "65535:65284"}, Extended: []string{"rt:65010:2", "soo:65010:3"},
		Large: []string{"65010:4:5", "4200000010:6:7"}, Unknown: []string{"99 c0 01020304"},
	}
}

// TestPairs checks the lab with two other routers: what each announces is what
// the other says that it has received.
func TestPairs(t *testing.T) {
	for _, m := range Makes() {
		t.Run(m.Kind, func(t *testing.T) {
			t.Parallel()
			l := New(t)
			pair(t, l, BIRD(), m)
		})
	}
}

func pair(t *testing.T, l *Lab, a, b Make) {
	na, nb := l.Node("a"), l.Node("b")
	sessions := func(from, to *Node, as uint32) []Session {
		return []Session{
			{Name: "v4", Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}},
			{Name: "v6", Local: from.V6, Remote: to.V6, AS: as, Families: []Family{IPv6}},
		}
	}
	v4, v6 := full("198.51.100.0/24"), full("2001:db8:100::/48")
	ra := a.Start(na, Config{AS: 65001, ID: na.V4, Sessions: sessions(na, nb, 65002), Routes: []Route{a.Can(v4), a.Can(v6)}})
	v4, v6 = full("203.0.113.0/24"), full("2001:db8:200::/48")
	rb := b.Start(nb, Config{AS: 65002, ID: nb.V4, Sessions: sessions(nb, na, 65001), Routes: []Route{b.Can(v4), b.Can(v6)}})
	for _, r := range []Router{ra, rb} {
		for _, s := range []string{"v4", "v6"} {
			AwaitUp(t, r, s)
		}
	}
	crossed := func(m, at Make, p string, from *Node, as uint32) []Route {
		r := at.Shows(m.Can(full(p)))
		r.ASPath, r.NextHop = Prepend(r.ASPath, as), from.Addr(FamilyOf(r.Prefix))
		return []Route{r}
	}
	AwaitRoutes(t, rb, "v4", crossed(a, b, "198.51.100.0/24", na, 65001))
	AwaitRoutes(t, rb, "v6", crossed(a, b, "2001:db8:100::/48", na, 65001))
	AwaitRoutes(t, ra, "v4", crossed(b, a, "203.0.113.0/24", nb, 65002))
	AwaitRoutes(t, ra, "v6", crossed(b, a, "2001:db8:200::/48", nb, 65002))

	ra.Withdraw(netip.MustParsePrefix("198.51.100.0/24"))
	rb.Withdraw(netip.MustParsePrefix("2001:db8:200::/48"))
	AwaitRoutes(t, rb, "v4", nil)
	AwaitRoutes(t, ra, "v6", nil)
	ra.AskRefresh("v4")
	rb.AskRefresh("v6")
	AwaitRoutes(t, ra, "v4", crossed(b, a, "203.0.113.0/24", nb, 65002))
	AwaitRoutes(t, rb, "v6", crossed(a, b, "2001:db8:100::/48", na, 65001))
}
